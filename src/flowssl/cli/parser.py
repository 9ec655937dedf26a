"""The commands and their options. Nothing heavy is imported here: ``--help`` must answer at once."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from flowssl.cli.options import METHODS, add_options

_DATA = (
    "a table: CSV, TSV, Parquet, Feather, Arrow, NPZ or NPY; or a folder or zip file of PNG, JPEG "
    "or WebP pictures"
)
_MODEL = "a model file that fit has written"
_OUTPUT = "CSV or Parquet file to write; CSV on standard output by default"


class _Parser(argparse.ArgumentParser):
    """A parser that tells an error in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


class _Version(argparse.Action):
    """Print the version; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *details: object) -> None:
        import flowssl

        print(f"flowssl {flowssl.__version__}")
        raise SystemExit(0)


def build_parser(method: str) -> argparse.ArgumentParser:
    """Build the parser of ``flowssl`` with all its commands.

    Parameters
    ----------
    method : str
        The method whose parameters are the options of ``fit``.

    Returns
    -------
    argparse.ArgumentParser
        The parsed arguments hold the command's name as ``command``, and ``quiet`` and ``debug``.
    """
    parser = _Parser(
        prog="flowssl",
        description="Learn to classify from a few labeled rows and many unlabeled ones.",
        epilog="'flowssl COMMAND --help' has the options of a command; 'flowssl demo' shows it all.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, details: str = "") -> argparse.ArgumentParser:
        description = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        return commands.add_parser(name, help=summary, description=description)

    _add_fit(
        command(
            "fit",
            "learn a model from a table or pictures and save it",
            "Rows whose label is empty (or -1, among numbers) are unlabeled and are learned from "
            "too, as are pictures that --labels does not name. Training writes a checkpoint at the "
            "end of each epoch and removes it at the end; Ctrl-C saves the best model so far.",
        ),
        method,
    )
    _add_predict(command("predict", "predict the classes of new rows"))
    _add_score(
        command(
            "score",
            "write the log-density of each row",
            "It is log p(x) in nats: exact for rows of numbers, approximate where there are "
            "categories, missing numbers or pictures.",
        )
    )
    _add_sample(command("sample", "draw new rows from a model"))
    _add_evaluate(
        command(
            "evaluate",
            "compare predictions with known labels",
            "Unlabeled rows are left out; they never count as errors.",
        )
    )
    _add_info(command("info", "show what is in a model file", "The model itself is not loaded."))
    _add_report(command("report", "write an HTML page that explains a model"))
    demo = command(
        "demo",
        "learn scikit-learn's digits from ten labels a class",
        "Two thirds of the 1,797 images are learned from, one third is held out.",
    )
    demo.add_argument(
        "-o", "--output", metavar="DIR", default="demo", help="directory to write (default: demo)"
    )
    for sub in commands.choices.values():
        _add_common(sub, default=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: bool | str) -> None:
    group = parser.add_argument_group("messages")
    group.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="write only results and errors"
    )
    group.add_argument(
        "--debug", action="store_true", default=default, help="show tracebacks and all warnings"
    )


def _add_fit(parser: argparse.ArgumentParser, method: str) -> None:
    parser.usage = "%(prog)s DATA [--target COLUMN] [--labels TABLE] -o MODEL [options]"
    parser.add_argument("data", metavar="DATA", help=_DATA)
    _add_labels(parser)
    _add_column_choice(parser, "columns to learn from (default: all but the target)")
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
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=method,
        help=f"what to fit; with --help, whose options to show (default: {next(iter(METHODS))})",
    )
    add_options(parser, method)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_model_and_data(parser)
    _add_bad_pictures(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help=_OUTPUT)
    parser.add_argument("--id", metavar="COLUMN", help="copy this column of DATA in front")
    parser.add_argument(
        "--proba", action="store_true", help="add the probability of each class: proba_CLASS"
    )
    parser.add_argument(
        "--log-density", action="store_true", help="add log p(x) in nats: log_density"
    )
    parser.add_argument(
        "--ood-score", action="store_true", help="add how unlike the training rows it is: ood_score"
    )


def _add_score(parser: argparse.ArgumentParser) -> None:
    _add_model_and_data(parser)
    _add_bad_pictures(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help=_OUTPUT)
    parser.add_argument("--id", metavar="COLUMN", help="copy this column of DATA in front")


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument(
        "-n", "--number", type=_positive, required=True, metavar="N", help="how many rows"
    )
    parser.add_argument("--label", metavar="CLASS", help="draw from this class alone")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="variance of the latent Gaussians, relative to the model's; below 1, typical rows "
        "(default: 1)",
    )
    parser.add_argument(
        "--random-state", type=int, metavar="SEED", help="seed; the same rows for the same seed"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help=f"{_OUTPUT}; of pictures a folder for PNG files"
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_labeled_data(parser)
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_labeled_data(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="HTML", help="the page to write (.html)"
    )
    parser.add_argument(
        "--test", metavar="DATA", help="held-out rows with labels: a table, or pictures"
    )
    parser.add_argument(
        "--test-labels", metavar="TABLE", help="of held-out pictures: a table like that of --labels"
    )
    parser.add_argument("--title", help="headline of the page")


def _add_labeled_data(parser: argparse.ArgumentParser) -> None:
    _add_model_and_data(parser)
    _add_labels(parser)


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target", metavar="COLUMN", help="the column of labels (of pictures: label by default)"
    )
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        help="of pictures: a table with the columns file and label; others are unlabeled",
    )
    _add_bad_pictures(parser)


def _add_bad_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bad-pictures",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a picture that cannot be read (default: refuse)",
    )


def _add_model_and_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=_MODEL)
    parser.add_argument("data", metavar="DATA", help=_DATA)
    parser.add_argument(
        "--features",
        metavar="A,B,...",
        help="columns in the model's order; only for a model fitted without column names",
    )


def _add_column_choice(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--features", metavar="A,B,...", help=summary)
    parser.add_argument("--drop", metavar="A,B,...", help="columns to leave out")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
