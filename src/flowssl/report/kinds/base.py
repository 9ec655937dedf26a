"""What a report needs to know about a kind of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts, RowTraits


@dataclass(frozen=True)
class RowKind:
    """The words, limits and sections that differ between kinds of rows.

    Attributes
    ----------
    traits : RowTraits
        Words and limits.
    data : callable
        Section that describes the rows and their labels.
    samples : callable
        Section with samples of the model, and with what can be drawn in data space.
    individual_rows : callable
        Section with the most and the least likely rows, and those most useful to label next.
    """

    traits: RowTraits
    data: Callable[[Facts], Section]
    samples: Callable[[Facts], Section]
    individual_rows: Callable[[Facts], Section]
