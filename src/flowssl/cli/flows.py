"""Models with an exact density, which some commands need."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from flowssl.estimators import Classifier, FlowClassifier


def require_flow(estimator: Classifier, wanted: str) -> FlowClassifier:
    """Return a loaded model if it has an exact density, as all flows do.

    Raises
    ------
    DataError
        If it has none, which the ``wanted`` command or option needs.
    """
    if not hasattr(estimator, "score_samples"):
        raise DataError(
            f"{wanted} is for flows, which have an exact density; the model is a "
            f"{type(estimator).__name__}, which has none."
        )
    return cast("FlowClassifier", estimator)
