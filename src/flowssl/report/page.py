"""Write the report of a fitted classifier as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from operator import itemgetter
from string import Template
from typing import TYPE_CHECKING

from sklearn.utils.validation import check_is_fitted

from flowssl._files import atomic_path
from flowssl._labels import LabelsLike
from flowssl.report.blocks import Section
from flowssl.report.facts import Facts, gather
from flowssl.report.kinds import KINDS
from flowssl.report.kinds.base import RowKind
from flowssl.report.markup import escape
from flowssl.report.sections import section_files

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike


def sections(kind: RowKind) -> list[Callable[[Facts], Section]]:
    """Return the functions that write the sections of the page, in order."""
    placed: list[tuple[int, Callable[[Facts], Section]]] = [
        (file.PLACE, file.write) for file in section_files()
    ]
    placed += [(10, kind.data), (60, kind.samples), (70, kind.individual_rows)]
    return [write for _, write in sorted(placed, key=itemgetter(0))]


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
    """Write a self-contained HTML page about a fitted classifier and its data.

    Its sections: summary, data, comparison with the labels-only baseline, confusion matrix,
    calibration, latent space, samples and their judgment, individual rows, training and parameters.
    It loads nothing from the network, follows the browser's theme, and can be printed.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features), or images as in ``fit``
        The rows that the estimator was fitted on. Of more than 50,000 rows, or 4,000 images, a
        random choice is evaluated.
    y : array-like of shape (n,)
        Their labels, with unlabeled rows marked as in ``fit``.
    path : str or path-like
        File to write, replaced only when the page is complete. Most pages have 1 to 4 MB.
    X_test, y_test : like `X` and `y`, of length n_test, optional
        Labeled rows that were not used in training; without them the page has no accuracy.
    names : sequence of str of length n, optional
        Names of the rows, such as their files; by default they are numbered.
    title : str, optional
        Headline; by default it names the estimator.

    Raises
    ------
    ValueError
        If rows, labels and names differ in number, only one of `X_test` and `y_test` is given, a
        label is unknown to the estimator, or no test row is labeled.
    NotFittedError, ImportError, OSError
        If the estimator is not fitted, Matplotlib is missing, or the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(60, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     write_report(model, X, y, Path(folder) / "report.html", title="Two moons")
    """
    check_is_fitted(estimator)
    kind = KINDS[estimator.encoder_.row_kind]
    facts = gather(estimator, kind.traits, X, y, X_test=X_test, y_test=y_test, names=names)
    headline = title if title is not None else f"Report on a {type(estimator).__name__}"
    page = _page(headline, [write(facts) for write in sections(kind)])
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(title: str, content: Sequence[Section]) -> str:
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
