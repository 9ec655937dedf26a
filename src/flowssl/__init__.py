"""Semi-supervised classification with one exact-likelihood model of p(x, y).

The public names load on first use, so that ``import flowssl`` takes milliseconds and brings in
neither PyTorch nor scikit-learn until one of them is needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowssl.estimators import (
        DIGLMClassifier,
        FlowGMMClassifier,
        ImageOptions,
        ObjectiveOptions,
        SemiConditionalFlowClassifier,
        TextOptions,
        load,
    )

    __version__: str

__all__ = [
    "DIGLMClassifier",
    "FlowGMMClassifier",
    "ImageOptions",
    "ObjectiveOptions",
    "SemiConditionalFlowClassifier",
    "TextOptions",
    "__version__",
    "load",
]

_HOMES = dict.fromkeys(
    (name for name in __all__ if name != "__version__"),
    "flowssl.estimators",
)


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value: object = getattr(import_module(_HOMES[name]), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version("flowssl")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
