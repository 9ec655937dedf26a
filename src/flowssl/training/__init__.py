"""Training: batches of labeled and unlabeled rows, the loop, checkpoints and progress."""

from flowssl.training.batches import TrainingRows
from flowssl.training.loop import TrainingConfig, TrainingResult, resolve_device, train
from flowssl.training.seeding import seeded

__all__ = ["TrainingConfig", "TrainingResult", "TrainingRows", "resolve_device", "seeded", "train"]
