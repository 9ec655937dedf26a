"""Training of a joint model: one loop for every method, on Lightning Fabric."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from flowssl._isolation import isolated
from flowssl.models import JointModel
from flowssl.objectives import Objective
from flowssl.training.batches import TrainingRows
from flowssl.training.config import TrainingConfig, TrainingResult
from flowssl.training.devices import one_thread
from flowssl.training.progress import Progress
from flowssl.training.run import TrainingRun

logger = logging.getLogger(__name__)

WORK_FOR_THREADS = 200_000_000
"""Rows times parameters of a step above which several threads are faster than one."""


def train(
    model: JointModel,
    objective: Objective,
    rows: TrainingRows,
    held_out: TrainingRows,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    show_progress: bool = False,
) -> TrainingResult:
    """Train a model in place; it ends with the averaged weights of its best epoch.

    Parameters
    ----------
    model : JointModel
        Changed in place and left in evaluation mode, on the device on which it was trained.
    objective : Objective
        What to minimize.
    rows, held_out : TrainingRows
        Training rows, and rows for early stopping; with few rows both may be the same.
    config : TrainingConfig
        Settings.
    checkpoint : Path, optional
        File to write after each epoch and, if it exists, to continue from. The model must then be
        the untrained one with which that training began.
    show_progress : bool, default=False
        Whether to show a progress bar on a terminal.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        If there are no training rows or no held-out rows.
    TrainingDivergedError
        If the loss is not finite for the third time, at a learning rate that was halved twice.
    ModelFileError
        If the checkpoint is damaged or belongs to another run.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import vector_coupling
    >>> from flowssl.densities import ClassPrior, GaussianClasses
    >>> from flowssl.models import JointModel
    >>> from flowssl.objectives import Likelihood, Objective
    >>> from flowssl.training import TrainingConfig, TrainingRows, train
    >>> x, y = torch.tensor([[-2.0, 0.1], [2.0, -0.1], [-2.2, 0.0]]), torch.tensor([0, 1, 0])
    >>> rows = TrainingRows(x, torch.eye(2)[y], torch.arange(3) < 2, torch.ones(3))
    >>> model = JointModel(vector_coupling(2), GaussianClasses(x[:2], ClassPrior(torch.ones(2))))
    >>> config = TrainingConfig(max_epochs=2, steps_per_epoch=1, device="cpu")
    >>> train(model, Objective([Likelihood()]), rows, rows, config).history[-1]["label_accuracy"]
    1.0
    """
    with isolated(), _few_threads(model, config):
        run = TrainingRun(model, objective, rows, held_out, config, checkpoint)
        interrupted = _train_epochs(run, config.max_epochs, show_progress)
    return TrainingResult(run.state.history, run.state.best_epoch, interrupted)


def _train_epochs(run: TrainingRun, max_epochs: int, show_progress: bool) -> bool:
    """Train until the last epoch, an error or Ctrl-C; return whether Ctrl-C ended it."""
    with Progress(max_epochs, show_progress and run.fabric.is_global_zero) as progress:
        try:
            for figures in run.epochs():
                progress.update(
                    int(figures["epoch"]), figures["nats_per_dim"], figures["label_accuracy"]
                )
        except KeyboardInterrupt:
            logger.warning("interrupted: keeping the best of %d epochs", run.state.epoch)
            return True
        finally:
            run.finish()
    return False


@contextmanager
def _few_threads(model: JointModel, config: TrainingConfig) -> Iterator[None]:
    """Use one thread for small steps: more gain nothing, and are slow on a busy machine."""
    work = config.batch_size * sum(parameter.numel() for parameter in model.parameters())
    with nullcontext() if work >= WORK_FOR_THREADS else one_thread():
        yield
