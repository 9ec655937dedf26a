"""Sections on rows of tables: columns, figures of planar data, individual rows with their cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np

from flowssl._fitted import is_planar
from flowssl._typing import Floats, Integers
from flowssl.plotting import plot_decision_boundary, plot_flow, plot_samples
from flowssl.plotting.style import MAX_POINTS, plain
from flowssl.report.blocks import Section, class_table, note, row_table
from flowssl.report.facts import Facts, RowTraits
from flowssl.report.kinds.base import RowKind
from flowssl.report.markup import (
    Html,
    figure,
    join,
    paragraph,
    percent,
    plain_value,
    shortened,
    significant,
    table,
)

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.codecs import Codec
    from flowssl.preprocessing.containers import TableLike


MAX_COLUMNS = 20
"""Columns of the user's table that are described one by one."""

N_EXTREME = 5
N_TO_LABEL = 10
MAX_CELLS = 8
"""Columns in lists of rows; of wider tables, those in which the rows are most unusual."""


@dataclass(frozen=True)
class ColumnSummary:
    """A column of the user's table.

    Attributes
    ----------
    name : str
        Name; of an array x0, x1, ...
    kind : str
        "numeric", "categorical" or "datetime".
    missing : float
        Fraction of missing values; NaN if the column was left out.
    values : str
        Range or categories, or why the column was left out.
    is_used : bool
        Whether the model uses the column.
    """

    name: str
    kind: str
    missing: float
    values: str
    is_used: bool


# Data.


def _data(facts: Facts) -> Section:
    labeled = facts.all_codes >= 0
    columns = _column_summaries(facts)
    used = [column for column in columns if column.is_used]
    body = join(
        paragraph(
            f"{len(labeled):,} rows, {int(labeled.sum()):,} of them labeled; "
            f"{len(columns):,} columns: {_kinds(used)}{_left_out(facts.estimator)}. "
            f"{_missing(used)}"
        ),
        class_table(facts),
        _column_table(columns),
    )
    return Section("data", "Data", body)


def _column_summaries(facts: Facts) -> list[ColumnSummary]:
    encoder = facts.estimator.encoder_
    first: dict[str | int, int] = {}
    for position, column in enumerate(encoder.output_columns_):
        first.setdefault(column.column, position)
    summaries = []
    for codec in _codecs(facts):
        missing = math.nan
        if codec.is_constant:
            values = f"left out: constant, {plain_value(codec.constant)}"
        elif codec.duplicate_of is not None:
            values = f"left out: repeats {_shown_name(encoder.duplicate_of_[codec.name])}"
        else:
            encoded = facts.encoded[:, first[codec.name]]
            missing = float(np.isnan(encoded).mean())
            values = _values(codec, encoded)
        summaries.append(
            ColumnSummary(_shown_name(codec.name), codec.type.kind, missing, values, codec.is_kept)
        )
    return summaries


def _codecs(facts: Facts) -> Sequence[Codec]:
    encoder = facts.estimator.encoder_
    return encoder.codecs_ if encoder.row_kind == "table" else ()


def _shown_name(name: str | int) -> str:
    """Return the name of a column; the columns of an array are x0, x1, ... as in scikit-learn."""
    return f"x{name}" if isinstance(name, int) else name


def _values(codec: Codec, encoded: Floats) -> str:
    """Return the categories of a column, or its range from encoded numbers (n,)."""
    if codec.is_categorical:
        categories = [*codec.categories, *codec.infrequent]
        more = f" and {len(categories) - 3:,} more" if len(categories) > 3 else ""
        return ", ".join(map(str, categories[:3])) + more
    known = encoded[~np.isnan(encoded)]
    if not len(known):
        return ""
    low, middle, high = np.quantile(known, (0, 0.5, 1)).tolist()
    if codec.type.dtype in ("Date", "Datetime"):
        moments = (str(np.datetime64(int(v), "s")) for v in (low, middle, high))
        return " … ".join(moment[:16].replace("T", " ") for moment in moments)
    return " … ".join(map(significant, (low, middle, high)))


def _column_table(columns: Sequence[ColumnSummary]) -> Html:
    rows = [
        (
            shortened(column.name),
            column.kind,
            percent(column.missing) if column.missing == column.missing else "–",
            shortened(column.values),
        )
        for column in columns[:MAX_COLUMNS]
    ]
    more = len(columns) - len(rows)
    caption = "Columns" + (f", the first {len(rows)}; {more:,} more are not listed" if more else "")
    header = ("column", "kind", "missing", "minimum … median … maximum, or categories")
    return table(caption, header, rows, text_columns=(0, 1, 3))


def _kinds(columns: Sequence[ColumnSummary]) -> str:
    kinds = [column.kind for column in columns]
    known = ("numeric", "categorical", "datetime")
    return ", ".join(f"{kinds.count(kind):,} {kind}" for kind in known if kind in kinds)


def _left_out(estimator: FlowClassifier) -> str:
    encoder = estimator.encoder_
    counts = ((len(encoder.constant_), "constant"), (len(encoder.duplicate_of_), "repeated"))
    return "".join(f", {count:,} {word} and left out" for count, word in counts if count)


def _missing(columns: Sequence[ColumnSummary]) -> str:
    incomplete = [column for column in columns if column.missing > 0]
    if not incomplete:
        return "No value is missing."
    worst = max(incomplete, key=lambda column: column.missing)
    if len(incomplete) == 1:
        return f"One column has missing values: {shortened(worst.name)} ({percent(worst.missing)})."
    return (
        f"{len(incomplete):,} columns have missing values; {shortened(worst.name)} has the most "
        f"({percent(worst.missing)})."
    )


# Decision boundary and samples.


def _samples(facts: Facts) -> Section:
    return Section("plane", "Decision boundary and samples", _plane(facts))


def _plane(facts: Facts) -> Html:
    """Draw data, boundary, latents and samples of two-dimensional data."""
    estimator = facts.estimator
    if not is_planar(estimator):
        n_columns = len(estimator.encoder_.output_columns_)
        return note(
            f"The encoded rows have {n_columns:,} columns. Decision boundary and samples are drawn "
            "only for data of two numeric columns."
        )
    return join(
        figure(
            lambda theme: plot_decision_boundary(estimator, facts.X, facts.y, theme=theme),
            "The data over the class regions, with the decision boundary and density contours.",
            "Shading is the calibrated class probability, thick lines are the decision boundary, "
            f"thin lines enclose 50, 90 and 99 % of the rows. {facts.points_note()}",
        ),
        figure(
            lambda theme: plot_samples(estimator, X=facts.X, theme=theme),
            "A thousand rows sampled from the model, colored by class.",
            "Samples of the model in the range of the data. They should look like the data.",
        ),
        figure(
            lambda theme: plot_flow(estimator, facts.X, facts.y, theme=theme),
            "Four panels: data, latents, latent mixture and samples.",
            "The flow maps the data to a mixture of simple class densities, and samples of this "
            "mixture back to data.",
            wide=True,
        ),
    )


# Individual rows.


def _individual_rows(facts: Facts) -> Section:
    incomplete = (
        " The density of a row with missing values is that of the values present, which is not "
        "fully comparable with the others."
        if np.isnan(facts.matrix).any()
        else ""
    )
    numbers = "" if facts.names is not None else "Row numbers start at 0. "
    parts = [
        note(
            f"{numbers}log p(x) is in nats; the next column is its distance below the median, in "
            f"robust standard deviations.{incomplete}{facts.evaluated_note()}"
        ),
        _list(facts, "Most likely rows", facts.rows_by_density(N_EXTREME, lowest=False)),
        _list(facts, "Least likely rows", facts.rows_by_density(N_EXTREME, lowest=True)),
    ]
    uncertain = facts.rows_to_label(N_TO_LABEL)
    if len(uncertain):
        title = "Most uncertain rows: the most useful to label next"
        parts.append(_list(facts, title, uncertain, n_predicted=2))
    return Section("rows", "Individual rows", join(*parts))


def _list(facts: Facts, title: str, chosen: Integers, n_predicted: int = 1) -> Html:
    names = [codec.name for codec in _codecs(facts)]
    shown = _unusual_columns(facts, names, chosen)
    if len(shown) < len(names):
        title += f" (the {len(shown)} most unusual of {len(names):,} columns)"
    return row_table(
        facts,
        title,
        chosen,
        n_predicted=n_predicted,
        header=[plain(_shown_name(names[column])) for column in shown],
        cells=[
            [plain_value(value) for value in row]
            for row in pick(facts.X, facts.index[chosen], shown)
        ],
    )


def _unusual_columns(facts: Facts, names: Sequence[str | int], chosen: Integers) -> list[int]:
    """Return the columns to show: all, or those in which the rows are farthest from the mean."""
    if len(names) <= MAX_CELLS:
        return list(range(len(names)))
    estimator = facts.estimator
    distance = np.abs(estimator.completion_.typical(facts.matrix[chosen])).mean(0)
    position = {name: i for i, name in enumerate(names)}
    order = np.argsort(-distance, kind="stable").tolist()
    in_table = [position[estimator.encoder_.output_columns_[j].column] for j in order]
    return sorted(list(dict.fromkeys(in_table))[:MAX_CELLS])


def pick(X: TableLike, rows: Integers, columns: list[int]) -> list[list[object]]:
    """Return some cells of the user's table as Python values, row by row."""
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        part = frame[rows.tolist(), columns]
        return [list(row) for row in part.iter_rows()]
    array = np.asarray(X, dtype=None if isinstance(X, np.ndarray) else object)
    cells: list[list[object]] = array[rows][:, columns].tolist()
    return cells


TABLE_ROWS = RowKind(
    traits=RowTraits(
        noun="rows",
        baseline_features="the standardized labeled rows",
        candidate_features="several feature spaces of the table",
        max_evaluated=50_000,
        max_points=MAX_POINTS,
    ),
    data=_data,
    samples=_samples,
    individual_rows=_individual_rows,
)
