"""The kinds of rows by the parameters that ask for them."""

from __future__ import annotations

from flowssl.estimators._domain import Domain
from flowssl.estimators._image_domain import ImageDomain
from flowssl.estimators._settings import TrainingSettings
from flowssl.estimators._table_domain import TableDomain
from flowssl.estimators.options import ImageOptions


def domain_of(images: ImageOptions | None, training: TrainingSettings) -> Domain:
    """Return the kind of rows of an estimator.

    Raises
    ------
    ValueError
        If the images' shape is none.
    """
    return TableDomain() if images is None else ImageDomain(images, training)
