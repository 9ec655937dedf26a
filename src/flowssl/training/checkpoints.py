"""Training checkpoints: everything that the next epoch depends on, in one atomic file.

Random numbers of an epoch are derived from the seed and the epoch's number, so a run that is
resumed at an epoch's end gives the same bits as one that was never stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowssl.exceptions import ModelFileError
from flowssl.persistence import JSON, read_model_file, write_model_file

__all__ = ["LoopState", "Snapshot", "fingerprint", "read_checkpoint", "write_checkpoint"]

Snapshot = dict[str, Tensor]
"""Named tensors: the weights of a model, or the moments of an optimizer."""


@dataclass
class LoopState:
    """Where a training loop stands, apart from its tensors.

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
        Figures of each epoch.
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
    # Names and shapes go in too: the same bytes can be cut in more than one way.
    digest = hashlib.sha256(settings.encode())
    for name in sorted(parts):
        array = parts[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_checkpoint(
    path: Path, identity: str, state: LoopState, groups: Mapping[str, Snapshot]
) -> None:
    """Write a checkpoint atomically; a process killed meanwhile leaves the former one."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().numpy()
        for group, snapshot in groups.items()
        for name, tensor in snapshot.items()
    }
    loop: dict[str, JSON] = {}
    for key, value in asdict(state).items():
        loop[key] = "inf" if value == float("inf") else value
    write_model_file(path, {"kind": "checkpoint", "identity": identity, "loop": loop}, tensors)


def read_checkpoint(path: Path, identity: str) -> tuple[LoopState, dict[str, Snapshot]]:
    """Read a checkpoint of the same data and settings.

    Raises
    ------
    ModelFileError
        If the file is damaged, is not a checkpoint, or belongs to other data or settings.
    """
    file = read_model_file(path)
    loop = file.manifest.get("loop")
    if file.manifest.get("kind") != "checkpoint" or not isinstance(loop, dict):
        raise ModelFileError(f"{path} is not a training checkpoint")
    if file.manifest.get("identity") != identity:
        raise ModelFileError(
            f"{path} was written for other data or other settings; repeat the command that began "
            "the training, or start anew without resuming"
        )
    loop["best_loss"] = float(str(loop["best_loss"]))
    groups: dict[str, Snapshot] = {}
    for key, array in file.tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = torch.from_numpy(array.copy())
    return LoopState(**loop), groups  # written by write_checkpoint: the checksum fits
