"""Weights and times during training, for evaluation afterwards.

Nothing is predicted during training: weights are kept, and accuracy is measured at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import torch
from torch import Tensor

from flowssl._persistence import read_model_file

POLL_SECONDS = 0.2
AVERAGE = "average/"

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Moment:
    """The weights at one time during training."""

    wall: float
    cpu: float
    weights: Weights


@dataclass
class Recorder:
    """Records weights with wall-clock and CPU seconds since its creation."""

    moments: list[Moment] = field(default_factory=list)
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def mark(self, weights: Weights) -> None:
        """Record weights, which must not change afterwards."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self.moments.append(Moment(wall, cpu, weights))

    def minutes(self) -> dict[str, float]:
        """Return the minutes since the creation of the recorder."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"minutes": round(wall / 60, 2), "cpu_minutes": round(cpu / 60, 2)}

    @contextmanager
    def checkpoints(self) -> Iterator[Path]:
        """Yield a path for checkpoints and record the averaged weights in each of them.

        Each epoch replaces the file atomically, so a reader finds the previous or the new one.
        """
        done = Event()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "training.checkpoint"
            follower = Thread(target=self._follow, args=(path, done))
            follower.start()
            try:
                yield path
            finally:
                done.set()
                follower.join()

    def _follow(self, path: Path, done: Event) -> None:
        seen = 0
        while not done.wait(POLL_SECONDS):
            try:
                written = path.stat().st_mtime_ns
                if written == seen:
                    continue
                tensors = read_model_file(path).tensors
            except FileNotFoundError:  # before the first epoch, and after the last
                continue
            seen = written
            average = {name: x for name, x in tensors.items() if name.startswith(AVERAGE)}
            self.mark({n.removeprefix(AVERAGE): torch.from_numpy(x) for n, x in average.items()})

    def curve(self, accuracy: Callable[[Weights], float]) -> list[dict[str, float]]:
        """Return the accuracy of the weights at each time, in minutes."""
        return [
            {
                "minutes": round(moment.wall / 60, 3),
                "cpu_minutes": round(moment.cpu / 60, 3),
                "accuracy": round(accuracy(moment.weights), 4),
            }
            for moment in self.moments
        ]
