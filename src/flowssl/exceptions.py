"""Errors and warnings of flowssl, so that callers can catch or silence them by class.

Every message names the value that was met, the limit it broke and the way out.
"""

__all__ = [
    "DataError",
    "FlowSSLWarning",
    "ModelFileError",
    "TrainingDivergedError",
    "UnlabeledDataWarning",
]


class FlowSSLWarning(UserWarning):
    """Base class of the warnings that flowssl gives."""


class UnlabeledDataWarning(FlowSSLWarning):
    """The unlabeled rows do not help on these data; the labels-only model is used instead."""


class ModelFileError(ValueError):
    """A model file is damaged, forged, or written by a newer version of flowssl."""


class DataError(ValueError):
    """A table cannot be read or does not hold what was asked of it."""


class TrainingDivergedError(RuntimeError):
    """Training gave NaN or infinite losses again after every recovery that was allowed."""
