"""Training checkpoints: everything that the next epoch depends on, in one atomically written file.

Random numbers of an epoch are derived from the seed and the epoch's number, so a run that is
resumed at the end of an epoch gives the same bits as one that was never stopped. Tensors are stored
as CPU arrays, whatever the device: a run may be resumed on another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowssl._persistence import JSON, read_manifest, read_model_file, write_model_file
from flowssl.exceptions import ModelFileError

_KIND = "checkpoint"
_NO_CHECKPOINT = "{path} is not a training checkpoint of this version; delete it or name another"

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
