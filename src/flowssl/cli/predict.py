"""The command ``predict``: classes of new rows and, if asked for, probabilities and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_model, add_results
from flowssl.cli.flows import require_flow
from flowssl.cli.outputs import check_results, with_id, write_results
from flowssl.cli.sources import source_for_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.cli.source import Inputs
    from flowssl.estimators import Classifier

SUMMARY = "predict the classes of new rows"
DETAILS = ""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_results(parser)
    parser.add_argument(
        "--proba", action="store_true", help="add the probability of each class: proba_CLASS"
    )
    parser.add_argument(
        "--log-density", action="store_true", help="add log p(x) in nats: log_density"
    )
    parser.add_argument(
        "--ood-score",
        action="store_true",
        help="add how unlike the training rows a row is: ood_score",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the predicted class of each row and, if asked for, probabilities and scores."""
    check_results(arguments, {"MODEL": arguments.model, "DATA": arguments.data})
    estimator = flowssl.load(arguments.model)
    source = source_for_model(estimator, arguments, console)
    rows = source.read(estimator, arguments.data)
    predictions = prediction_table(
        estimator,
        rows.X,
        proba=arguments.proba,
        log_density=arguments.log_density,
        ood_score=arguments.ood_score,
    )
    results = with_id(predictions, rows.columns, arguments.id or source.id_column)
    write_results(results, arguments.output, console, safe_csv=arguments.safe_csv)
    return 0


def prediction_table(
    estimator: Classifier,
    X: Inputs,
    *,
    proba: bool = False,
    log_density: bool = False,
    ood_score: bool = False,
) -> pa.Table:
    """Predict the class of each row.

    Returns
    -------
    pyarrow.Table
        ``prediction`` and, as asked for, ``proba_CLASS`` for each class, ``log_density`` in nats
        and ``ood_score``.

    Raises
    ------
    DataError
        If a score is asked for and the model has no density.
    """
    import pyarrow as pa

    columns: dict[str, object] = {}
    if proba:
        probabilities = estimator.predict_proba(X)
        columns["prediction"] = estimator.classes_[probabilities.argmax(axis=1)]
        for place, label in enumerate(estimator.classes_):
            columns[f"proba_{label}"] = probabilities[:, place]
    else:
        columns["prediction"] = estimator.predict(X)
    if log_density:
        columns["log_density"] = require_flow(estimator, "--log-density").score_samples(X)
    if ood_score:
        columns["ood_score"] = require_flow(estimator, "--ood-score").ood_score(X)
    return pa.table(columns)
