"""Training checkpoints: everything that the next epoch depends on, in one atomically written file.

Random numbers of an epoch are derived from the seed and the epoch's number, so a run that is
resumed at the end of an epoch gives the same bits as one that was never stopped. Tensors are stored
as CPU arrays, whatever the device: a run may be resumed on another one.

A fit that is done removes its checkpoints. A caller that saves the model afterwards, and would lose
a long training if that failed, lets them stay until then: `keep_checkpoints`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowssl._persistence import JSON, read_manifest, read_model_file, write_model_file
from flowssl.exceptions import FlowSSLWarning, ModelFileError

_KIND = "checkpoint"
_NO_CHECKPOINT = "{path} is not a training checkpoint of this version; delete it or name another"

_finished: ContextVar[list[Path] | None] = ContextVar("finished", default=None)

Snapshot = dict[str, Tensor]
"""Named tensors: the weights of a model, or the moments of an optimizer."""


@dataclass
class LoopState:
    """The state of a training loop, apart from its tensors.

    Attributes
    ----------
    epoch : int
        Epochs done.
    step : int
        Optimizer steps done.
    scale : float
        Factor of the learning rate; halved after each divergence.
    strikes : int
        Divergences so far.
    best_loss : float
        Lowest held-out loss so far.
    best_epoch : int
        Epoch at which it was reached.
    history : list of dict
        Metrics of each epoch.
    """

    epoch: int = 0
    step: int = 0
    scale: float = 1.0
    strikes: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def fingerprint(parts: Mapping[str, Tensor], settings: str) -> str:
    """Return a SHA-256 of data and settings, so that no checkpoint continues another run."""
    # Names and shapes go in too: the same bytes can have more than one shape.
    digest = hashlib.sha256(settings.encode())
    for name in sorted(parts):
        array = parts[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_checkpoint(
    path: Path, identity: str, seed: int, state: LoopState, groups: Mapping[str, Snapshot]
) -> None:
    """Write a checkpoint atomically; a process killed meanwhile leaves the previous one.

    The seed is part of the identity already. It is also stored as a number, so that a training with
    a random seed can be resumed: see `read_seed`.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().numpy()
        for group, snapshot in groups.items()
        for name, tensor in snapshot.items()
    }
    loop: dict[str, JSON] = {}
    for key, value in asdict(state).items():
        loop[key] = "inf" if value == float("inf") else value
    manifest: dict[str, JSON] = {"kind": _KIND, "identity": identity, "seed": seed, "loop": loop}
    write_model_file(path, manifest, tensors)


def read_seed(path: Path) -> int:
    """Return the seed of the training that wrote a checkpoint.

    Raises
    ------
    ModelFileError
        If the file is damaged or is not a checkpoint.
    """
    manifest = read_manifest(path)
    seed = manifest.get("seed")
    if manifest.get("kind") != _KIND or not isinstance(seed, int):
        raise ModelFileError(_NO_CHECKPOINT.format(path=path))
    return seed


def read_checkpoint(path: Path, identity: str) -> tuple[LoopState, dict[str, Snapshot]]:
    """Read a checkpoint of the same data and settings.

    Raises
    ------
    ModelFileError
        If the file is damaged, is not a checkpoint, or belongs to other data or settings.
    """
    file = read_model_file(path)
    loop = file.manifest.get("loop")
    if file.manifest.get("kind") != _KIND or not isinstance(loop, dict):
        raise ModelFileError(_NO_CHECKPOINT.format(path=path))
    if file.manifest.get("identity") != identity:
        raise ModelFileError(
            f"{path} is of a training on other data or with other settings; use those with which it "
            "began, or delete the file to start again"
        )
    loop["best_loss"] = float(str(loop["best_loss"]))
    groups: dict[str, Snapshot] = {}
    for key, array in file.tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = torch.from_numpy(array.copy())
    return LoopState(**loop), groups  # written by write_checkpoint: the checksum fits


def check_checkpoints(paths: Sequence[Path]) -> None:
    """Check, before a training, the files that are there already.

    Parameters
    ----------
    paths : sequence of Path
        The checkpoints of all models of a fit, in the order in which they are trained.

    Raises
    ------
    ModelFileError
        If one is not a checkpoint, or that of a later model is there without those before it: it is
        then of another fit, and would stop this one in the middle.
    """
    found = [path for path in paths if path.exists()]
    for path in found:
        read_seed(path)
    for path, expected in zip(found, paths, strict=False):
        if path != expected:
            raise ModelFileError(
                f"{path} is left over from another fit, as {expected} is not there; delete it or "
                "name another checkpoint"
            )


@contextmanager
def keep_checkpoints() -> Iterator[None]:
    """Let the checkpoints of fits in the block stay until it ends without an error.

    After an error, those of finished fits are still there: the same fit then continues from them,
    without training again, to the same bits.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.training import keep_checkpoints
    >>> X, y = [[0.0, 1.0], [0.2, 0.9], [3.0, 4.0], [3.1, 4.2]], ["a", None, "b", None]
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "run.checkpoint"
    ...     model = FlowGMMClassifier(architecture="affine", max_epochs=1, checkpoint=file)
    ...     with keep_checkpoints():
    ...         model = model.fit(X, y)
    ...         was_there = file.exists()
    ...         model.save(Path(folder) / "model.flowssl")
    ...     print(was_there, file.exists())
    True False
    """
    finished: list[Path] = []
    token = _finished.set(finished)
    try:
        yield
    finally:
        _finished.reset(token)
    remove_checkpoints(finished)


def remove_checkpoints(paths: Sequence[Path]) -> None:
    """Remove the checkpoints of a finished fit; inside `keep_checkpoints`, do so at its end."""
    finished = _finished.get()
    if finished is not None:
        finished.extend(paths)
        return
    for path in reversed(paths):  # the first last: without it, the others would not be looked for
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(
                f"the fit is done, but its checkpoint {path} cannot be removed: {error.strerror}",
                FlowSSLWarning,
                stacklevel=2,
            )
