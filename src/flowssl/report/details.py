"""The sections of a report that look inside: pictures, start, single rows, parameters, versions."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from flowssl import plotting
from flowssl.plotting.figures import LatentRows, latent_figure, reliability_figure
from flowssl.report.markup import (
    Html,
    join,
    number,
    paragraph,
    picture,
    plain_value,
    shortened,
    table,
)

if TYPE_CHECKING:
    from flowssl._persistence import JSON
    from flowssl.report.facts import Facts


FIGURES = ("weight", "label_log_likelihood")

PACKAGES = ("flowssl", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")


def calibration(facts: Facts) -> Html:
    """Draw confidence against accuracy on test rows."""
    if facts.test is None:
        return paragraph(
            f"No test {facts.kind.noun} were given. A curve over the training labels would flatter "
            f"the model, because it was fitted to them; pass {facts.kind.noun} with known labels "
            "as X_test and y_test (or --test) to see one.",
            "note",
        )
    estimator, test = facts.estimator, facts.test
    proba = np.exp(test.log_proba)
    return picture(
        lambda theme: reliability_figure(proba, test.codes, theme=theme),
        f"Accuracy against confidence in 15 bins; the expected calibration error is "
        f"{number(test.model_scores.calibration_error)}.",
        "Above the dashed line the model is right more often than it says, below it less often. "
        f"Bars are 95 % intervals. Temperature: {number(estimator.calibration_temperature_)}.",
    )


def latent(facts: Facts) -> Html:
    """Draw the latent space."""
    estimator = facts.estimator
    n_latents = len(estimator.encoder_.output_columns_)
    view = (
        f"Of {n_latents:,} dimensions, the two are shown in which the class means differ most; "
        "classes that overlap here may be apart in the others."
        if n_latents > 2
        else "This is the whole latent space."
    )
    noun, limit = facts.kind.noun, facts.kind.max_dots
    drawn = LatentRows.of(estimator, facts.encoded, facts.all_codes, limit)
    return picture(
        lambda theme: latent_figure(estimator, drawn, theme=theme),
        f"The {noun} in the latent space of the flow, with the places of "
        f"{len(estimator.classes_):,} classes.",
        "Names stand at the class centers, rings are one standard deviation of the classes. "
        f"Triangles are labeled {noun}; dots are unlabeled {noun} in the color of the predicted "
        f"class. {view} {facts.dots_note()}",
    )


def training(facts: Facts) -> Html:
    """Draw the epochs."""
    history, noun = facts.estimator.history_, facts.kind.noun
    if not history:
        return paragraph("Training ended before its first epoch did.", "note")
    seconds = sum(record["seconds"] for record in history)
    stopped = " It was interrupted." if facts.estimator.interrupted_ else ""
    return join(
        paragraph(f"{len(history):,} epochs in {seconds:.1f} s.{stopped}"),
        picture(
            lambda theme: plotting.plot_history(facts.estimator, theme=theme),
            f"Log-density and cross-entropy over {len(history):,} epochs.",
            f"Of held-out {noun}, where enough {noun} are unlabeled to hold some out; else of the "
            f"training {noun}. The dashed line is the epoch whose weights the model has.",
        ),
    )


def start(facts: Facts) -> Html:
    """Tell how the candidates for the soft labels fared."""
    candidates = facts.estimator.initialization_["candidates"]
    listed = [c for c in candidates if isinstance(c, dict)] if isinstance(candidates, list) else []
    body = [[plain_value(c["name"]), *(_figure(c[key]) for key in FIGURES)] for c in listed]
    order = np.argsort([-_as_float(c["weight"]) for c in listed], kind="stable")
    ours, baseline = facts.likelihoods
    body = [body[i] for i in order.tolist()]
    body.append(["their average", "", number(ours)])
    body.append(["labels-only baseline", "", number(baseline)])
    return join(
        paragraph(
            f"Training starts from soft labels of all {facts.kind.noun}: an average over cheap "
            f"candidates on {facts.kind.start}, weighted by how well each predicts labels that it "
            "has not seen."
        ),
        table("Candidates", ("candidate", "weight", "cross-fitted nats a label"), body),
    )


def parameters(facts: Facts) -> Html:
    """List the constructor's parameters."""
    estimator = facts.estimator
    defaults = type(estimator)().get_params(deep=False)
    body = []
    for name, value in sorted(estimator.get_params(deep=False).items()):
        changed = repr(value) != repr(defaults[name])
        body.append((name, shortened(repr(value)), "changed" if changed else "default"))
    n_weights = sum(p.numel() for model in estimator.models_ for p in model.parameters())
    return join(
        paragraph(
            f"{type(estimator).__name__}: {len(estimator.models_):,} flow(s) with {n_weights:,} "
            f"numbers in all, {len(estimator.encoder_.output_columns_):,} latent dimensions."
        ),
        table("Parameters", ("parameter", "value", ""), body, text_columns=(0, 1, 2)),
    )


def versions() -> Html:
    """List what the report was made with."""
    body = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            body.append((package, version(package)))
        except PackageNotFoundError:  # run from a source tree that is not installed
            body.append((package, "not installed"))
    return table("Versions", ("package", "version"), body, text_columns=(0, 1))


def _as_float(value: JSON) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _figure(value: JSON) -> str:
    return number(_as_float(value))
