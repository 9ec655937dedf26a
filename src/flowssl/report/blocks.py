"""Parts that several sections have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flowssl._typing import Integers
from flowssl.report.facts import Facts
from flowssl.report.markup import Cell, Html, number, paragraph, percent, table


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    name : str
        Identifier in links, unique on the page.
    heading : str
        Heading, and text of the link.
    body : Html
        Content.
    """

    name: str
    heading: str
    body: Html


def note(text: str) -> Html:
    """Return a paragraph of smaller print."""
    return paragraph(text, "note")


def class_table(facts: Facts) -> Html:
    """List each class with its labels, its prior and the fraction of rows predicted."""
    names, noun = facts.class_names, facts.noun
    given = np.bincount(facts.all_codes[facts.all_codes >= 0], minlength=len(names))
    counts = np.bincount(facts.proba.argmax(1), minlength=len(names))
    predicted = counts / max(len(facts.proba), 1)
    prior = facts.estimator.density_.class_prior()
    rows = [
        (name, f"{given[k]:,}", percent(float(prior[k])), percent(float(predicted[k])))
        for k, name in enumerate(names)
    ]
    header = ("class", f"labeled {noun}", "class prior of the model", f"{noun} predicted")
    return table("Classes", header, rows)


def row_table(
    facts: Facts,
    title: str,
    chosen: Integers,
    *,
    n_predicted: int = 1,
    header: Sequence[str] = (),
    cells: Sequence[Sequence[Cell]] | None = None,
) -> Html:
    """List evaluated rows with density, label and prediction.

    Parameters
    ----------
    facts : Facts
        Facts of the report.
    title : str
        Caption.
    chosen : ndarray of shape (n,)
        Positions of the rows among the evaluated ones.
    n_predicted : int, default=1
        Number of predicted classes listed, the most probable first.
    header, cells : sequences, default=() and None
        Headings of further columns, and the cells of each row in them.
    """
    names = facts.class_names
    below = facts.estimator.outlier_scale_.unlikely(facts.log_density)
    body = []
    for position, row in enumerate(chosen.tolist()):
        order = np.argsort(-facts.proba[row], kind="stable")[:n_predicted].tolist()
        best = [f"{names[k]} ({percent(float(facts.proba[row, k]))})" for k in order]
        code = int(facts.codes[row])
        body.append(
            (
                facts.name(row),
                number(float(facts.log_density[row])),
                f"{round(float(below[row]), 1) + 0.0:.1f}".replace("-", "−"),  # never −0.0
                "–" if code < 0 else names[code],
                ", ".join(best),
                *(cells[position] if cells is not None else ()),
            )
        )
    head = (facts.noun[:-1], "log p(x)", "SD below median", "label", "predicted", *header)
    return table(title, head, body, text_columns=(3, 4) if facts.names is None else (0, 3, 4))
