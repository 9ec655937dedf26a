"""What a report says of images: examples, class means and samples, images worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowssl import plotting
from flowssl._typing import Floats, Integers
from flowssl.plotting.images import MAX_CAPTION
from flowssl.preprocessing import bits_per_dimension
from flowssl.report.kinds import RowKind, Section, row_table
from flowssl.report.markup import Html, heading, join, number, paragraph, percent, picture
from flowssl.report.sections import classes, names_of

if TYPE_CHECKING:
    from flowssl.report.facts import Facts, TestRows


SHOWN_EXAMPLES = 20
SHOWN_EXTREME = 20
SHOWN_UNSURE = 20
SHOWN_ERRORS = 20
SHOWN_TABLE = 10

TEMPERATURES = (
    (0.0625, "T = .25²: what the model holds for typical of a class"),
    (1.0, "T = 1: the model's density as it is"),
)
"""Those of the papers' pictures: the first shows what a class is, the second what was learned."""


@dataclass(frozen=True)
class ImageRows(RowKind):
    """Images of one shape."""

    channels: int
    height: int
    width: int

    noun = "images"
    features = "principal components of the labeled images"
    start = "principal components of the images, and a network on the pixels,"
    # A flow of images takes thousands of times as long for a row as one of a table.
    max_judged = 4_000
    max_dots = 500

    def data(self, facts: Facts) -> Html:
        """Describe the images, their labels and how well the model knows them."""
        labeled = np.flatnonzero(facts.all_codes >= 0)
        color = "gray" if self.channels == 1 else "in color"
        shown = labeled[np.argsort(_turn(facts.all_codes[labeled]), kind="stable")][:SHOWN_EXAMPLES]
        shown = shown[np.argsort(facts.all_codes[shown], kind="stable")]
        names = names_of(facts)
        return join(
            paragraph(
                f"{len(facts.all_codes):,} images of {self.width} × {self.height} pixels, {color}, "
                f"{len(labeled):,} of them labeled. {self._bits(facts)}"
            ),
            classes(facts),
            _grid(
                facts,
                "Labeled images",
                facts.encoded[shown],
                [names[code] for code in facts.all_codes[shown]],
                "Some of them, and their labels.",
            ),
        )

    def _bits(self, facts: Facts) -> str:
        """Give the likelihood in the unit that is common for images."""
        dim = self.channels * self.height * self.width
        of_training = float(bits_per_dimension(facts.log_density, dim).mean())
        text = (
            f"To describe one of them, the model needs {number(of_training, 2)} bits for each of its "
            f"{dim:,} numbers on average (bits per dimension; 8 without any knowledge)"
        )
        if facts.test is None:
            return f"{text}; most of them were trained on."
        of_test = float(bits_per_dimension(facts.test.log_density, dim).mean())
        return f"{text}; of the test images {number(of_test, 2)}."

    def samples(self, facts: Facts) -> Section:
        """Draw class means and samples at two temperatures."""
        parts = [
            paragraph(
                "Images that the model makes up. If they are no images of their class, the model "
                "may still tell classes apart, but its densities know little of what they look "
                "like."
            )
        ]
        parts += [_samples(facts, temperature, title) for temperature, title in TEMPERATURES]
        return Section("samples", "Class means and samples", join(*parts))

    def single_rows(self, facts: Facts) -> Html:
        """Show errors, the most and the least likely images, and those to label next."""
        numbers = "" if facts.names is not None else " Image numbers count from 0."
        parts = [
            paragraph(
                "Density is log P(x) in nats; how far it lies below that of usual images is given in "
                f"robust standard deviations.{numbers}{facts.judged_note()}",
                "note",
            )
        ]
        if facts.test is not None:
            parts.append(_errors(facts, facts.test))
        parts += [self._unsure(facts), self._extreme(facts, least=True)]
        parts.append(self._extreme(facts, least=False))
        return join(*parts)

    def _unsure(self, facts: Facts) -> Html:
        chosen = facts.rows_to_label(SHOWN_UNSURE)
        if not len(chosen):
            return Html("")
        names = names_of(facts)
        order = np.argsort(-facts.proba[chosen], axis=1, kind="stable")[:, :2]
        captions = [
            f"{_end(facts.name(row))}\n" + "\nor ".join(names[k] for k in best)
            for row, best in zip(chosen.tolist(), order.tolist(), strict=True)
        ]
        return join(
            _grid(
                facts,
                "Least certain: the most useful ones to label next",
                facts.matrix[chosen],
                captions,
                "Unlabeled images near the decision boundary, and their two most probable classes.",
            ),
            row_table(facts, "Least certain, the first of them", chosen[:SHOWN_TABLE], n_guesses=2),
        )

    def _extreme(self, facts: Facts, *, least: bool) -> Html:
        chosen = facts.rows_by_density(SHOWN_EXTREME, least=least)
        below = facts.estimator.outlier_scale_.unlikely(facts.log_density[chosen])
        captions = [
            f"{_end(facts.name(row))}\n{abs(deviations):.1f} {'below' if deviations > 0 else 'above'}"
            for row, deviations in zip(chosen.tolist(), below.tolist(), strict=True)
        ]
        images = facts.matrix[chosen]
        if not least:
            told = "Simple images are, more than typical ones."
            return _grid(facts, "Most likely", images, captions, told)
        told = "Broken images, others than were meant, or rare ones may be among them."
        return join(
            _grid(facts, "Most unusual", images, captions, told),
            row_table(facts, "Most unusual, the first of them", chosen[:SHOWN_TABLE]),
        )


def _errors(facts: Facts, test: TestRows) -> Html:
    """Show the test images that the model takes for another class, the surest first."""
    guess = test.log_proba.argmax(1)
    confidence = np.exp(test.log_proba.max(1))
    wrong = np.flatnonzero(guess != test.codes)
    if not len(wrong):
        return paragraph("The model takes no test image for one of another class.")
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:SHOWN_ERRORS]
    names = names_of(facts)
    captions = [
        f"{names[test.codes[i]]}\n→ {names[guess[i]]}\n{percent(float(confidence[i]))}"
        for i in shown
    ]
    return _grid(
        facts,
        "Taken for another class",
        test.matrix[shown],
        captions,
        f"{len(shown):,} of the {len(wrong):,} test images that are, those first of which the model "
        "is surest: true class → predicted class, and its probability.",
    )


def _samples(facts: Facts, temperature: float, title: str) -> Html:
    return picture(
        lambda theme: plotting.plot_class_samples(
            facts.estimator, temperature=temperature, theme=theme
        ),
        f"Rows of images sampled from each class at temperature {temperature:g}, each beside the "
        "image of the class mean.",
        f"{title}. The first column is the class mean, f⁻¹(μ); the others are samples with latent "
        f"variances times {temperature:g}.",
    )


def _grid(facts: Facts, title: str, images: Floats, captions: Sequence[str], told: str) -> Html:
    """Draw images (n, D) with captions below a heading, and say something about them."""
    drawn = picture(
        lambda theme: plotting.plot_images(facts.estimator, images, captions, theme=theme),
        f"{title}: {len(captions):,} images. {told}",
        told,
    )
    return join(heading(title), drawn)


def _end(name: str) -> str:
    """Return as much of the end of a path as a caption has room for."""
    file = name.rpartition("/")[2]
    return file if len(file) <= MAX_CAPTION else f"…{file[1 - MAX_CAPTION :]}"


def _turn(codes: Integers) -> Integers:
    """Return each row's number within its class, so that classes can take turns."""
    turns = np.empty_like(codes)
    for code in np.unique(codes):
        turns[codes == code] = np.arange((codes == code).sum())
    return turns
