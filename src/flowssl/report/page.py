"""From a fitted classifier to the finished page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from flowssl._files import atomic_path
from flowssl._labels import LabelsLike
from flowssl.report import details, sections
from flowssl.report.facts import Facts, gather
from flowssl.report.kinds import Section
from flowssl.report.markup import escape

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike


def write_report(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    path: str | os.PathLike[str],
    *,
    X_test: TableLike | None = None,
    y_test: LabelsLike | None = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Write one self-contained HTML page that explains a fitted classifier on its data.

    The page opens with a verdict in two sentences; then come the data, the labels-only baseline
    beside the model, calibration, pictures, single rows worth a look, and how the model was made.
    It needs no network, follows the reader's light or dark theme, and prints.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features), or images as in ``fit``
        The rows that it was fitted on. Of more than 50,000 rows, or 4,000 images, a random choice is
        judged one by one.
    y : array-like of shape (n,)
        Their labels, marked as in ``fit`` where unknown.
    path : path
        File to write, replaced only when the page is complete. A page of a table with short texts
        or of images has 1 to 4 MB.
    X_test : table of shape (n_test, n_features), or images, optional
        Rows that were not fitted on: without them nothing can be said about accuracy.
    y_test : array-like of shape (n_test,), optional
        Their labels; unlabeled rows are left out.
    names : sequence of str of length n, optional
        What single rows are called, such as their files; by default they are numbered.
    title : str, optional
        Headline; by default it names the estimator.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If rows, labels and names differ in number, only one of `X_test` and `y_test` is given, a
        label is unknown to the estimator, or no test row is labeled.
    ImportError
        If Matplotlib is missing.
    OSError
        If the file cannot be written.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    facts = gather(estimator, X, y, X_test, y_test, names)
    headline = title if title is not None else f"A report on a {type(estimator).__name__}"
    page = _page(facts, headline)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(facts: Facts, title: str) -> str:
    content = (
        Section("verdict", "Verdict", sections.verdict(facts)),
        Section("data", "Data", facts.kind.data(facts)),
        Section("comparison", "Baseline and model", sections.comparison(facts)),
        Section("confusion", "Confusion matrix", sections.confusion(facts)),
        Section("calibration", "Calibration", details.calibration(facts)),
        Section("latent", "Latent space", details.latent(facts)),
        facts.kind.samples(facts),
        Section("rows", f"Single {facts.kind.noun}", facts.kind.single_rows(facts)),
        Section("training", "Training", details.training(facts)),
        Section("start", "Start of the training", details.start(facts)),
        Section("parameters", "Parameters", details.parameters(facts)),
        Section("versions", "Versions", details.versions()),
    )
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    links = "".join(
        f'<li><a href="#{part.name}">{escape(part.heading)}</a></li>' for part in content
    )
    return template.substitute(
        title=escape(title),
        links=links,
        sections="\n".join(map(_section, content)),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _section(part: Section) -> str:
    return (
        f'<section id="{part.name}" aria-labelledby="{part.name}-heading">\n'
        f'<h2 id="{part.name}-heading">{escape(part.heading)}</h2>\n{part.body.text}\n</section>'
    )
