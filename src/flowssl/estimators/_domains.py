"""The kinds of rows by the parameters that ask for them."""

from __future__ import annotations

from flowssl.estimators._domain import Domain
from flowssl.estimators._image_domain import ImageDomain
from flowssl.estimators._settings import TrainingSettings
from flowssl.estimators._table_domain import TableDomain
from flowssl.estimators._text_domain import TextDomain
from flowssl.estimators.options import ImageOptions, TextOptions


def domain_of(
    images: ImageOptions | None,
    text: TextOptions | None,
    training: TrainingSettings,
    *,
    show_progress: bool = False,
) -> Domain:
    """Return the kind of rows of an estimator.

    Raises
    ------
    ValueError
        If rows are to be images and texts, or the images' shape is none.
    """
    if images is not None and text is not None:
        raise ValueError("rows are either images or texts: set images or text to None")
    if images is not None:
        return ImageDomain(images, training)
    return TableDomain() if text is None else TextDomain(text, show_progress=show_progress)
