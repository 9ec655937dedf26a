"""The HTML elements of a report. All text is escaped here, and only here."""

from __future__ import annotations

import base64
import html
import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from flowssl._terminal import printable
from flowssl.plotting.style import THEMES, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl.plotting.style import ThemeName


MAX_TEXT = 60
"""Maximum number of characters of a user's value in a table."""


@dataclass(frozen=True)
class Html:
    """Text that is already HTML and is not escaped again."""

    text: str


Cell: TypeAlias = str | Html


def escape(text: Cell) -> str:
    """Return text as HTML, with escapes for characters that control or hide other text.

    Joiners stay: emoji and several scripts, Persian among them, are written with them.
    """
    if isinstance(text, Html):
        return text.text
    return html.escape(printable(text, kept="\n\t\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"))


def join(*parts: Html) -> Html:
    """Concatenate elements."""
    return Html("\n".join(part.text for part in parts if part.text))


def heading(text: str, level: int = 3) -> Html:
    """Return a heading inside a section."""
    return Html(f"<h{level}>{escape(text)}</h{level}>")


def paragraph(text: Cell, kind: str = "") -> Html:
    """Return a paragraph; `kind` is a class of the style sheet."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<p{attribute}>{escape(text)}</p>")


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    text_columns: Sequence[int] = (0,),
    row_headers: bool = True,
) -> Html:
    """Return a table; columns other than `text_columns` are aligned as numbers.

    The first cell of each row is its header unless `row_headers` is False.
    """

    def cell(text: Cell, column: int) -> str:
        tag = 'th scope="row"' if row_headers and column == 0 else "td"
        kind = "" if column in text_columns else ' class="number"'
        return f"<{tag}{kind}>{escape(text)}</{tag[:2]}>"

    def head(text: str, column: int) -> str:
        kind = "" if column in text_columns else ' class="number"'
        return f'<th scope="col"{kind}>{escape(text)}</th>'

    heads = "".join(head(text, column) for column, text in enumerate(header))
    body = "\n".join(
        f"<tr>{''.join(cell(text, column) for column, text in enumerate(row))}</tr>" for row in rows
    )
    return Html(
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(
    draw: Callable[[ThemeName], Figure], description: str, caption: str, *, wide: bool = False
) -> Html:
    """Return a figure in both themes, of which the style sheet shows one, with its caption.

    Printing uses the light one. (A ``<picture>`` with a media query would keep the dark one there.)

    Parameters
    ----------
    draw : callable
        Draws the figure in a theme.
    description : str
        Alternative text, for readers who cannot see the figure.
    caption : str
        Text below the figure.
    wide : bool, default=False
        Whether the figure takes the full width of the page.
    """
    kind = ' class="wide"' if wide else ""
    images = "".join(
        f'<img class="{theme}" src="{_data_uri(draw(theme))}" alt="{escape(description)}">'
        for theme in THEMES
    )
    return Html(f"<figure{kind}>{images}<figcaption>{escape(caption)}</figcaption></figure>")


def _data_uri(drawn: Figure) -> str:
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Text stays text, so that the browser's fonts show scripts that Matplotlib's own font lacks.
    settings = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flowssl"})
    with settings, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        drawn.savefig(buffer, format="svg", dpi=150, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def number(value: float, digits: int = 3) -> str:
    """Format a number with a fixed number of decimals, or three digits if it is large or small."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) >= 1e6 or abs(value) < 10**-digits:
        return f"{value:.3g}".replace("-", "−")
    return f"{value:,.{digits}f}".replace("-", "−")


def percent(fraction: float) -> str:
    """Format a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%"


def significant(value: float) -> str:
    """Format a number of the user's data with four significant digits."""
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return number(value)
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def shortened(value: object) -> str:
    """Format a user's value as one line of at most `MAX_TEXT` characters."""
    return plain(value, MAX_TEXT)


def plain_value(value: object) -> str:
    """Format a value of the user's table; a missing value is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shortened(value)
    return significant(float(value))
