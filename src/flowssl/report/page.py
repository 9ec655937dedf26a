"""From a fitted classifier to the finished page."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from flowssl._files import atomic_path
from flowssl.labels import LabelsLike
from flowssl.report import details, sections
from flowssl.report.facts import Facts, gather
from flowssl.report.markup import Html, escape

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike

__all__ = ["write_report"]


def write_report(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    path: str | os.PathLike[str],
    *,
    X_test: TableLike | None = None,
    y_test: LabelsLike | None = None,
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
    X : table of shape (n, n_features)
        The rows that it was fitted on. Of more than 50,000 a random choice is judged row by row.
    y : array-like of shape (n,)
        Their labels, marked as in ``fit`` where unknown.
    path : path
        File to write, replaced only when the page is complete. A page of a table with short texts
        has 1 to 4 MB.
    X_test : table of shape (n_test, n_features), optional
        Rows that were not fitted on: without them nothing can be said about accuracy.
    y_test : array-like of shape (n_test,), optional
        Their labels; unlabeled rows are left out.
    title : str, optional
        Headline; by default it names the estimator.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the model is of images, rows and labels differ in number, only one of `X_test` and `y_test` is given, a label is
        unknown to the estimator, or no test row is labeled.
    ImportError
        If Matplotlib is missing.
    OSError
        If the file cannot be written.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    if estimator.image_shape is not None:
        raise ValueError(
            "reports explain models of tables; of a model of images, look at sample(temperature=...)"
        )
    facts = gather(estimator, X, y, X_test, y_test)
    headline = title if title is not None else f"A report on a {type(estimator).__name__}"
    page = _page(facts, headline)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(facts: Facts, title: str) -> str:
    content = (
        ("verdict", "Verdict", sections.verdict(facts)),
        ("data", "Data", sections.data(facts)),
        ("comparison", "Baseline and model", sections.comparison(facts)),
        ("confusion", "Confusion matrix", sections.confusion(facts)),
        ("calibration", "Calibration", details.calibration(facts)),
        ("latent", "Latent space", details.latent(facts)),
        ("plane", "Decision boundary and samples", details.plane(facts)),
        ("rows", "Single rows", details.rows(facts)),
        ("training", "Training", details.training(facts)),
        ("start", "Start of the training", details.start(facts)),
        ("parameters", "Parameters", details.parameters(facts)),
        ("versions", "Versions", details.versions()),
    )
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    links = "".join(f'<li><a href="#{name}">{escape(head)}</a></li>' for name, head, _ in content)
    return template.substitute(
        title=escape(title),
        links=links,
        sections="\n".join(_section(*part) for part in content),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _section(name: str, head: str, body: Html) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-heading">\n'
        f'<h2 id="{name}-heading">{escape(head)}</h2>\n{body.text}\n</section>'
    )
