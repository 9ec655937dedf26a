"""Section "Samples judged": how well boosted trees tell samples from real rows, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowssl._fitted import subsample
from flowssl.inspection import TwoSampleResult, two_sample_test
from flowssl.inspection.two_sample import MIN_ROWS
from flowssl.plotting import plot_marginals
from flowssl.plotting.style import plain
from flowssl.preprocessing.containers import take_rows
from flowssl.report.blocks import Section, note
from flowssl.report.facts import Facts
from flowssl.report.markup import Html, figure, join, number, paragraph, table

if TYPE_CHECKING:
    from flowssl.preprocessing.containers import TableLike

PLACE = 65

MAX_ROWS = 1000
N_COLUMNS = 3
"""Rows of each kind that are compared, and columns that are listed and drawn."""

MAX_LATENTS = 20
"""Latents that are compared of images and texts, the first; the classes differ in them."""


def write(facts: Facts) -> Section:
    """Compare samples with test rows, or else with training rows."""
    return Section("judged", "Samples judged", _judged(facts))


def _judged(facts: Facts) -> Html:
    X = facts.X if facts.test is None else facts.test.X
    n_rows = len(facts.encoded) if facts.test is None else facts.test.n_rows
    if n_rows < MIN_ROWS:
        return note(f"Fewer than {MIN_ROWS} {facts.noun} were given, too few to judge samples by.")
    chosen = subsample(np.arange(n_rows), MAX_ROWS)
    real, sampled = _compared(facts, take_rows(X, chosen), len(chosen))
    found = two_sample_test(real, sampled, n_repeats=1)
    return join(
        paragraph(
            f"Area under the ROC curve of boosted trees that tell {found.n_rows:,} samples from as "
            f"many {'training' if facts.test is None else 'test'} {facts.noun}: "
            f"{number(found.auc)} (95 % interval {number(found.interval[0])} to "
            f"{number(found.interval[1])})."
        ),
        note(_explanation(facts)),
        _telling(facts, found),
        _pictures(real, sampled, found),
    )


def _compared(facts: Facts, X: TableLike, n: int) -> tuple[TableLike, TableLike]:
    """Return what is compared of real rows and of as many samples: rows of tables, or latents."""
    estimator = facts.estimator
    sampled, _ = estimator.sample(n, random_state=0)
    if estimator.encoder_.row_kind == "table":
        return X, sampled
    width = min(estimator.class_features_, MAX_LATENTS)
    return estimator.transform(X)[:, :width], estimator.transform(sampled)[:, :width]


def _explanation(facts: Facts) -> str:
    by_heart = (
        ""
        if facts.test is not None
        else f" Samples of {facts.noun} learned by heart would look perfect, too; test {facts.noun} "
        "would show it."
    )
    latents = (
        ""
        if facts.estimator.encoder_.row_kind == "table"
        else " What is compared are the first latents, which the class densities describe."
    )
    return (
        "0.5 is perfect: nothing tells samples from real ones. 1 would be samples that each give "
        f"themselves away.{latents}{by_heart}"
    )


def _telling(facts: Facts, found: TwoSampleResult) -> Html:
    prefix = "x" if facts.estimator.encoder_.row_kind == "table" else "latent"
    rows = [
        (name if isinstance(name, str) else f"{prefix}{name}", number(found.importance[name]))
        for name in found.telling(N_COLUMNS)
    ]
    header = ("column", "fall of the AUC where it is shuffled")
    return table(
        "Columns that tell samples from real rows most", header, [(plain(a), b) for a, b in rows]
    )


def _pictures(real: TableLike, sampled: TableLike, found: TwoSampleResult) -> Html:
    columns = found.telling(N_COLUMNS)
    if len(columns) < 2:
        return Html("")
    return figure(
        lambda theme: plot_marginals(real, sampled, columns, theme=theme),
        "Pairs of the columns above: real rows in the upper panels, samples in the lower ones.",
        "Upper panels: real rows; lower panels: samples, on the same axes.",
        wide=len(columns) > 2,
    )
