"""The sections of a report on what the model is and how good it is, from facts to HTML."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from flowssl.report.markup import (
    Cell,
    Html,
    join,
    number,
    paragraph,
    percent,
    shortened,
    table,
)

if TYPE_CHECKING:
    from flowssl.report.facts import Facts, TestRows


MAX_MATRIX = 20
"""Classes up to which the confusion matrix is shown whole."""

SURPRISE = 20.0
"""Nats of -log p(y | x) from which a row is mentioned: less than one chance in 10^8."""

MAX_CONFUSIONS = 20
"""Pairs of classes that are listed in its place."""


def names_of(facts: Facts) -> list[str]:
    """Return the classes as short texts."""
    return [shortened(label) for label in facts.estimator.classes_.tolist()]


def verdict(facts: Facts) -> Html:
    """Say in two sentences how good the model is and what the unlabeled rows were worth."""
    return join(
        paragraph(_how_good(facts), "verdict"), paragraph(_unlabeled_rows(facts), "verdict")
    )


def _how_good(facts: Facts) -> str:
    if facts.test is not None:
        return _how_good_on(facts.test, facts.kind.noun)
    ours, baseline = facts.likelihoods
    noun = facts.kind.noun
    if not (math.isfinite(ours) and math.isfinite(baseline)):
        return (
            f"There are no test {noun} and too few labels to hold some of them out, so how often "
            "the model is right is not known."
        )
    return (
        f"The model's start gives labels that it has not seen a probability of "
        f"{percent(math.exp(ours))} (geometric mean; {number(ours)} nats), the labels-only "
        f"baseline {percent(math.exp(baseline))} ({number(baseline)} nats); there are no test "
        f"{noun} to say how often the finished model is right."
    )


def _how_good_on(test: TestRows, noun: str) -> str:
    model, baseline = test.model_scores.accuracy, test.baseline_scores.accuracy
    right = test.log_proba.argmax(1) == test.codes
    right_before = test.baseline.argmax(1) == test.codes
    gained, lost = int((right & ~right_before).sum()), int((right_before & ~right).sum())
    return (
        f"On {len(test.codes):,} test {noun} the model is right in {percent(model)}, the "
        f"labels-only baseline in {percent(baseline)}: {gained:,} {noun} are right only with the "
        f"model, "
        f"{lost:,} only with the baseline."
    )


def _unlabeled_rows(facts: Facts) -> str:
    estimator = facts.estimator
    labeled, unlabeled = estimator.n_labeled_, estimator.n_unlabeled_
    noun = facts.kind.noun
    if not unlabeled:
        return f"It has learned from {labeled:,} labeled {noun}; there were no unlabeled ones."
    if not estimator.used_unlabeled_:
        return (
            f"The {unlabeled:,} unlabeled {noun} shaped the density but not the classes: labels "
            f"that were held out were predicted worse with them than from the {labeled:,} labeled "
            f"{noun} alone."
        )
    return (
        f"It has learned its classes from {labeled:,} labeled {noun} and {unlabeled:,} unlabeled "
        "ones."
    )


def classes(facts: Facts) -> Html:
    """Count labels and predictions of each class."""
    names = names_of(facts)
    given = np.bincount(facts.all_codes[facts.all_codes >= 0], minlength=len(names))
    share = np.bincount(facts.proba.argmax(1), minlength=len(names)) / max(len(facts.proba), 1)
    prior = facts.estimator.models_[0].class_density.log_prior().detach().exp().numpy()
    rows = [
        (name, f"{given[k]:,}", percent(float(prior[k])), percent(float(share[k])))
        for k, name in enumerate(names)
    ]
    noun = facts.kind.noun
    header = ("class", f"labeled {noun}", "model's class probability", f"{noun} predicted")
    return table("Classes", header, rows)


def comparison(facts: Facts) -> Html:
    """Put the model beside logistic regression on the labels alone."""
    if facts.test is None:
        return _comparison_without_test(facts)
    test = facts.test
    n = len(test.codes)
    scores = (
        ("labels-only baseline", test.baseline_scores),
        ("model", test.model_scores),
    )
    rows = [
        (
            name,
            f"{percent(s.accuracy)} ± {percent(math.sqrt(s.accuracy * (1 - s.accuracy) / n))}",
            number(s.negative_log_likelihood),
            number(s.calibration_error),
        )
        for name, s in scores
    ]
    return join(
        table(
            f"On {n:,} labeled test {facts.kind.noun}",
            ("", "accuracy ± standard error", "−log p(y | x), nats", "calibration error"),
            rows,
        ),
        paragraph(
            f"The baseline is logistic regression on {facts.kind.features}. Accuracy should "
            "be high, the other two low: −log p(y | x) is 0 for a model that is certain and right, "
            "and the expected calibration error is the mean distance between confidence and "
            "accuracy.",
            "note",
        ),
        _surprises(test, facts.kind.noun),
        _likelihood_note(facts),
    )


def _surprises(test: TestRows, noun: str) -> Html:
    """Say so where a few rows make up the model's mean -log p(y | x)."""
    of_truth = -test.log_proba[np.arange(len(test.codes)), test.codes]
    extreme = of_truth > SURPRISE
    if not extreme.any():
        return Html("")
    rest = number(float(of_truth[~extreme].mean())) if (~extreme).any() else "–"
    return paragraph(
        f"{int(extreme.sum()):,} of the {len(of_truth):,} test {noun} have a true class to which "
        f"the model gave almost no probability (above {SURPRISE:.0f} nats); without them its "
        f"−log p(y | x) is {rest}.",
        "note",
    )


def _comparison_without_test(facts: Facts) -> Html:
    ours, baseline = facts.likelihoods
    rows = [
        (name, number(value), percent(math.exp(value)) if math.isfinite(value) else "–")
        for name, value in (("labels-only baseline", baseline), ("start of the model", ours))
    ]
    return join(
        table(
            "Labels predicted from the others, cross-fitted",
            ("", "log-likelihood, nats a label", "probability of the right class"),
            rows,
        ),
        paragraph(
            f"No test {facts.kind.noun} were given. The figures are those of the soft labels that "
            "training starts from, not of the trained flow: each label was predicted without it, and the last "
            "column is the geometric mean. Accuracy in training is not shown, because it says "
            f"nothing about new {facts.kind.noun}.",
            "note",
        ),
    )


def _likelihood_note(facts: Facts) -> Html:
    ours, baseline = facts.likelihoods
    if not (math.isfinite(ours) and math.isfinite(baseline)):
        return Html("")
    return paragraph(
        f"Before training, without test {facts.kind.noun}: labels predicted from the others have "
        f"{number(ours)} nats each with the unlabeled {facts.kind.noun} and {number(baseline)} "
        "without them (cross-fitted).",
        "note",
    )


def confusion(facts: Facts) -> Html:
    """Show which classes are taken for which."""
    if facts.test is None:
        return paragraph(
            f"No test {facts.kind.noun} were given, so there is nothing to count.", "note"
        )
    counts, names = facts.test.confusion, names_of(facts)
    if len(names) > MAX_MATRIX:
        return _confusions(facts)
    of_class = counts.sum(1, keepdims=True).clip(1)
    rows: list[list[Cell]] = [
        [
            name,
            *(_shaded(int(count), float(share)) for count, share in zip(*pair, strict=True)),
            percent(float(counts[k, k] / of_class[k, 0])) if counts[k].any() else "–",
        ]
        for k, (name, pair) in enumerate(
            zip(names, zip(counts, counts / of_class, strict=True), strict=True)
        )
    ]
    return table(
        "Rows are true classes, columns predicted ones",
        ("true \\ predicted", *names, "found"),
        rows,
    )


def _shaded(count: int, share: float) -> Html:
    if not count:
        return Html('<span class="none">·</span>')
    return Html(f'<span class="share" style="--share:{share:.3f}">{count:,}</span>')


def _confusions(facts: Facts) -> Html:
    names = names_of(facts)
    counts = facts.test.confusion.copy() if facts.test is not None else np.zeros((0, 0), np.int64)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_CONFUSIONS]
    pairs = [divmod(int(place), len(names)) for place in order if counts.flat[place]]
    rows = [(names[t], names[p], f"{counts[t, p]:,}") for t, p in pairs]
    return table(
        f"The most frequent confusions of {len(names):,} classes",
        ("true", "predicted", facts.kind.noun),
        rows,
        text_columns=(0, 1),
    )
