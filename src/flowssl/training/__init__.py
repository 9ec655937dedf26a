"""Training: batches of labeled and unlabeled rows, the loop, checkpoints and progress."""

from flowssl.training.batches import TrainingRows
from flowssl.training.checkpoints import read_seed
from flowssl.training.devices import n_processes, resolve_device
from flowssl.training.loop import TrainingConfig, TrainingResult, train
from flowssl.training.seeding import seeded

__all__ = [
    "TrainingConfig",
    "TrainingResult",
    "TrainingRows",
    "n_processes",
    "read_seed",
    "resolve_device",
    "seeded",
    "train",
]
