"""Sections on images: labeled examples, class means and samples, individual images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowssl._typing import Floats, Integers
from flowssl.inspection import image_bits
from flowssl.plotting import plot_class_samples, plot_images
from flowssl.plotting.images import MAX_CAPTION
from flowssl.preprocessing.containers import take_rows
from flowssl.report.blocks import Section, class_table, note, row_table
from flowssl.report.facts import Facts, RowTraits, TestRows
from flowssl.report.kinds.base import RowKind
from flowssl.report.markup import Html, figure, heading, join, number, paragraph, percent

N_EXAMPLES = 20
N_EXTREME = 20
N_TO_LABEL = 20
N_ERRORS = 20
N_LISTED = 10
"""Images of a grid that are also listed with their figures."""

TEMPERATURES = (
    (0.0625, "T = 0.25²: what the model considers typical of each class"),
    (1.0, "T = 1: samples of the model's density"),
)
"""The temperatures of the papers' figures."""


# Data.


def _data(facts: Facts) -> Section:
    channels, height, width = _shape(facts)
    labeled = np.flatnonzero(facts.all_codes >= 0)
    shown = labeled[np.argsort(_turn(facts.all_codes[labeled]), kind="stable")][:N_EXAMPLES]
    shown = shown[np.argsort(facts.all_codes[shown], kind="stable")]
    body = join(
        paragraph(
            f"{len(facts.all_codes):,} {'gray' if channels == 1 else 'color'} images of {width} × "
            f"{height} pixels, {len(labeled):,} of them labeled. {_bits(facts)}"
        ),
        class_table(facts),
        _grid(
            facts,
            "Labeled images",
            facts.encoded[shown],
            [facts.class_names[code] for code in facts.all_codes[shown]],
            "Examples with their labels.",
        ),
    )
    return Section("data", "Data", body)


def _shape(facts: Facts) -> tuple[int, int, int]:
    encoder = facts.estimator.encoder_
    if encoder.row_kind != "image":
        raise ValueError(f"the sections on images do not apply to rows of kind {encoder.row_kind}")
    return encoder.shape


def _bits(facts: Facts) -> str:
    """State the likelihood in the unit that is common for images, on test images if there are."""
    if facts.test is None:
        images, which = take_rows(facts.X, facts.index), "of these, on most of which it was trained"
    else:
        images, which = take_rows(facts.test.X, facts.test.index), "of the test images"
    bits = image_bits(facts.estimator, images)
    return (
        f"Negative log-likelihood of {bits.n_images:,} {which}: {number(bits.expected, 2)} bits per "
        f"dimension as E log p(x + u), the bound that papers state (mean over {bits.n_draws} "
        f"dequantizations u; standard error {number(bits.standard_error, 2)}); "
        f"{number(bits.averaged, 2)} from the density averaged over the same draws, a tighter "
        f"bound; {number(bits.centers, 2)} at the centers of the levels, which is no bound. Uniform "
        "noise has 8."
    )


def _turn(codes: Integers) -> Integers:
    """Return the number of each row within its class, by which classes take turns."""
    turns = np.empty_like(codes)
    for code in np.unique(codes):
        turns[codes == code] = np.arange((codes == code).sum())
    return turns


# Class means and samples.


def _samples(facts: Facts) -> Section:
    parts = [
        paragraph(
            "Images sampled from the model. Samples that do not resemble their class indicate that "
            "the density captures little of the images' appearance; classification may still be "
            "accurate."
        )
    ]
    parts += [_class_samples(facts, temperature, title) for temperature, title in TEMPERATURES]
    return Section("samples", "Class means and samples", join(*parts))


def _class_samples(facts: Facts, temperature: float, title: str) -> Html:
    return figure(
        lambda theme: plot_class_samples(facts.estimator, temperature=temperature, theme=theme),
        f"Images sampled from each class at temperature {temperature:g}, next to the image of the "
        "class mean.",
        f"{title}. The first column is the class mean, f⁻¹(μ); the others are samples with latent "
        f"variances multiplied by {temperature:g}.",
    )


# Individual images.


def _individual_images(facts: Facts) -> Section:
    numbers = "" if facts.names is not None else " Image numbers start at 0."
    parts = [
        note(
            "log p(x) is in nats; its distance below the median is given in robust standard "
            f"deviations (SD).{numbers}{facts.evaluated_note()}"
        )
    ]
    if facts.test is not None:
        parts.append(_errors(facts, facts.test))
    parts += [_uncertain(facts), _least_likely(facts), _most_likely(facts)]
    return Section("rows", "Individual images", join(*parts))


def _errors(facts: Facts, test: TestRows) -> Html:
    """Show the misclassified test images, the most confident predictions first."""
    if not len(test.errors):
        return paragraph("No test image is misclassified.")
    shown, predicted = test.errors[:N_ERRORS], test.log_proba.argmax(1)
    names = facts.class_names
    captions = [
        f"{names[test.codes[i]]}\n→ {names[predicted[i]]}\n{percent(float(test.confidence[i]))}"
        for i in shown
    ]
    return _grid(
        facts,
        "Misclassified test images",
        test.matrix[shown],
        captions,
        f"{len(shown):,} of {len(test.errors):,} misclassified test images, the most confident "
        "predictions first: true class → predicted class, with its probability.",
    )


def _uncertain(facts: Facts) -> Html:
    chosen = facts.rows_to_label(N_TO_LABEL)
    if not len(chosen):
        return Html("")
    names = facts.class_names
    order = np.argsort(-facts.proba[chosen], axis=1, kind="stable")[:, :2]
    captions = [
        f"{_end(facts.name(row))}\n" + "\nor ".join(names[k] for k in best)
        for row, best in zip(chosen.tolist(), order.tolist(), strict=True)
    ]
    return join(
        _grid(
            facts,
            "Most uncertain images: the most useful to label next",
            facts.matrix[chosen],
            captions,
            "Unlabeled images near the decision boundary, with their two most probable classes.",
        ),
        row_table(facts, "Most uncertain images", chosen[:N_LISTED], n_predicted=2),
    )


def _least_likely(facts: Facts) -> Html:
    chosen = facts.rows_by_density(N_EXTREME, lowest=True)
    return join(
        _grid(
            facts,
            "Least likely images",
            facts.matrix[chosen],
            _deviations(facts, chosen),
            "Corrupted, rare or out-of-distribution images may be among these.",
        ),
        row_table(facts, "Least likely images", chosen[:N_LISTED]),
    )


def _most_likely(facts: Facts) -> Html:
    chosen = facts.rows_by_density(N_EXTREME, lowest=False)
    return _grid(
        facts,
        "Most likely images",
        facts.matrix[chosen],
        _deviations(facts, chosen),
        "These are often simple images rather than typical ones.",
    )


def _deviations(facts: Facts, chosen: Integers) -> list[str]:
    """Return captions: the name of each image and its distance from the median."""
    below = facts.estimator.outlier_scale_.unlikely(facts.log_density[chosen])
    return [
        f"{_end(facts.name(row))}\n{abs(deviations):.1f} SD\n{'below' if deviations > 0 else 'above'}"
        for row, deviations in zip(chosen.tolist(), below.tolist(), strict=True)
    ]


def _grid(facts: Facts, title: str, images: Floats, captions: Sequence[str], text: str) -> Html:
    """Draw images (n, D) with captions below a heading, and a text below them."""
    drawn = figure(
        lambda theme: plot_images(facts.estimator, images, captions, theme=theme),
        f"{title}: {len(captions):,} images. {text}",
        text,
    )
    return join(heading(title), drawn)


def _end(name: str) -> str:
    """Return as much of the end of a path as a caption has room for."""
    file = name.rpartition("/")[2]
    return file if len(file) <= MAX_CAPTION else f"…{file[1 - MAX_CAPTION :]}"


IMAGE_ROWS = RowKind(
    traits=RowTraits(
        noun="images",
        baseline_features="principal components of the labeled images",
        candidate_features="principal components of the images, and a network on the pixels",
        # An image takes a flow thousands of times as long as a row of a table.
        max_evaluated=4_000,
        max_points=500,
    ),
    data=_data,
    samples=_samples,
    individual_rows=_individual_images,
)
