"""The style of all figures: colors of both themes, legends and notes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from flowssl._typing import Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowssl.estimators.base import FlowClassifier


ThemeName: TypeAlias = Literal["light", "dark"]

MAX_POINTS = 3000
"""Maximum number of labeled, and of unlabeled, rows in a figure; more would hide one another."""

MAX_NAMES = 20
"""Maximum number of classes that are named in a figure."""


@dataclass(frozen=True)
class Theme:
    """Colors of a figure; the colors of ``classes`` repeat from the eleventh class on.

    The first colors are those of Okabe and Ito (2008); the others maximize the minimum distance
    under simulated protanopia, deuteranopia and tritanopia.
    """

    background: str
    ink: str
    muted: str
    grid: str
    classes: tuple[str, ...]

    def color(self, code: int) -> str:
        """Return the color of a class."""
        return self.classes[code % len(self.classes)]

    def colors(self, codes: Integers) -> list[str]:
        """Return the color of each row's class."""
        return [self.color(code) for code in codes.tolist()]


THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        background="#FFFFFF",
        ink="#1B1F24",
        muted="#6B7280",
        grid="#E3E6EA",
        classes=(
            "#0072B2",
            "#E69F00",
            "#009E73",
            "#D55E00",
            "#CC79A7",
            "#56B4E9",
            "#332288",
            "#7A1F10",
            "#5B2A66",
            "#A6B668",
        ),
    ),
    "dark": Theme(
        background="#16191D",
        ink="#E8EAED",
        muted="#9AA3AE",
        grid="#2E343B",
        classes=(
            "#4C9BE8",
            "#F0B429",
            "#2FBF93",
            "#F07C3E",
            "#E89BC5",
            "#CCF5A3",
            "#A67A52",
            "#9466F0",
            "#D0479C",
            "#A3F5D0",
        ),
    ),
}


@contextmanager
def styled(theme: ThemeName) -> Iterator[Theme]:
    """Apply a theme within the block, and yield it."""
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {sorted(THEMES)}, got {theme!r}")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ImportError(
            "figures need Matplotlib; install it with: pip install 'flowssl[plot]'"
        ) from error
    style = THEMES[theme]
    with mpl.rc_context(
        {
            "figure.facecolor": style.background,
            "axes.facecolor": style.background,
            "axes.edgecolor": style.muted,
            "axes.labelcolor": style.ink,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlecolor": style.ink,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "axes.grid": False,
            "axes.axisbelow": True,
            "contour.negative_linestyle": "solid",
            "font.family": "sans-serif",
            "grid.color": style.grid,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "text.color": style.ink,
            "text.parse_math": False,  # dollar signs in names and labels are text
            "xtick.color": style.muted,
            "xtick.labelcolor": style.ink,
            "xtick.labelsize": 9,
            "ytick.color": style.muted,
            "ytick.labelcolor": style.ink,
            "ytick.labelsize": 9,
        }
    ):
        yield style


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, with constrained layout."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def plain(value: object, limit: int = 24) -> str:
    """Format a user's value as one printable line of at most `limit` characters."""
    printable = (letter if letter.isprintable() else " " for letter in str(value))
    text = " ".join("".join(printable).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def name_axes(ax: Axes, estimator: FlowClassifier) -> None:
    """Label the axes with the names of the two numeric columns."""
    names = [plain(name) for name in estimator.encoder_.get_feature_names_out()]
    ax.set(xlabel=names[0], ylabel=names[1])


def add_legend(
    figure: Figure,
    estimator: FlowClassifier,
    codes: Integers,
    style: Theme,
    *,
    rows: str = "rows",
) -> None:
    """Add a legend of classes and markers below the axes, where it covers no data."""
    from matplotlib.lines import Line2D

    def mark(shape: str, color: str, label: str) -> Line2D:
        return Line2D([], [], linestyle="", marker=shape, color=color, label=label)

    names = [plain(label) for label in estimator.classes_.tolist()]
    handles = [mark("s", style.color(k), name) for k, name in enumerate(names[:MAX_NAMES])]
    if len(names) > MAX_NAMES:
        handles.append(mark("", style.muted, f"and {len(names) - MAX_NAMES:,} more classes"))
    if rows == "rows":
        if (codes >= 0).any():
            handles.append(mark("^", style.muted, "labeled"))
        if (codes < 0).any():
            handles.append(mark(".", style.muted, "unlabeled"))
    width = sum(len(str(handle.get_label())) + 5 for handle in handles)
    n_lines = math.ceil(width / (figure.get_figwidth() * 13))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=math.ceil(len(handles) / n_lines),
        handletextpad=0.3,
        columnspacing=1.2,
    )


def add_note(figure: Figure, codes: Integers, style: Theme, limit: int = MAX_POINTS) -> None:
    """Note on the figure how many rows are drawn, where these are not all."""
    notes = [
        f"{limit:,} of {count:,} {kind} drawn"
        for kind, count in (
            ("labeled", int((codes >= 0).sum())),
            ("unlabeled", int((codes < 0).sum())),
        )
        if count > limit
    ]
    if notes:
        figure.suptitle(", ".join(notes), x=0.99, ha="right", size=8, color=style.muted)
