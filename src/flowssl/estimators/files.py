"""Model files on top of all estimators: the registry of what a file may hold, and `load`."""

from __future__ import annotations

import os
from typing import TypeAlias

from flowssl._model_file import KIND
from flowssl._persistence import read_model_file
from flowssl._records import Record
from flowssl.baselines import M2VAEClassifier
from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.diglm import DIGLMClassifier
from flowssl.estimators.flowgmm import FlowGMMClassifier
from flowssl.estimators.scnf import SemiConditionalFlowClassifier
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing import TextTableEncoder
from flowssl.text.embedders import TextFunction

Classifier: TypeAlias = FlowClassifier | M2VAEClassifier
"""What a model file may hold."""

ESTIMATORS: dict[str, type[FlowClassifier] | type[M2VAEClassifier]] = {
    estimator.__name__: estimator
    for estimator in (
        FlowGMMClassifier,
        SemiConditionalFlowClassifier,
        DIGLMClassifier,
        M2VAEClassifier,
    )
}
"""The estimators by name, as model files name them."""


_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What libraries raise on numbers and texts that they do not expect."""

_MESSAGE = 500


def load(path: str | os.PathLike[str], *, embedder: TextFunction | None = None) -> Classifier:
    """Read a fitted classifier that its ``save`` has written; it predicts the same bits.

    Parameters
    ----------
    path : path
        A ``.flowssl`` file. It may come from an untrusted source: nothing in it is executed.
    embedder : callable, optional
        What embeds the texts of a model whose embedder was a function, which no file holds.

    Returns
    -------
    FlowClassifier or M2VAEClassifier
        Fitted, of the class that was saved. What describes the training rows one by one,
        ``label_distributions_`` and ``transduction_``, is not in the file.

    Raises
    ------
    ModelFileError
        If the file is damaged, forged, of a newer version, or not an estimator.
    ValueError
        If an embedder is given and the model reads no texts, or knows its embedder by name.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from flowssl import FlowGMMClassifier, load
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    >>> model = model.fit([[0.0, 1.0], [0.2, 0.9], [3.0, 4.0], [3.1, 4.2]], ["a", None, "b", None])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.flowssl"
    ...     model.save(path)
    ...     load(path).predict([[3.0, 4.1]])
    array(['b'], dtype='<U1')
    """
    file = read_model_file(path)
    try:
        record = Record(file.manifest, "manifest")
        record.text("kind", (KIND,))
        kind = ESTIMATORS[record.text("estimator", ESTIMATORS)]
        estimator = kind._from_file(file.manifest, file.tensors)
    except ModelFileError as error:
        raise ModelFileError(f"cannot read model file '{path}': {str(error)[:_MESSAGE]}") from error
    except _FAULTS as error:
        # A ValueError is one of ours, or of scikit-learn on a parameter, and says what is wrong.
        name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = f"it does not describe a fitted model: {name}{error}"
        raise ModelFileError(f"cannot read model file '{path}': {reason[:_MESSAGE]}") from error
    if embedder is not None:
        if not isinstance(estimator.encoder_, TextTableEncoder):
            raise ValueError(f"{path} is a model without texts; leave embedder out")
        texts = estimator.encoder_.texts
        if texts.embedder is not None:  # whose vectors another one does not have
            raise ValueError(
                f"{path} is a model of texts embedded by {texts.embedder}; leave embedder out"
            )
        texts.set_params(embedder=embedder)
        estimator.set_params(text__embedder=embedder)
    return estimator
