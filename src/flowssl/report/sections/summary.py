"""Section "Summary": how good the model is, and what the unlabeled rows contributed."""

from __future__ import annotations

import math

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts, TestRows
from flowssl.report.markup import join, number, paragraph, percent

PLACE = 0


def write(facts: Facts) -> Section:
    """State in two sentences how good the model is and what the unlabeled rows contributed."""
    body = join(paragraph(_quality(facts), "summary"), paragraph(_contribution(facts), "summary"))
    return Section("summary", "Summary", body)


def _quality(facts: Facts) -> str:
    noun = facts.noun
    if facts.test is not None:
        return _test_quality(facts.test, noun)
    ours, baseline = facts.cross_fitted
    if not (math.isfinite(ours) and math.isfinite(baseline)):
        return (
            f"The accuracy is unknown: no test {noun} were given, and there are too few labels for "
            "cross-fitting."
        )
    return (
        f"The soft labels that training started from give held-out labels a probability of "
        f"{percent(math.exp(ours))} (geometric mean; {number(ours)} nats), the labels-only "
        f"baseline {percent(math.exp(baseline))} ({number(baseline)} nats). The accuracy of the "
        f"trained model is unknown: no test {noun} were given."
    )


def _test_quality(test: TestRows, noun: str) -> str:
    model, baseline = test.model_scores.accuracy, test.baseline_scores.accuracy
    right = test.log_proba.argmax(1) == test.codes
    right_baseline = test.baseline.argmax(1) == test.codes
    gained, lost = int((right & ~right_baseline).sum()), int((right_baseline & ~right).sum())
    return (
        f"On {len(test.codes):,} test {noun} the accuracy is {percent(model)}, that of the "
        f"labels-only baseline {percent(baseline)}: {gained:,} {noun} are classified correctly by "
        f"the model only, {lost:,} by the baseline only."
    )


def _contribution(facts: Facts) -> str:
    estimator, noun = facts.estimator, facts.noun
    labeled, unlabeled = estimator.n_labeled_, estimator.n_unlabeled_
    if not unlabeled:
        return f"The model was trained on {labeled:,} labeled {noun}, without unlabeled ones."
    if not estimator.used_unlabeled_:
        return (
            f"The {unlabeled:,} unlabeled {noun} were used for the density but not for the classes: "
            "held-out labels were predicted worse with them than from the "
            f"{labeled:,} labeled {noun} alone."
        )
    return f"The model was trained on {labeled:,} labeled and {unlabeled:,} unlabeled {noun}."
