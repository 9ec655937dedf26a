"""The training loop: one for every method, on Lightning Fabric.

It does what makes training need no luck: warm-up and cosine decay, gradient clipping, averaged
weights, early stopping on held-out rows, and recovery from divergence.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from flowssl.exceptions import TrainingDivergedError
from flowssl.models import JointModel
from flowssl.objectives import Batch, Objective
from flowssl.training.batches import TrainingRows
from flowssl.training.checkpoints import (
    LoopState,
    Snapshot,
    fingerprint,
    read_checkpoint,
    write_checkpoint,
)
from flowssl.training.compilation import compile_model
from flowssl.training.devices import make_fabric
from flowssl.training.progress import Progress
from flowssl.training.seeding import seeded

logger = logging.getLogger(__name__)

MAX_STRIKES = 3
WORK_FOR_THREADS = 200_000_000
"""Rows times parameters of a step from which several threads pay."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    max_epochs : int
        Epochs at most.
    steps_per_epoch : int
        Optimizer steps between two looks at the held-out rows.
    batch_size : int
        Rows in a batch, not counting the labeled rows that are added.
    labeled_fraction : float or None
        Weight of the labeled rows together in the objective; None counts every row once.
    learning_rate, weight_decay : float
        Of AdamW; the rate is the peak of the schedule.
    means_rate : float
        Rate of the class means, relative to ``learning_rate``.
    warmup : float
        Share of the steps in which the rate rises linearly.
    gradient_clip : float
        Largest norm of the gradient.
    patience : int
        Epochs without a better held-out loss before training stops.
    seed : int
        Everything random follows from it.
    device : str
        "auto", "cpu", "cuda", "mps" or "cuda:1".
    precision : str
        "32-true" or, for the training steps only, "bf16-mixed" (Fabric's names).
    evaluation_rows : int
        Rows that go through the model at once after each epoch.
    compile : bool
        Whether to run the model through ``torch.compile``, which needs a C++ compiler on a CPU.
        Steps take about .7 to .9 of the time, after a minute of compiling: pays for trainings of
        many minutes only. Other bits than without it.
    """

    max_epochs: int
    steps_per_epoch: int
    batch_size: int = 256
    labeled_fraction: float | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    means_rate: float = 1.0
    warmup: float = 0.05
    gradient_clip: float = 5.0
    patience: int = 10
    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    evaluation_rows: int = 4096
    compile: bool = False


@dataclass(frozen=True)
class TrainingResult:
    """What training gave.

    Attributes
    ----------
    history : list of dict
        For each epoch: ``epoch``, ``train_loss``, ``loss`` (held-out), ``nats_per_dim``
        (held-out mean log p(x) / D), ``cross_entropy`` (held-out, to the targets),
        ``label_accuracy`` (on the labeled rows), ``learning_rate``, ``seconds``.
    best_epoch : int
        Epoch whose averaged weights the model has now; 0 is the start.
    interrupted : bool
        Whether Ctrl-C ended the training early.
    """

    history: list[dict[str, float]]
    best_epoch: int
    interrupted: bool


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
        Changed in place and left in evaluation mode on the CPU.
    objective : Objective
        What to minimize.
    rows : TrainingRows
        Training rows.
    held_out : TrainingRows
        Rows for early stopping; may be the training rows themselves when there are few.
    config : TrainingConfig
        How to train.
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
        If there are no rows to train on or none to stop by.
    TrainingDivergedError
        If the loss is not finite for a third time after the rate was halved twice.
    ModelFileError
        If the checkpoint is damaged or belongs to another run.
    """
    if not len(rows) or not len(held_out):
        raise ValueError(
            f"training needs rows to learn from and rows to stop by, got {len(rows)} and "
            f"{len(held_out)}; with few rows both may be the same"
        )
    with _few_threads(model, config):
        return _train(model, objective, rows, held_out, config, checkpoint, show_progress)


def _train(
    model: JointModel,
    objective: Objective,
    rows: TrainingRows,
    held_out: TrainingRows,
    config: TrainingConfig,
    checkpoint: Path | None,
    show_progress: bool,
) -> TrainingResult:
    run = _Run(model, objective, rows, held_out, config, checkpoint)
    interrupted = False
    shown = show_progress and run.fabric.is_global_zero
    with Progress(config.max_epochs, shown) as progress:
        try:
            for figures in run.epochs():
                progress.update(
                    int(figures["epoch"]), figures["nats_per_dim"], figures["label_accuracy"]
                )
        except KeyboardInterrupt:
            logger.warning("interrupted: keeping the best of %d epochs", run.state.epoch)
            interrupted = True
        finally:
            run.finish()
    return TrainingResult(run.state.history, run.state.best_epoch, interrupted)


class _Run:
    """One training: model, averaged model, optimizer and where the loop stands."""

    def __init__(
        self,
        model: JointModel,
        objective: Objective,
        rows: TrainingRows,
        held_out: TrainingRows,
        config: TrainingConfig,
        checkpoint: Path | None,
    ) -> None:
        self.config = config
        self.objective = objective
        self.fabric = make_fabric(config.device, config.precision)
        self.fabric.launch()
        self.rows = rows.to(self.fabric.device)
        self.held_out = held_out.to(self.fabric.device)
        self.labeled = self.rows.take(self.rows.labeled.nonzero().squeeze(1))
        self.inner = model.to(self.fabric.device)
        optimizer = torch.optim.AdamW(
            _parameter_groups(self.inner, config), lr=config.learning_rate, fused=True
        )
        self.peak_rates = [float(group["lr"]) for group in optimizer.param_groups]
        trained = compile_model(self.inner) if config.compile else self.inner
        self.model, self.optimizer = self.fabric.setup(trained, optimizer)
        self.total_steps = config.max_epochs * config.steps_per_epoch
        # The average looks back over a tenth of the training.
        self.renewal = min(1.0, 10 / max(1, self.total_steps))
        self.average = copy.deepcopy(self.inner)
        # Lists once: walking through the modules takes longer than averaging.
        self.averaged: list[Tensor] = list(self.average.parameters())
        self.present: list[Tensor] = list(self.inner.parameters())
        self.state = LoopState()
        self.best = _snapshot(self.inner)
        self.checkpoint = checkpoint
        self.identity = ""
        if checkpoint is not None:
            self.identity = fingerprint(
                _parts(rows, "rows") | _parts(held_out, "held_out") | self.best,
                json.dumps(asdict(config))
                + f"{objective} {model} {[p.requires_grad for p in model.parameters()]}",
            )
            if checkpoint.exists():
                self._restore(*read_checkpoint(checkpoint, self.identity))
            self.fabric.barrier()  # no process removes the file before all have read it

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train epoch by epoch, yielding each one's figures."""
        config, state = self.config, self.state
        good = self._groups()
        if state.epoch == 0:  # the start itself is the first candidate for the best epoch
            before = self._evaluate()["loss"]
            state.best_loss = before if math.isfinite(before) else math.inf
        while state.epoch < config.max_epochs:
            if state.epoch - state.best_epoch >= config.patience:
                logger.info("stopped early: no better since epoch %d", state.best_epoch)
                return
            began = time.perf_counter()
            # Processes draw the same batches, but each its own noise for its part.
            seed = _epoch_seed(config.seed, state.epoch) + self.fabric.global_rank
            with seeded(seed, self.fabric.device):
                train_loss = self._one_epoch()
            figures = self._evaluate() if math.isfinite(train_loss) else {}
            if not math.isfinite(figures.get("loss", math.nan)):
                self._recover(good)
                continue
            state.epoch += 1
            figures |= {
                "epoch": float(state.epoch),
                "train_loss": train_loss,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": time.perf_counter() - began,
            }
            state.history.append(figures)
            if figures["loss"] < state.best_loss:
                state.best_loss, state.best_epoch = figures["loss"], state.epoch
                self.best = _snapshot(self.average)
            good = self._groups()
            if self.checkpoint is not None and self.fabric.is_global_zero:
                write_checkpoint(self.checkpoint, self.identity, config.seed, state, good)
            yield figures

    def finish(self) -> None:
        """Leave the best weights in the model."""
        self.inner.load_state_dict(self.best)
        self.inner.to("cpu").eval()

    def _one_epoch(self) -> float:
        config = self.config
        generator = torch.Generator().manual_seed(_epoch_seed(config.seed, self.state.epoch))
        self.model.train()
        total = torch.zeros((), device=self.fabric.device)
        batches = self.rows.batches(
            config.batch_size, config.steps_per_epoch, config.labeled_fraction, generator
        )
        for step, batch in enumerate(batches):
            self.objective.before_step(self.inner, self.rows.x, step)
            total = total + self._step(batch)
        mean = cast(Tensor, self.fabric.all_reduce(total, reduce_op="mean"))
        return float(mean) / config.steps_per_epoch

    def _step(self, batch: Batch) -> Tensor:
        config, state = self.config, self.state
        share = state.scale * _schedule(state.step, self.total_steps, config)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = share * peak
        batch = batch.part(self.fabric.global_rank, self.fabric.world_size)
        batch = replace(batch, progress=state.step / self.total_steps)
        loss = self.objective(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=config.gradient_clip, error_if_nonfinite=False
        )
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.present, self.renewal)
        state.step += 1
        return loss.detach()

    @torch.no_grad()
    def _evaluate(self) -> dict[str, float]:
        model = self.average.eval()
        rows = self.held_out
        log_joint = torch.cat([model(x) for x in torch.split(rows.x, self.config.evaluation_rows)])
        batch = rows.batch(
            torch.arange(len(rows), device=rows.x.device), self.config.labeled_fraction
        )
        agreement = (batch.targets * log_joint.log_softmax(1)).sum(1)
        unseen = ~batch.labeled if not batch.labeled.all() else batch.labeled
        accuracy = 1.0
        if len(self.labeled):
            predicted = torch.cat(
                [model(x) for x in torch.split(self.labeled.x, self.config.evaluation_rows)]
            )
            right = predicted.argmax(1) == self.labeled.targets.argmax(1)
            accuracy = float(right.float().mean())
        dim = rows.x.shape[1]
        figures = {
            "loss": float(self.objective.held_out(batch, log_joint)) / dim,
            "nats_per_dim": float(log_joint.logsumexp(1)[unseen].mean()) / dim,
            "cross_entropy": -float(agreement[unseen].mean()),
            "label_accuracy": accuracy,
        }
        return self.fabric.broadcast(figures)  # devices may differ in the last bit, not in steps

    def _recover(self, good: dict[str, Snapshot]) -> None:
        strikes = self.state.strikes + 1
        if strikes >= MAX_STRIKES:
            raise TrainingDivergedError(
                f"the loss was not finite in epoch {self.state.epoch + 1} for the third time, at "
                f"learning rates down to {self.config.learning_rate * self.state.scale:g}; lower "
                "learning_rate, or look for extreme values in the data"
            )
        # The step count goes back with the weights: the epoch is repeated, at half the rate.
        step = self.state.epoch * self.config.steps_per_epoch
        scale = self.state.scale / 2
        self._restore(self.state, good)
        self.state.step, self.state.strikes, self.state.scale = step, strikes, scale
        logger.warning(
            "the loss was not finite in epoch %d: back to the last good state, learning rate "
            "times %g (strike %d of %d)",
            self.state.epoch + 1,
            scale,
            strikes,
            MAX_STRIKES,
        )

    def _groups(self) -> dict[str, Snapshot]:
        moments: Snapshot = {}
        for i, state in self.optimizer.state_dict()["state"].items():
            moments |= {f"{i}.{key}": value.clone() for key, value in state.items()}
        return {
            "model": _snapshot(self.inner),
            "average": _snapshot(self.average),
            "best": self.best,
            "optimizer": moments,
        }

    def _restore(self, state: LoopState, groups: dict[str, Snapshot]) -> None:
        self.state = state
        self.inner.load_state_dict(groups["model"])
        self.average.load_state_dict(groups["average"])
        self.best = {k: v.to(self.fabric.device) for k, v in groups["best"].items()}
        moments: dict[int, Snapshot] = {}
        for key, value in groups.get("optimizer", {}).items():
            i, _, name = key.partition(".")
            moments.setdefault(int(i), {})[name] = value.clone()
        saved = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})


def _parameter_groups(model: JointModel, config: TrainingConfig) -> list[dict[str, object]]:
    """Decay the networks' matrices only: affine start, means and biases are not shrunk."""
    decayed: list[torch.nn.Parameter] = []
    means: list[torch.nn.Parameter] = []
    free: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if name.endswith("means"):
            means.append(parameter)
        elif "conditioner" in name and parameter.ndim > 1:
            decayed.append(parameter)
        else:
            free.append(parameter)
    rate = config.learning_rate
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": config.weight_decay, "lr": rate},
        {"params": free, "weight_decay": 0.0, "lr": rate},
        {"params": means, "weight_decay": 0.0, "lr": config.means_rate * rate},
    ]
    return [group for group in groups if group["params"]]


def _schedule(step: int, total: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a half cosine down to 1 % of the peak."""
    warmup = max(1, round(config.warmup * total))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 7_919 + 17) % 2**63


@contextmanager
def _few_threads(model: JointModel, config: TrainingConfig) -> Iterator[None]:
    """Use one thread for small steps: more gain nothing, and cost much on a busy machine."""
    before = torch.get_num_threads()
    work = config.batch_size * sum(parameter.numel() for parameter in model.parameters())
    if work < WORK_FOR_THREADS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _parts(rows: TrainingRows, name: str) -> Snapshot:
    return {f"{name}.{field.name}": getattr(rows, field.name) for field in fields(rows)}


def _snapshot(module: torch.nn.Module) -> Snapshot:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
