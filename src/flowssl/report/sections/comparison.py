"""Section "Comparison with the baseline": the model next to logistic regression on the labels."""

from __future__ import annotations

import math

import numpy as np

from flowssl.report.blocks import Section, note
from flowssl.report.facts import Facts, TestRows
from flowssl.report.markup import Html, join, number, percent, table

PLACE = 20

SURPRISE = 20.0
"""Nats of -log p(y | x) from which a row is reported: a probability below 10^-8."""


def write(facts: Facts) -> Section:
    """Compare the model with logistic regression on the labeled rows alone."""
    body = _on_test_rows(facts, facts.test) if facts.test is not None else _cross_fitted(facts)
    return Section("comparison", "Comparison with the baseline", body)


def _on_test_rows(facts: Facts, test: TestRows) -> Html:
    n = len(test.codes)
    rows = [
        (
            name,
            f"{percent(s.accuracy)} ± {percent(math.sqrt(s.accuracy * (1 - s.accuracy) / n))}",
            number(s.negative_log_likelihood),
            number(s.calibration_error),
        )
        for name, s in (
            ("labels-only baseline", test.baseline_scores),
            ("model", test.model_scores),
        )
    ]
    return join(
        table(
            f"Scores on {n:,} labeled test {facts.noun}",
            ("", "accuracy ± standard error", "−log p(y | x), nats", "calibration error"),
            rows,
        ),
        note(
            f"The baseline is logistic regression on {facts.traits.baseline_features}. The last two "
            "columns are better when lower: the mean −log p(y | x) is 0 for a model that is certain "
            "and correct, and the expected calibration error is the mean gap between confidence and "
            "accuracy."
        ),
        _surprises(test, facts.noun),
        _cross_fitted_note(facts),
    )


def _surprises(test: TestRows, noun: str) -> Html:
    """Report it where a few rows dominate the model's mean -log p(y | x)."""
    of_truth = -test.log_proba[np.arange(len(test.codes)), test.codes]
    extreme = of_truth > SURPRISE
    if not extreme.any():
        return Html("")
    rest = number(float(of_truth[~extreme].mean())) if (~extreme).any() else "–"
    return note(
        f"For {int(extreme.sum()):,} of the {len(of_truth):,} test {noun} the model gives the true "
        f"class almost no probability (−log p(y | x) above {SURPRISE:.0f} nats); without them its "
        f"mean −log p(y | x) is {rest}."
    )


def _cross_fitted(facts: Facts) -> Html:
    ours, baseline = facts.cross_fitted
    rows = [
        (name, number(value), percent(math.exp(value)) if math.isfinite(value) else "–")
        for name, value in (("labels-only baseline", baseline), ("soft labels", ours))
    ]
    return join(
        table(
            "Cross-fitted prediction of the labels",
            ("", "log-likelihood, nats per label", "probability of the true class"),
            rows,
        ),
        note(
            f"No test {facts.noun} were given. The figures are those of the soft labels that "
            "training started from, not of the trained flow: each label was predicted by candidates "
            "that were fitted without it, and the last column is the geometric mean. Accuracy on "
            f"the training {facts.noun} is omitted, because it says nothing about new {facts.noun}."
        ),
    )


def _cross_fitted_note(facts: Facts) -> Html:
    ours, baseline = facts.cross_fitted
    if not (math.isfinite(ours) and math.isfinite(baseline)):
        return Html("")
    return note(
        f"Cross-fitted log-likelihood before training, without test {facts.noun}: {number(ours)} "
        f"nats per label with the unlabeled {facts.noun}, {number(baseline)} without them."
    )
