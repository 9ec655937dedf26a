"""The command ``fit``: data in, a model file and a summary out."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl.cli.arguments import add_data, add_labels
from flowssl.cli.console import shortened
from flowssl.cli.methods import DEFAULT_METHOD, METHODS, method_named
from flowssl.cli.options import add_options, build_parameters, chosen_options, option_of
from flowssl.cli.outputs import check_directory
from flowssl.cli.sources import SOURCES, source_for_fit
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console
    from flowssl.cli.methods import Method
    from flowssl.cli.options import Chosen
    from flowssl.cli.source import Source
    from flowssl.estimators import Classifier

SUMMARY = "learn a model from labeled and unlabeled rows and save it"
DETAILS = (
    "Rows whose label is empty, -1 or a usual mark of a missing value (NA, ?, <NA>, ...) are "
    "unlabeled and are learned from too, as are images that --labels does not name. Training writes "
    "a checkpoint after each epoch and removes it at the end; Ctrl-C saves the best model so far."
)

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options, those of the method among them that the command line names."""
    parser.usage = "%(prog)s DATA [--target COLUMN] [--labels TABLE] -o MODEL [options]"
    add_data(parser, fitting=True)
    add_labels(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file to write (.flowssl)"
    )
    parser.add_argument(
        "--report", metavar="HTML", help="also write a page that explains the model"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted fit of the same data with the same options",
    )
    method = method_named(words)
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=method,
        help=f"what to fit; with --help, whose options to show (default: {DEFAULT_METHOD})",
    )
    add_options(parser, METHODS[method])


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn a model from labeled and unlabeled rows and save it.

    Ctrl-C ends the training early: the best model so far is saved, and the exit code is 130.
    """
    for path in (arguments.output, arguments.report):
        check_directory(path)
    method = METHODS[arguments.method]
    if not method.is_flow and (arguments.report or arguments.resume):
        option = "--report explains flows" if arguments.report else "--resume needs a checkpoint"
        raise DataError(f"{option}; leave it out with --method {arguments.method}.")
    source = source_for_fit(arguments, console)
    chosen = chosen_options(arguments)
    _check_kind(arguments, source, method, chosen)
    rows = source.read_training()
    parameters = build_parameters(method, _joined(chosen, rows.parameters))
    checkpoint = None
    if method.is_flow:
        checkpoint = _checkpoint(
            arguments, parameters.get("checkpoint", _default_checkpoint(arguments))
        )
        parameters = {"verbose": 0 if console.quiet else 1, **parameters, "checkpoint": checkpoint}
    estimator = getattr(import_module(method.home), method.estimator)(**parameters)
    started = time.perf_counter()
    estimator.fit(rows.X, rows.y)
    seconds = time.perf_counter() - started
    if method.is_flow:
        estimator.set_params(checkpoint=None)  # of this run, not of the model
    estimator.save(arguments.output)
    if arguments.report:
        from flowssl.report import write_report

        write_report(estimator, rows.X, rows.y, arguments.report, names=rows.names)
    if not console.quiet:
        console.facts([*summary(estimator, len(rows.y)), *_outcome(arguments, source, seconds)])
    if method.is_flow and estimator.interrupted_:
        _tell_interrupted(arguments, checkpoint, console)
        return INTERRUPTED
    return 0


def summary(estimator: Classifier, n_rows: int) -> list[tuple[str, str]]:
    """Return names and values that say what a fitted model has learned from, and how well.

    Parameters
    ----------
    estimator : Classifier
        Fitted.
    n_rows : int
        Number of rows that it was fitted on.
    """
    source = SOURCES[estimator.encoder_.row_kind]
    form = source.form(json.loads(estimator.encoder_.to_json()))
    classes = [str(label) for label in estimator.classes_]
    facts = [
        (
            source.noun,
            f"{n_rows:,}: {estimator.n_labeled_:,} labeled, {estimator.n_unlabeled_:,} unlabeled",
        ),
        form,
        ("classes", f"{len(classes):,}: {shortened(classes)}"),
    ]
    found: Mapping[str, object] = getattr(estimator, "initialization_", {})  # of flows alone
    for name, key in (
        ("from the labels alone", "baseline_label_log_likelihood"),
        ("with unlabeled rows", "label_log_likelihood"),
    ):
        value = found.get(key)
        if isinstance(value, float):  # None where no class has two labels to cross-fit with
            facts.append((name, f"{value:.3f} nats per held-out label"))
    return facts


def _check_kind(
    arguments: argparse.Namespace, source: Source, method: Method, chosen: Chosen
) -> None:
    """Refuse a method, or options, that have no use for this kind of rows."""
    taken = {parameter.name for parameter in method.parameters}
    if source.parameter is not None and source.parameter not in taken:
        raise DataError(
            f"--method {arguments.method} cannot learn from {source.noun}; choose another method."
        )
    for other in SOURCES.values():
        group = chosen.get(other.parameter or "")
        if other.parameter != source.parameter and isinstance(group, Mapping):
            option = option_of(str(other.parameter), next(iter(group)))
            raise DataError(f"{option} is for {other.noun}; {arguments.data} is {source.data}.")


def _joined(chosen: Chosen, found: Mapping[str, object]) -> dict[str, object]:
    """Add the parameters that the data decide to those that the command line has."""
    joined: dict[str, object] = dict(chosen)
    for name, value in found.items():
        group = joined.get(name)
        if isinstance(value, Mapping) and isinstance(group, Mapping):
            joined[name] = {**group, **value}
        else:
            joined[name] = value
    return joined


def _default_checkpoint(arguments: argparse.Namespace) -> str:
    return f"{arguments.output}.checkpoint"


def _checkpoint(arguments: argparse.Namespace, chosen: object) -> str | None:
    """Make sure that there is a checkpoint to resume from, or none to mistake for this fit's."""
    if chosen is None:
        if arguments.resume:
            raise DataError("--resume needs a checkpoint; leave --checkpoint none out.")
        return None
    path = Path(str(chosen))
    check_directory(str(path))
    if arguments.resume and not path.exists():
        raise DataError(f"--resume: there is no checkpoint {path}; leave --resume out to start.")
    if not arguments.resume and path.exists():
        if str(path) != _default_checkpoint(arguments):  # not ours to delete
            raise DataError(f"{path} exists; add --resume to continue from it, or delete it.")
        for left_over in (path, *_of_further_models(path)):
            left_over.unlink()
    return str(path)


def _of_further_models(checkpoint: Path) -> list[Path]:
    """List the checkpoints of the second and later models: CHECKPOINT.1, CHECKPOINT.2, ..."""
    siblings = checkpoint.parent.iterdir()
    pattern = re.escape(checkpoint.name) + r"\.\d+"
    return [sibling for sibling in siblings if re.fullmatch(pattern, sibling.name)]


def _outcome(
    arguments: argparse.Namespace, source: Source, seconds: float
) -> list[tuple[str, str]]:
    model = shlex.quote(arguments.output)
    facts = [("time", f"{seconds:.1f} s"), ("saved", arguments.output)]
    if arguments.report:
        facts.append(("report", arguments.report))
    command = f"flowssl predict {model} {source.example} --proba -o predictions.csv"
    return [*facts, ("next", command)]


def _tell_interrupted(
    arguments: argparse.Namespace, checkpoint: str | None, console: Console
) -> None:
    can_resume = checkpoint is not None and Path(checkpoint).exists()
    console.remark(
        f"interrupted: {arguments.output} holds the best model so far"
        + ("; add --resume to the same command to continue." if can_resume else ".")
    )
