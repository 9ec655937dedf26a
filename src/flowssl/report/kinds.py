"""What a report says otherwise of one kind of rows than of another, and what it says of both.

The facts of a report hold the kind of its rows; sections ask it, and nothing else asks whether a
model is of tables or of images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flowssl.report.markup import Cell, Html, number, percent, table
from flowssl.report.sections import names_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flowssl.report.facts import Facts


@dataclass(frozen=True)
class Section:
    """A section of the page: its name in links, its heading and what it says."""

    name: str
    heading: str
    body: Html


class RowKind(ABC):
    """What a report asks about the kind of its rows."""

    noun: ClassVar[str]
    """What rows are called."""

    features: ClassVar[str]
    """What the labels-only baseline looks at."""

    start: ClassVar[str]
    """What the start's candidates look at."""

    max_judged: ClassVar[int]
    """Training rows that are judged at most; a random choice of more."""

    max_dots: ClassVar[int]
    """Labeled, and unlabeled, rows that the latent space shows at most."""

    @abstractmethod
    def data(self, facts: Facts) -> Html:
        """Describe the rows and their labels."""

    @abstractmethod
    def samples(self, facts: Facts) -> Section:
        """Show what the model makes up, and what can be drawn of its classes in data space."""

    @abstractmethod
    def single_rows(self, facts: Facts) -> Html:
        """Show the most and the least likely rows, and those most useful to label next."""


def row_table(
    facts: Facts,
    title: str,
    chosen: NDArray[np.int64],
    *,
    n_guesses: int = 1,
    header: Sequence[str] = (),
    cells: Sequence[Sequence[Cell]] | None = None,
) -> Html:
    """List judged rows with density, label and prediction.

    Parameters
    ----------
    facts : Facts
        Of the report.
    title : str
        Caption.
    chosen : ndarray of shape (n,)
        Places of the rows among the judged ones.
    n_guesses : int
        Predicted classes that are named, the most probable first.
    header, cells : sequences
        Further columns, and for each row what stands in them.
    """
    names = names_of(facts)
    below = facts.estimator.outlier_scale_.unlikely(facts.log_density)
    body = []
    for place, row in enumerate(chosen.tolist()):
        order = np.argsort(-facts.proba[row], kind="stable")[:n_guesses].tolist()
        best = [f"{names[k]} ({percent(float(facts.proba[row, k]))})" for k in order]
        code = int(facts.codes[row])
        body.append(
            (
                facts.name(row),
                number(float(facts.log_density[row])),
                f"{round(float(below[row]), 1) + 0.0:.1f}".replace("-", "−"),  # never −0.0
                "–" if code < 0 else names[code],
                ", ".join(best),
                *(cells[place] if cells is not None else ()),
            )
        )
    head = (facts.kind.noun[:-1], "density", "below usual", "label", "predicted", *header)
    return table(title, head, body, text_columns=(3, 4) if facts.names is None else (0, 3, 4))
