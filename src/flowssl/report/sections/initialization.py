"""Section "Initialization": the candidates for the soft labels that training started from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts
from flowssl.report.markup import join, number, paragraph, plain_value, table

if TYPE_CHECKING:
    from flowssl._persistence import JSON

PLACE = 90


def write(facts: Facts) -> Section:
    """List the candidates for the soft labels with their weights and likelihoods."""
    candidates = facts.estimator.initialization_["candidates"]
    listed = [c for c in candidates if isinstance(c, dict)] if isinstance(candidates, list) else []
    order = np.argsort([-_as_float(c["weight"]) for c in listed], kind="stable")
    rows = [
        (
            plain_value(candidate["name"]),
            f"{_as_float(candidate['weight']):.3f}",
            number(_as_float(candidate["label_log_likelihood"])),
        )
        for candidate in (listed[i] for i in order.tolist())
    ]
    ours, baseline = facts.cross_fitted
    rows.append(("pool of the candidates", "", number(ours)))
    rows.append(("labels-only baseline", "", number(baseline)))
    body = join(
        paragraph(
            f"Training starts from soft labels of all {facts.noun}: a log-linear pool of simple "
            f"classifiers on {facts.traits.candidate_features}, weighted so that the pool predicts "
            "held-out labels well."
        ),
        table(
            "Candidates for the soft labels",
            ("candidate", "weight", "cross-fitted log-likelihood, nats per label"),
            rows,
        ),
    )
    return Section("initialization", "Initialization", body)


def _as_float(value: JSON) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
