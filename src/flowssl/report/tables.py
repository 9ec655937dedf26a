"""What a report says of tables: columns, pictures of planar data, single rows with their cells."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import narwhals as nw
import numpy as np

from flowssl import plotting
from flowssl._fitted import is_planar
from flowssl._typing import Floats, Integers
from flowssl.plotting.style import plain
from flowssl.report.kinds import RowKind, Section, row_table
from flowssl.report.markup import (
    Html,
    join,
    paragraph,
    percent,
    picture,
    plain_value,
    shortened,
    significant,
    table,
)
from flowssl.report.sections import classes

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing import TableEncoder
    from flowssl.preprocessing.containers import TableLike
    from flowssl.report.facts import Facts


MAX_COLUMNS = 20
"""Columns of the user's table that are described one by one."""

SHOWN_ROWS = 5
SHOWN_UNSURE = 10
SHOWN_CELLS = 8
"""Columns of single rows; of wider tables those in which the rows are most unusual."""


@dataclass(frozen=True)
class Column:
    """A column of the user's table, as the model takes it."""

    name: str | int
    kind: str
    missing: float
    values: str
    is_dropped: bool


@dataclass(frozen=True)
class TableRows(RowKind):
    """Rows of a table, of the columns ``columns``."""

    columns: tuple[Column, ...]

    noun = "rows"
    features = "the standardized labeled rows"
    start = "several views of the table"
    max_judged = 50_000
    max_dots = plotting.MAX_DOTS

    @classmethod
    def of(cls, encoder: TableEncoder, matrix: Floats) -> Self:
        """Describe the columns of encoded rows (n, D)."""
        return cls(_described(encoder, matrix))

    def data(self, facts: Facts) -> Html:
        """Describe the table: rows, labels by class, columns, missing values, dropped columns."""
        labeled = facts.all_codes >= 0
        kept = [column for column in self.columns if not column.is_dropped]
        return join(
            paragraph(
                f"{len(labeled):,} rows, {int(labeled.sum()):,} of them labeled; "
                f"{len(self.columns):,} columns: {_kinds(kept)}{_dropped(facts.estimator)}. "
                f"{_missing(kept)}"
            ),
            classes(facts),
            self._column_table(),
        )

    def samples(self, facts: Facts) -> Section:
        """Draw data, boundary, latents and samples of two-dimensional data."""
        return Section("plane", "Decision boundary and samples", _plane(facts))

    def single_rows(self, facts: Facts) -> Html:
        """List the most and the least likely rows, and those most useful to label next."""
        explained = paragraph(
            "Row numbers count from 0. Density is log p(x) in nats; the next column says how many "
            "robust standard deviations it lies below that of usual rows."
            + (
                " Of rows with missing values it is the density of what is there, which is not "
                "quite comparable."
                if np.isnan(facts.matrix).any()
                else ""
            )
            + facts.judged_note(),
            "note",
        )
        likely, unlikely = (
            facts.rows_by_density(SHOWN_ROWS, least=least) for least in (False, True)
        )
        parts = [
            explained,
            self._row_table(facts, "Most likely rows", likely),
            self._row_table(facts, "Least likely rows", unlikely),
        ]
        unsure = facts.rows_to_label(SHOWN_UNSURE)
        if len(unsure):
            title = "Rows the model is least sure of: the most useful ones to label next"
            parts.append(self._row_table(facts, title, unsure, n_guesses=2))
        return join(*parts)

    def _column_table(self) -> Html:
        shown = self.columns[:MAX_COLUMNS]
        rows = [
            (
                shortened(column.name),
                column.kind,
                percent(column.missing) if column.missing == column.missing else "–",
                shortened(column.values),
            )
            for column in shown
        ]
        more = len(self.columns) - len(shown)
        caption = "Columns" + (
            f", the first {len(shown)}; {more:,} more are not listed" if more else ""
        )
        header = ("column", "kind", "missing", "least … median … most, or categories")
        return table(caption, header, rows, text_columns=(0, 1, 3))

    def _row_table(self, facts: Facts, title: str, chosen: Integers, n_guesses: int = 1) -> Html:
        shown = self._telling_columns(facts, chosen)
        if len(shown) < len(self.columns):
            title += (
                f" ({len(shown)} of {len(self.columns):,} columns: where they are most unusual)"
            )
        return row_table(
            facts,
            title,
            chosen,
            n_guesses=n_guesses,
            header=[plain(self.columns[column].name) for column in shown],
            cells=[
                [plain_value(value) for value in row]
                for row in pick(facts.X, facts.index[chosen], shown)
            ],
        )

    def _telling_columns(self, facts: Facts, chosen: Integers) -> list[int]:
        """Return the table's columns to show: all, or those where the rows are farthest out."""
        if len(self.columns) <= SHOWN_CELLS:
            return list(range(len(self.columns)))
        estimator = facts.estimator
        distance = np.abs(estimator.completion_.typical(facts.matrix[chosen])).mean(0)
        place = {column.name: i for i, column in enumerate(self.columns)}
        order = np.argsort(-distance, kind="stable").tolist()
        of_table = [place[estimator.encoder_.output_columns_[j].column] for j in order]
        return sorted(list(dict.fromkeys(of_table))[:SHOWN_CELLS])


def _described(encoder: TableEncoder, matrix: Floats) -> tuple[Column, ...]:
    """Describe the table's columns by the encoder's own record of them."""
    records = json.loads(encoder.to_json())["columns"]
    first: dict[str | int, int] = {}
    for position, column in enumerate(encoder.output_columns_):
        first.setdefault(column.column, position)
    described = []
    for record in records:
        name, kind = record["name"], record["type"]["kind"]
        place = first.get(name)
        if place is None:
            if name in encoder.constant_:
                why = f"left out: constant, {encoder.constant_[name]}"
            else:
                why = f"left out: repeats {encoder.duplicate_of_[name]}"
            described.append(Column(name, kind, math.nan, why, True))
            continue
        values = matrix[:, place]
        levels = [*record["levels"], *record["infrequent"]]
        text = (
            _levels(levels)
            if levels
            else _range(values, is_time=record["type"]["dtype"] in ("Date", "Datetime"))
        )
        described.append(Column(name, kind, float(np.isnan(values).mean()), text, False))
    return tuple(described)


def _levels(levels: list[object]) -> str:
    more = f" and {len(levels) - 3:,} more" if len(levels) > 3 else ""
    return ", ".join(str(level) for level in levels[:3]) + more


def _range(values: Floats, *, is_time: bool) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return ""
    low, middle, high = np.quantile(known, (0, 0.5, 1)).tolist()
    if is_time:
        low, middle, high = (str(np.datetime64(int(v), "s"))[:16] for v in (low, middle, high))
        return f"{low} … {middle} … {high}"
    return f"{significant(low)} … {significant(middle)} … {significant(high)}"


def _kinds(columns: list[Column]) -> str:
    kinds = [column.kind for column in columns]
    words = {"numeric": "numeric", "categorical": "categorical", "datetime": "of dates or times"}
    return ", ".join(
        f"{kinds.count(kind):,} {word}" for kind, word in words.items() if kind in kinds
    )


def _dropped(estimator: FlowClassifier) -> str:
    encoder = estimator.encoder_
    counts = ((len(encoder.constant_), "constant"), (len(encoder.duplicate_of_), "repeated"))
    return "".join(f", {count:,} {word} and left out" for count, word in counts if count)


def _missing(columns: list[Column]) -> str:
    holes = [column for column in columns if column.missing > 0]
    if not holes:
        return "No value is missing."
    worst = max(holes, key=lambda column: column.missing)
    return (
        f"{len(holes):,} columns have missing values, {shortened(worst.name)} the most: "
        f"{percent(worst.missing)}."
    )


def _plane(facts: Facts) -> Html:
    """Draw data, boundary, latents and samples of two-dimensional data."""
    estimator = facts.estimator
    if not is_planar(estimator):
        n_columns = len(estimator.encoder_.output_columns_)
        return paragraph(
            f"The model sees {n_columns:,} encoded columns. A decision boundary and samples are "
            "drawn for data of two columns of numbers.",
            "note",
        )
    return join(
        picture(
            lambda theme: plotting.plot_decision_boundary(estimator, facts.X, facts.y, theme=theme),
            "The two columns of the data over the regions of the classes, with the decision "
            "boundary and density contours.",
            "Shading is the calibrated class probability, thick lines are the decision boundary, "
            "thin lines enclose 50, 90 and 99 % of the rows. " + facts.dots_note(),
        ),
        picture(
            lambda theme: plotting.plot_samples(estimator, X=facts.X, theme=theme),
            "A thousand rows sampled from the model, colored by class.",
            "Rows that the model makes up; they should look like the data.",
        ),
        picture(
            lambda theme: plotting.plot_flow(estimator, facts.X, facts.y, theme=theme),
            "Four panels: data, latents, latent mixture and samples.",
            "What the flow does: it carries the data to a mixture of simple classes, and samples of "
            "the mixture back.",
            wide=True,
        ),
    )


def pick(X: TableLike, rows: Integers, columns: list[int]) -> list[list[object]]:
    """Return some cells of the user's table as Python values, row by row."""
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        part = frame[rows.tolist(), columns]
        return [list(row) for row in part.iter_rows()]
    array = np.asarray(X, dtype=None if isinstance(X, np.ndarray) else object)
    cells: list[list[object]] = array[rows][:, columns].tolist()
    return cells
