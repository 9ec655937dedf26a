"""The command ``score``: log-densities of rows, and sets of unusual rows beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_model, add_results
from flowssl.cli.console import shortened
from flowssl.cli.flows import require_flow
from flowssl.cli.outputs import check_results, with_id, write_results
from flowssl.cli.places import check_places, figure_output, table_output
from flowssl.cli.sources import source_for_model
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from flowssl.cli.console import Console
    from flowssl.cli.source import Inputs, Rows, Source
    from flowssl.estimators import FlowClassifier
    from flowssl.inspection import OODFigures, OODTable

SUMMARY = "write the log-density of each row, or compare sets of rows"
DETAILS = (
    "It is log p(x) in nats: exact for rows of numbers, approximate for images and for rows with "
    "categories or missing values. With --compare, a table is printed instead: how well each score "
    "of unusual rows tells the rows of every other file from those of DATA, which are taken for "
    "usual and should not have been trained on."
)


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_results(parser)
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="compare the rows of DATA with those of another file, which are called NAME; may be "
        "given several times",
    )
    parser.add_argument(
        "--plot",
        metavar="FIGURE",
        help="with --compare: histograms of the log-densities to write (.png, .svg or .pdf)",
    )
    parser.add_argument(
        "--theme",
        choices=("light", "dark"),
        default="light",
        help="colors of --plot (default: light)",
    )
    parser.add_argument(
        "--json", action="store_true", help="with --compare: write JSON instead of tables"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the log-density of each row, in nats, or compare sets of rows."""
    others = _named(arguments)
    inputs = {"MODEL": arguments.model, "DATA": arguments.data}
    inputs |= {f"--compare {name}": path for name, path in others.items()}
    check_results(arguments, inputs)
    if arguments.plot:
        outputs = [figure_output("--plot", arguments.plot)]
        if arguments.output:
            outputs.append(table_output("-o", arguments.output))
        check_places(inputs, outputs)
    estimator = require_flow(flowssl.load(arguments.model), "score")
    source = source_for_model(estimator, arguments, console)
    rows = source.read(estimator, arguments.data)
    if arguments.output or not others:
        _write_scores(estimator, rows, source, arguments, console)
    if others:
        sets = {name: source.read(estimator, path).X for name, path in others.items()}
        _compare(estimator, {Path(arguments.data).stem: rows.X, **sets}, arguments, console)
    return 0


def _named(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the files to compare by name.

    Raises
    ------
    DataError
        If one has no name, two have the same, or there are options of a comparison without one.
    """
    found: dict[str, str] = {}
    taken = {Path(arguments.data).stem}
    for pair in arguments.compare:
        name, _, path = pair.partition("=")
        if not name or not path:
            raise DataError(f"--compare {pair}: give it as NAME=FILE.")
        if name in taken:
            raise DataError(f"--compare {pair}: {name} is the name of other rows; choose another.")
        taken.add(name)
        found[name] = path
    if not found and (arguments.plot or arguments.json):
        option = "--plot" if arguments.plot else "--json"
        raise DataError(f"{option} shows a comparison; add --compare NAME=FILE.")
    return found


def _write_scores(
    estimator: FlowClassifier,
    rows: Rows,
    source: Source,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    import pyarrow as pa

    scores = pa.table({"log_density": estimator.score_samples(rows.X)})
    results = with_id(scores, rows.columns, arguments.id or source.id_column)
    write_results(results, arguments.output, console, safe_csv=arguments.safe_csv)


def _compare(
    estimator: FlowClassifier,
    sets: Mapping[str, Inputs],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Print what every score says of sets of rows, the first of which is usual."""
    from flowssl.inspection import ood_table

    table = ood_table(estimator, sets)
    if arguments.json:
        console.json(
            {"automatic": table.automatic, "sets": [dict(record) for record in table.records()]}
        )
    else:
        _print(table, console)
    if arguments.plot:
        from flowssl.plotting import plot_ood

        plot_ood(table, theme=arguments.theme).savefig(arguments.plot)
        console.remark(f"figure written to {arguments.plot}")


def _print(table: OODTable, console: Console) -> None:
    usual = table.sets[0]
    console.table(
        ("rows", "number", "median log p(x)", "predicted classes"),
        [(f.name, f"{f.n_rows:,}", f"{f.median_log_prob:.4g}", _shares(f)) for f in table.sets],
    )
    console.table(
        ("rows", *(f"{m}*" if m == table.automatic else m for m in usual.scores)),
        [
            (f.name, *(f"{f.auroc[m]:.3f} / {f.fpr95[m]:.3f}" for m in usual.scores))
            for f in table.sets[1:]
        ],
        title=f"\nagainst {usual.name}, AUROC / false alarms where 95 % are found; * is the default",
    )


def _shares(figures: OODFigures) -> str:
    """Return the shares of the most frequent classes."""
    largest = sorted(figures.class_shares.items(), key=lambda item: -item[1])
    return shortened([f"{name} {share:.0%}" for name, share in largest])
