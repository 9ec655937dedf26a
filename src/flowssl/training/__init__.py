"""Training: batches of labeled and unlabeled rows, the loop, and checkpoints.

The loop has warm-up and cosine decay of the learning rate, gradient clipping, averaged weights,
early stopping on held-out rows, and recovery from divergence.
"""

from flowssl.training.batches import TrainingRows
from flowssl.training.checkpoints import keep_checkpoints
from flowssl.training.config import TrainingConfig, TrainingResult
from flowssl.training.loop import train

__all__ = ["TrainingConfig", "TrainingResult", "TrainingRows", "keep_checkpoints", "train"]
