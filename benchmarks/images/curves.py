"""Draw accuracy against CPU minutes, from the runs made with --curve.

    python -m benchmarks.images.curves

A panel for each set and number of labels, a thin line for each draw, a dot where its training
ended; methods without a curve, which take seconds or a few minutes, are dashed lines. Written to
docs/figures/images_curves.png.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.images.results import Run, cells, name, read
from matplotlib.ticker import LogLocator

from flowssl.plotting.style import Theme, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PATH = Path(__file__).parents[2] / "docs" / "figures" / "images_curves.png"
QUICK = ("logistic", "spreading", "cnn")


def draw(runs: list[Run]) -> Figure:
    """Return the figure of all sets that have a curve."""
    groups = [group for group in cells(runs) if _is_drawn(group)]
    panels = [list(panel) for _, panel in groupby(groups, lambda g: (g[0]["set"], g[0]["labels"]))]
    panels = [panel for panel in panels if any("curve" in run for g in panel for run in g)]
    if not panels:
        raise SystemExit("no run has a curve; run python -m benchmarks.images --curve")
    methods = sorted({name(group[0]) for panel in panels for group in panel})
    with styled("light") as style:
        figure = new_figure(4.2 * len(panels), 3.4)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            for group in panel:
                _draw_group(ax, group, methods.index(name(group[0])), style)
            ax.set_title(f"{panel[0][0]['set']}, {panel[0][0]['labels']:,} labels")
            ax.set(xscale="log", xlabel="CPU minutes")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter("")
            ax.grid(True)
        axes[0].set_ylabel("accuracy on 2,000 test images")
        handles = {}
        for ax in axes:
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles))
    return figure


def _is_drawn(group: list[Run]) -> bool:
    return group[0]["method"] in QUICK or any("curve" in run for run in group)


def _draw_group(ax: Axes, group: list[Run], index: int, style: Theme) -> None:
    color, label = style.color(index), name(group[0])
    if group[0]["method"] in QUICK:
        mean = float(np.mean([run["accuracy"] for run in group]))
        ax.axhline(mean, color=color, linestyle="--", linewidth=1, label=label)
        return
    for run in group:
        points = run.get("curve", [])
        minutes = [point["cpu_minutes"] for point in points]
        accuracy = [point["accuracy"] for point in points]
        ax.plot(minutes, accuracy, color=color, linewidth=1, label=label)
        ax.plot(minutes[-1:], accuracy[-1:], "o", color=color, markersize=4)


def main() -> None:
    """Write the figure."""
    draw(read()).savefig(PATH)


if __name__ == "__main__":
    main()
