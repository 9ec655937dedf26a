"""Section "Confusion matrix": which classes are predicted as which."""

from __future__ import annotations

import numpy as np

from flowssl.report.blocks import Section, note
from flowssl.report.facts import Facts, TestRows
from flowssl.report.markup import Cell, Html, percent, table

PLACE = 30

MAX_CLASSES = 20
"""Number of classes up to which the whole matrix is shown."""

MAX_PAIRS = 20
"""Pairs of classes that are listed where there are more."""


def write(facts: Facts) -> Section:
    """Count test rows by true and predicted class."""
    if facts.test is None:
        body = note(f"No test {facts.noun} were given.")
    elif len(facts.class_names) > MAX_CLASSES:
        body = _most_frequent(facts, facts.test)
    else:
        body = _matrix(facts, facts.test)
    return Section("confusion", "Confusion matrix", body)


def _matrix(facts: Facts, test: TestRows) -> Html:
    counts, names = test.confusion, facts.class_names
    of_class = counts.sum(1, keepdims=True).clip(1)
    rows: list[list[Cell]] = [
        [
            name,
            *(_shaded(int(count), float(part)) for count, part in zip(*pair, strict=True)),
            percent(float(counts[k, k] / of_class[k, 0])) if counts[k].any() else "–",
        ]
        for k, (name, pair) in enumerate(
            zip(names, zip(counts, counts / of_class, strict=True), strict=True)
        )
    ]
    return table(
        f"Test {facts.noun} by true class (rows) and predicted class (columns)",
        ("true \\ predicted", *names, "recall"),
        rows,
    )


def _shaded(count: int, fraction: float) -> Html:
    if not count:
        return Html('<span class="none">·</span>')
    return Html(f'<span class="fraction" style="--fraction:{fraction:.3f}">{count:,}</span>')


def _most_frequent(facts: Facts, test: TestRows) -> Html:
    names = facts.class_names
    counts = test.confusion.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_PAIRS]
    pairs = [divmod(int(position), len(names)) for position in order if counts.flat[position]]
    rows = [(names[t], names[p], f"{counts[t, p]:,}") for t, p in pairs]
    return table(
        f"The most frequent confusions of {len(names):,} classes",
        ("true", "predicted", facts.noun),
        rows,
        text_columns=(0, 1),
    )
