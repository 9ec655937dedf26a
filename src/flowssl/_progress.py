"""The progress bar of long steps: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def progress_bar(*texts: str) -> Progress | None:
    """Return a bar on standard error with count and time left; None if that is no terminal.

    Parameters
    ----------
    *texts : str
        Further columns before the time left, as templates of `rich.progress.TextColumn`.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *map(TextColumn, texts),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
