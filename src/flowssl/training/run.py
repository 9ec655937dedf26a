"""One training: its epochs and steps, averaged weights, recovery from divergence, checkpoints."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from flowssl._random import seeded
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
from flowssl.training.config import TrainingConfig
from flowssl.training.devices import make_fabric
from flowssl.training.evaluation import evaluate
from flowssl.training.optimization import build_optimizer, rate_schedule

logger = logging.getLogger(__name__)

MAX_STRIKES = 3
"""Number of the divergence at which training ends with an error."""


class TrainingRun:
    """The state of one training: model, averaged model, optimizer and position in the loop.

    The parameters are those of :func:`flowssl.training.train`.
    """

    def __init__(
        self,
        model: JointModel,
        objective: Objective,
        rows: TrainingRows,
        held_out: TrainingRows,
        config: TrainingConfig,
        checkpoint: Path | None,
    ) -> None:
        if not len(rows) or not len(held_out):
            raise ValueError(
                f"training needs training rows and held-out rows, got {len(rows)} and "
                f"{len(held_out)}; with few rows both may be the same"
            )
        self.config = config
        self.objective = objective
        self.fabric = make_fabric(config.device, config.precision)
        self.fabric.launch()
        self.rows = rows.to(self.fabric.device)
        self.held_out = held_out.to(self.fabric.device)
        self.labeled = self.rows.take(self.rows.labeled.nonzero().squeeze(1))
        self.inner = model.to(self.fabric.device)
        optimizer = build_optimizer(self.inner, config)
        self.peak_rates = [float(group["lr"]) for group in optimizer.param_groups]
        trained = compile_model(self.inner) if config.compile else self.inner
        self.model, self.optimizer = self.fabric.setup(trained, optimizer)
        self.total_steps = config.max_epochs * config.steps_per_epoch
        # The average covers about the last tenth of the training.
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
                _tensors(rows, "rows") | _tensors(held_out, "held_out") | self.best,
                # A run may continue on another device, though not to the same bits.
                json.dumps(asdict(replace(config, device="")))
                + f"{objective} {model} {[p.requires_grad for p in model.parameters()]}",
            )
            if checkpoint.exists():
                self._restore(*read_checkpoint(checkpoint, self.identity))
            self.fabric.barrier()  # no process removes the file before all have read it

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train epoch by epoch, yielding the figures of each."""
        config, state = self.config, self.state
        good = self._snapshots()
        if state.epoch == 0:  # the untrained model is the first candidate for the best epoch
            before = self._evaluate()["loss"]
            state.best_loss = before if math.isfinite(before) else math.inf
        while state.epoch < config.max_epochs:
            if state.epoch - max(state.best_epoch, config.patience_from) >= config.patience:
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
            good = self._snapshots()
            if self.checkpoint is not None and self.fabric.is_global_zero:
                write_checkpoint(self.checkpoint, self.identity, config.seed, state, good)
            yield figures

    def finish(self) -> None:
        """Leave the best weights in the model, in evaluation mode."""
        self.inner.load_state_dict(self.best)
        self.inner.eval()

    def _one_epoch(self) -> float:
        """Train for an epoch; return the mean loss of its steps."""
        config = self.config
        generator = torch.Generator().manual_seed(_epoch_seed(config.seed, self.state.epoch))
        self.model.train()
        total = torch.zeros((), device=self.fabric.device, dtype=torch.float32)
        batches = self.rows.batches(
            config.batch_size, config.steps_per_epoch, config.labeled_fraction, generator
        )
        for step, batch in enumerate(batches):
            self.objective.before_step(self.inner, self.rows.x, step)
            total = total + self._step(batch)
        mean = cast(Tensor, self.fabric.all_reduce(total, reduce_op="mean"))
        return float(mean) / config.steps_per_epoch

    def _step(self, batch: Batch) -> Tensor:
        """Take a step; return the loss, on the device, so that steps do not wait for it."""
        config, state = self.config, self.state
        factor = state.scale * rate_schedule(state.step, self.total_steps, config.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = factor * peak
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

    def _evaluate(self) -> dict[str, float]:
        figures = evaluate(
            self.average.eval(), self.objective, self.held_out, self.labeled, self.config
        )
        return self.fabric.broadcast(figures)  # devices may differ in the last bit, not in steps

    def _recover(self, good: dict[str, Snapshot]) -> None:
        """Go back to the end of the last good epoch, at half the learning rate."""
        strikes = self.state.strikes + 1
        if strikes >= MAX_STRIKES:
            raise TrainingDivergedError(
                f"the loss was not finite in epoch {self.state.epoch + 1} for the third time, at "
                f"learning rates down to {self.config.learning_rate * self.state.scale:g}; lower "
                "learning_rate, or look for extreme values in the data"
            )
        # The step count goes back with the weights: the epoch is repeated.
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

    def _snapshots(self) -> dict[str, Snapshot]:
        """Return copies of all tensors that the next epoch depends on."""
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
        """Go back to a state and the copies that were taken at it, of any device."""
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


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 7_919 + 17) % 2**63


def _tensors(rows: TrainingRows, name: str) -> Snapshot:
    return {f"{name}.{field.name}": getattr(rows, field.name) for field in fields(rows)}


def _snapshot(module: torch.nn.Module) -> Snapshot:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
