"""Progress of a training: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


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
        self._bar = _rich_bar() if enabled else None
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


def _rich_bar() -> Bar | None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
