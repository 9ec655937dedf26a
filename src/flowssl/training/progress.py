"""Progress of a training: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from flowssl._progress import progress_bar


class Progress:
    """A progress bar with epoch, nats per dimension, accuracy on the labels and time left.

    Parameters
    ----------
    total : int
        Largest number of epochs.
    enabled : bool
        False shows nothing; so does an output that is not a terminal.
    description : str, default="Training"
        Text before the bar.
    """

    def __init__(self, total: int, enabled: bool, description: str = "Training") -> None:
        self._bar = progress_bar("{task.fields[figures]}") if enabled else None
        self._task = None
        if self._bar is not None:
            self._task = self._bar.add_task(description, total=total, figures="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, epoch: int, nats_per_dim: float, label_accuracy: float) -> None:
        """Show a finished epoch."""
        if self._bar is not None and self._task is not None:
            figures = f"{nats_per_dim:+.3f} nats/dim  labels {label_accuracy:.1%}"
            self._bar.update(self._task, completed=epoch, figures=figures)
