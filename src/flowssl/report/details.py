"""The sections of a report that look inside: pictures, start, single rows, parameters, versions."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from flowssl import plotting
from flowssl._fitted import is_planar
from flowssl.plotting.style import plain
from flowssl.report.facts import Facts, Integers, pick
from flowssl.report.markup import (
    Html,
    join,
    number,
    paragraph,
    percent,
    picture,
    shortened,
    significant,
    table,
)
from flowssl.report.sections import names_of

if TYPE_CHECKING:
    from flowssl.persistence import JSON

__all__ = ["calibration", "latent", "parameters", "plane", "rows", "start", "training", "versions"]

FIGURES = ("weight", "label_log_likelihood")

SHOWN_ROWS = 5
SHOWN_UNSURE = 10
SHOWN_CELLS = 8
"""Columns of single rows; of wider tables those in which the rows are most unusual."""

PACKAGES = ("flowssl", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")

SAMPLE_NOTE = f"At most {plotting.MAX_DOTS:,} labeled and as many unlabeled rows are drawn."


def calibration(facts: Facts) -> Html:
    """Draw confidence against accuracy on test rows."""
    if facts.test is None:
        return paragraph(
            "No test rows were given. A curve over the training labels would flatter the model, "
            "because it was fitted to them; pass rows with known labels as X_test and y_test (or "
            "--test) to see one.",
            "note",
        )
    estimator, test = facts.estimator, facts.test
    return picture(
        lambda theme: plotting.plot_reliability(estimator, test.X, test.y, theme=theme),
        f"Accuracy against confidence in 15 bins; the expected calibration error is "
        f"{number(test.model_scores.calibration_error)}.",
        "Above the dashed line the model is right more often than it says, below it less often. "
        f"Bars are 95 % intervals. Temperature: {number(estimator.temperature_)}.",
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
    return picture(
        lambda theme: plotting.plot_latent_space(estimator, facts.X, facts.y, theme=theme),
        f"The rows in the latent space of the flow, with the places of "
        f"{len(estimator.classes_):,} classes.",
        "Names stand at the class centers, rings are one standard deviation of the classes. "
        "Triangles are labeled rows; dots are unlabeled rows in the color of the predicted class. "
        f"{view} {SAMPLE_NOTE}",
    )


def plane(facts: Facts) -> Html:
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
            "thin lines enclose 50, 90 and 99 % of the rows. " + SAMPLE_NOTE,
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


def training(facts: Facts) -> Html:
    """Draw the epochs."""
    history = facts.estimator.history_
    if not history:
        return paragraph("Training ended before its first epoch did.", "note")
    seconds = sum(record["seconds"] for record in history)
    stopped = " It was interrupted." if facts.estimator.interrupted_ else ""
    return join(
        paragraph(f"{len(history):,} epochs in {seconds:.1f} s.{stopped}"),
        picture(
            lambda theme: plotting.plot_history(facts.estimator, theme=theme),
            f"Log-density and cross-entropy over {len(history):,} epochs.",
            "Of held-out rows, where enough rows are unlabeled to hold some out; else of the "
            "training rows. The dashed line is the epoch whose weights the model has.",
        ),
    )


def start(facts: Facts) -> Html:
    """Tell how the candidates for the soft labels fared."""
    candidates = facts.estimator.start_["candidates"]
    listed = [c for c in candidates if isinstance(c, dict)] if isinstance(candidates, list) else []
    body = [[_plain(c["name"]), *(_figure(c[key]) for key in FIGURES)] for c in listed]
    order = np.argsort([-_as_float(c["weight"]) for c in listed], kind="stable")
    ours, baseline = facts.likelihoods
    body = [body[i] for i in order.tolist()]
    body.append(["their average", "", number(ours)])
    body.append(["labels-only baseline", "", number(baseline)])
    return join(
        paragraph(
            "Training starts from soft labels of all rows: an average over cheap candidates on "
            "several views of the table, weighted by how well each predicts labels that it has not "
            "seen."
        ),
        table("Candidates", ("candidate", "weight", "cross-fitted nats a label"), body),
    )


def rows(facts: Facts) -> Html:
    """List the most and the least likely rows, and those most useful to label next."""
    limit = len(facts.all_codes)
    parts = [
        paragraph(
            "Row numbers count from 0. Density is log p(x) in nats; the next column says how many "
            "robust standard deviations it lies below that of usual rows."
            + (
                " Of rows with missing values it is the density of what is there, which is not "
                "quite comparable."
                if np.isnan(facts.matrix).any()
                else ""
            )
            + (
                f" {len(facts.index):,} of {limit:,} rows, chosen at random, were looked at."
                if len(facts.index) < limit
                else ""
            ),
            "note",
        ),
        _row_table(facts, "Most likely rows", facts.rows_by_density(SHOWN_ROWS, least=False)),
        _row_table(facts, "Least likely rows", facts.rows_by_density(SHOWN_ROWS, least=True)),
    ]
    unsure = facts.rows_to_label(SHOWN_UNSURE)
    if len(unsure):
        title = "Rows the model is least sure of: the most useful ones to label next"
        parts.append(_row_table(facts, title, unsure, n_guesses=2))
    return join(*parts)


def _row_table(facts: Facts, title: str, chosen: Integers, n_guesses: int = 1) -> Html:
    names = names_of(facts)
    columns = _telling_columns(facts, chosen)
    cells = pick(facts.X, facts.index[chosen], columns)
    below = facts.estimator.outlier_scale_.unlikely(facts.log_density)
    body = []
    for row, values in zip(chosen.tolist(), cells, strict=True):
        order = np.argsort(-facts.proba[row], kind="stable")[:n_guesses].tolist()
        best = [f"{names[k]} ({percent(float(facts.proba[row, k]))})" for k in order]
        code = int(facts.codes[row])
        body.append(
            (
                f"{facts.index[row]:,}",
                number(float(facts.log_density[row])),
                f"{below[row]:.1f}".replace("-", "−"),
                "–" if code < 0 else names[code],
                ", ".join(best),
                *(_plain(value) for value in values),
            )
        )
    header = ["row", "density", "below usual", "label", "predicted"]
    header += [plain(facts.columns[column].name) for column in columns]
    left_out = len(facts.columns) - len(columns)
    if left_out:
        title += f" ({len(columns)} of {len(facts.columns):,} columns: where they are most unusual)"
    return table(title, header, body, text_columns=(3, 4))


def _telling_columns(facts: Facts, chosen: Integers) -> list[int]:
    """Return the table's columns to show: all, or those where the rows are farthest out."""
    if len(facts.columns) <= SHOWN_CELLS:
        return list(range(len(facts.columns)))
    estimator = facts.estimator
    distance = np.abs(estimator.completion_.typical(facts.matrix[chosen])).mean(0)
    place = {column.name: i for i, column in enumerate(facts.columns)}
    order = np.argsort(-distance, kind="stable").tolist()
    of_table = [place[estimator.encoder_.output_columns_[j].column] for j in order]
    return sorted(list(dict.fromkeys(of_table))[:SHOWN_CELLS])


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


def _plain(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shortened(value)
    return significant(float(value))


def _as_float(value: JSON) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _figure(value: JSON) -> str:
    return number(_as_float(value))
