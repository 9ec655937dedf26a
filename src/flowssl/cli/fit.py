"""The command ``fit``: data in, a model file and a summary out."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._files import locked
from flowssl.cli.arguments import add_data, add_labels
from flowssl.cli.console import reason, shortened
from flowssl.cli.methods import DEFAULT_METHOD, METHODS, method_named
from flowssl.cli.options import add_options, build_parameters, chosen_options, option_of
from flowssl.cli.places import check_places, checkpoint_output, model_output, page_output
from flowssl.cli.sources import SOURCES, source_for_fit
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console
    from flowssl.cli.methods import Method
    from flowssl.cli.options import Chosen
    from flowssl.cli.source import LabeledRows, Source
    from flowssl.estimators import Classifier

SUMMARY = "learn a model from labeled and unlabeled rows and save it"
DETAILS = (
    "Rows whose label is empty, -1 or a usual mark of a missing value (NA, ?, <NA>, ...) are "
    "unlabeled and are learned from too, as are images that --labels does not name. Training writes "
    "a checkpoint after each epoch, which is removed when the model is saved; Ctrl-C saves the best "
    "model so far."
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
    method = METHODS[arguments.method]
    if not method.is_flow and (arguments.report or arguments.resume):
        option = "--report explains flows" if arguments.report else "--resume needs a checkpoint"
        raise DataError(f"{option}; leave it out with --method {arguments.method}.")
    chosen = chosen_options(arguments)
    checkpoint = _checkpoint(arguments, method, chosen)
    _check_places(arguments, checkpoint)
    with locked(arguments.output):
        if checkpoint is not None:
            _check_resumption(arguments, checkpoint)
        source = source_for_fit(arguments, console)
        _check_kind(arguments, source, method, chosen)
        rows = source.read_training()
        parameters = build_parameters(method, _joined(chosen, rows.parameters))
        if method.is_flow:
            verbose = {"verbose": 0 if console.quiet else 1}
            parameters = {**verbose, **parameters, "checkpoint": checkpoint}
        estimator = getattr(import_module(method.home), method.estimator)(**parameters)
        with _kept_until_saved(arguments, checkpoint, console):
            started = time.perf_counter()
            estimator.fit(rows.X, rows.y)
            seconds = time.perf_counter() - started
            if method.is_flow:
                estimator.set_params(checkpoint=None)  # of this run, not of the model
            _save(arguments, estimator, rows, checkpoint)
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


def _checkpoint(arguments: argparse.Namespace, method: Method, chosen: Chosen) -> str | None:
    """Return the path of the checkpoint, None for a fit without one."""
    if not method.is_flow:
        return None
    output = Path(arguments.output)
    # Nothing belongs beside a device such as /dev/null.
    default = f"{output}.checkpoint" if output.is_file() or not output.exists() else None
    path = chosen.get("checkpoint", default)
    if path is None and arguments.resume:
        raise DataError("--resume needs a checkpoint; leave --checkpoint none out.")
    return None if path is None else str(path)


def _check_places(arguments: argparse.Namespace, checkpoint: str | None) -> None:
    """Refuse to write over the data, over files of other kinds, or where it would fail later."""
    outputs = [model_output("-o", arguments.output)]
    if arguments.report:
        if find_spec("matplotlib") is None:  # not after hours of training
            raise ImportError("--report needs Matplotlib; install it: pip install 'flowssl[plot]'")
        outputs.append(page_output("--report", arguments.report))
    if checkpoint is not None:
        outputs.append(checkpoint_output("--checkpoint", checkpoint))
    check_places({"DATA": arguments.data, "--labels": arguments.labels}, outputs)


def _check_resumption(arguments: argparse.Namespace, checkpoint: str) -> None:
    """Make sure that there is a checkpoint to resume from, or none to mistake for this fit's.

    The checkpoint of another fit is never removed: hours of training may be in it.
    """
    path = Path(checkpoint)
    if arguments.resume:
        if not path.exists():
            raise DataError(
                f"--resume: there is no checkpoint {path}; leave --resume out to start."
            )
        return
    for left_over in (path, *_of_further_models(path)):
        if left_over.exists():
            raise DataError(
                f"{left_over} is the checkpoint of a fit that was stopped or not saved; add --resume "
                "to continue it, with the same data and options, or delete it to start again."
            )


def _of_further_models(checkpoint: Path) -> list[Path]:
    """List those of further models, CHECKPOINT.1, ..., and of p(x), CHECKPOINT.x0, ..."""
    siblings = checkpoint.parent.iterdir()
    pattern = re.escape(checkpoint.name) + r"\.x?\d+"
    return sorted(sibling for sibling in siblings if re.fullmatch(pattern, sibling.name))


@contextmanager
def _kept_until_saved(
    arguments: argparse.Namespace, checkpoint: str | None, console: Console
) -> Iterator[None]:
    """Remove the checkpoint if the block succeeds; if it fails, say how to go on from there."""
    from flowssl.training.checkpoints import keep_checkpoints

    try:
        with keep_checkpoints():
            yield
    except BaseException as error:
        if checkpoint is None or not Path(checkpoint).exists():
            raise
        kept = f"the training is kept in {checkpoint}; to continue, run: " + _resuming(
            arguments, checkpoint
        )
        if isinstance(error, OSError):
            raise DataError(f"{reason(error)}; {kept}") from error
        if not isinstance(error, Exception):  # Ctrl-C or a signal
            console.remark(kept)
        raise


def _resuming(arguments: argparse.Namespace, checkpoint: str) -> str:
    """Return the command line that continues this one, and can do so with another output."""
    words = list(arguments.words)
    place = words.index("fit") + 1
    words[place:place] = ["--resume", "--checkpoint", checkpoint]
    return shlex.join(["flowssl", *words])


def _save(
    arguments: argparse.Namespace,
    estimator: Classifier,
    rows: LabeledRows,
    checkpoint: str | None,
) -> None:
    """Save the model and write the report.

    A model that cannot be written and has no checkpoint is written to the folder of temporary files.
    """
    try:
        estimator.save(arguments.output)
    except OSError as error:
        if checkpoint is not None and Path(checkpoint).exists():
            raise
        rescue = Path(tempfile.mkdtemp(prefix="flowssl-")) / "model.flowssl"
        estimator.save(rescue)
        raise DataError(f"{reason(error)}; the model is saved as {rescue} instead.") from error
    if arguments.report:
        from flowssl.report import write_report

        write_report(estimator, rows.X, rows.y, arguments.report, names=rows.names)


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
