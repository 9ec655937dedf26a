"""Sections on rows with texts: examples, the texts nearest to samples, individual texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowssl._typing import Integers
from flowssl.plotting.style import MAX_POINTS, plain
from flowssl.preprocessing import TextTableEncoder
from flowssl.preprocessing.containers import TableLike
from flowssl.preprocessing.text_split import split_rows
from flowssl.report.blocks import Section, class_table, note, row_table
from flowssl.report.facts import Facts, RowTraits, TestRows
from flowssl.report.kinds.base import RowKind
from flowssl.report.markup import Cell, Html, escape, join, paragraph, percent, shortened, table

N_EXAMPLES = 3
"""Labeled texts of each class."""

N_SAMPLES = 3
"""Samples of each class."""

N_EXTREME = 8
N_TO_LABEL = 15
N_ERRORS = 20
MAX_TEXT = 240
"""Characters of a text that are shown."""

_SEED = 0


# Data.


def _data(facts: Facts) -> Section:
    encoder = _encoder(facts)
    names = ", ".join(shortened(name) for name in encoder.text_columns_)
    others = [] if encoder.table_ is None else encoder.table_.codecs_
    beside = ""
    if others:
        listed = ", ".join(shortened(codec.name) for codec in others[:N_TO_LABEL])
        beside = f" Beside them the model reads {len(others):,} other columns: {listed}."
    of_list = "" if encoder.n_features_in_ == 1 and not others else f" in the columns {names}"
    n_labeled = int((facts.all_codes >= 0).sum())
    body = join(
        paragraph(
            f"{len(facts.all_codes):,} rows with texts{of_list}, {n_labeled:,} of them labeled. "
            f"A text is {encoder.texts.n_dimensions_:,} numbers, its embedding by "
            f"{encoder.texts.origin_}.{beside} Densities are those of the embeddings: a text is "
            "unusual if its embedding is."
        ),
        class_table(facts),
        _examples(facts),
    )
    return Section("data", "Data", body)


def _examples(facts: Facts) -> Html:
    """Show a few labeled texts of each class."""
    labeled = [
        np.flatnonzero(facts.all_codes == k)[:N_EXAMPLES] for k in range(len(facts.class_names))
    ]
    rows = np.concatenate(labeled)
    cells = _texts(facts, facts.X, rows)
    body = [
        (facts.class_names[code], *texts)
        for code, texts in zip(facts.all_codes[rows].tolist(), cells, strict=True)
    ]
    header = ("class", *_headings(facts))
    return table("Labeled texts", header, body, text_columns=range(len(header)))


def _encoder(facts: Facts) -> TextTableEncoder:
    encoder = facts.estimator.encoder_
    if not isinstance(encoder, TextTableEncoder):
        raise ValueError(f"the sections on texts do not apply to rows of kind {encoder.row_kind}")
    return encoder


def _headings(facts: Facts) -> list[str]:
    columns = _encoder(facts).text_columns_
    if all(isinstance(column, int) for column in columns):
        return ["text"] if len(columns) == 1 else [f"text {column}" for column in columns]
    return [shortened(column) for column in columns]


def _texts(facts: Facts, X: TableLike, rows: Integers) -> list[list[Html]]:
    """Return the texts of some rows of a table, as they are shown."""
    encoder = _encoder(facts)
    columns = encoder.text_columns_ if hasattr(encoder, "feature_names_in_") else encoder.columns
    found = split_rows(X, columns).texts.columns
    return [[_shown(column[row]) for column in found] for row in rows.tolist()]


def _shown(text: str | None) -> Html:
    shown = "–" if text is None else plain(text, MAX_TEXT)
    return Html(f'<span class="prose">{escape(shown)}</span>')


# Samples.


def _samples(facts: Facts) -> Section:
    encoder = _encoder(facts)
    header = ("class", *_headings(facts))
    body: list[Sequence[Cell]] = []
    for name, label in zip(facts.class_names, facts.estimator.classes_, strict=True):
        X, _ = facts.estimator.sample(N_SAMPLES, label, random_state=_SEED)
        body += [(name, *texts) for texts in _texts(facts, X, np.arange(N_SAMPLES))]
    text = (
        "Embeddings sampled from each class, and the training texts whose embeddings are nearest "
        "to them. They should belong to their class; the same text for several samples means that "
        "the class lies where few texts are."
    )
    if not encoder.keep:
        body, text = [], "No training text was kept in the model, so that samples cannot be shown."
    parts = [paragraph(text)]
    if body:
        parts.append(table("Samples", header, body, text_columns=range(len(header))))
    return Section("samples", "Samples", join(*parts))


# Individual texts.


def _individual_texts(facts: Facts) -> Section:
    numbers = "" if facts.names is not None else "Row numbers start at 0. "
    parts = [
        note(
            f"{numbers}log p(x) is in nats and is that of the embedding; the next column is its "
            f"distance below the median, in robust standard deviations.{facts.evaluated_note()}"
        )
    ]
    if facts.test is not None:
        parts.append(_errors(facts, facts.test))
    parts.append(_list(facts, "Least likely texts", facts.rows_by_density(N_EXTREME, lowest=True)))
    parts.append(_list(facts, "Most likely texts", facts.rows_by_density(N_EXTREME, lowest=False)))
    uncertain = facts.rows_to_label(N_TO_LABEL)
    if len(uncertain):
        title = "Most uncertain texts: the most useful to label next"
        parts.append(_list(facts, title, uncertain, n_predicted=2))
    return Section("rows", "Individual texts", join(*parts))


def _list(facts: Facts, title: str, chosen: Integers, n_predicted: int = 1) -> Html:
    return row_table(
        facts,
        title,
        chosen,
        n_predicted=n_predicted,
        header=_headings(facts),
        cells=_texts(facts, facts.X, facts.index[chosen]),
    )


def _errors(facts: Facts, test: TestRows) -> Html:
    """List the misclassified test texts, the most confident predictions first."""
    if not len(test.errors):
        return paragraph("No test text is misclassified.")
    shown, predicted = test.errors[:N_ERRORS], test.log_proba.argmax(1)
    names = facts.class_names
    cells = _texts(facts, test.X, test.index[shown])
    body: list[Sequence[Cell]] = [
        (
            f"{test.index[row]:,}",
            names[test.codes[row]],
            f"{names[predicted[row]]} ({percent(float(test.confidence[row]))})",
            *texts,
        )
        for row, texts in zip(shown.tolist(), cells, strict=True)
    ]
    header = ("row", "class", "predicted", *_headings(facts))
    title = f"Misclassified test texts: {len(shown):,} of {len(test.errors):,}, the most confident first"
    return table(title, header, body, text_columns=range(1, len(header)))


TEXT_ROWS = RowKind(
    traits=RowTraits(
        noun="texts",
        baseline_features="the standardized embeddings of the labeled texts",
        candidate_features="several feature spaces of the embeddings",
        max_evaluated=20_000,
        max_points=MAX_POINTS,
    ),
    data=_data,
    samples=_samples,
    individual_rows=_individual_texts,
)
