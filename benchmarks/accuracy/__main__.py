"""Command line of the accuracy benchmark."""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy import results, runner
from benchmarks.accuracy.data import LOADERS, ON_REQUEST, load
from benchmarks.accuracy.draws import Budget, fits
from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.suites import PAPER_BUDGET, SUITES, Cell
from benchmarks.accuracy.worker import Job
from rich.console import Console


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, help="data sets and budgets (default: small)")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--dataset", nargs="+", choices=[*LOADERS, *ON_REQUEST])
    parser.add_argument(
        "--budget", nargs="+", type=Budget.parse, help="5 (labels per class) or total:20"
    )
    parser.add_argument("--draws", type=int, default=10, help="label draws (default: 10)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--max-rows", type=int, help="limit every data set to so many rows")
    parser.add_argument("--root", type=Path, help="folder of the papers' own files")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    parser.add_argument("--redo", action="store_true", help="run finished cells again")
    parser.add_argument("--retry-failed", action="store_true", help="run failed cells again")
    parser.add_argument("--list", action="store_true", help="only list what would be run")
    return parser.parse_args(argv)


def cells(
    suite: str | None, names: list[str] | None, budgets: list[Budget] | None
) -> list[tuple[str, list[Budget]]]:
    """List data sets with their budgets: the suite's, narrowed or replaced by the user's."""
    chosen: tuple[Cell, ...] = SUITES[suite or "small"]
    if names is not None:
        known = {name for name, _ in chosen}
        full = SUITES["full"] if suite is None else ()
        extra = [cell for cell in full if cell[0] not in known]
        asked = [(name, PAPER_BUDGET) for name in names if name in ON_REQUEST]
        chosen = tuple(cell for cell in (*chosen, *extra, *asked) if cell[0] in names)
    order = list(dict.fromkeys(name for name, _ in chosen))
    return [(name, budgets or [b for other, b in chosen if other == name]) for name in order]


def jobs(arguments: argparse.Namespace, console: Console) -> list[Job]:
    """List the jobs that the command line asks for, on the data that are available."""
    asked = []
    for name, budgets in cells(arguments.suite, arguments.dataset, arguments.budget):
        try:
            table = load(name, arguments.root, arguments.max_rows)
        except FileNotFoundError as error:
            console.print(f"{name} is skipped: {error}", soft_wrap=True)
            continue
        for budget in dict.fromkeys(b.for_classes(table.n_classes) for b in budgets):
            if not fits(table, budget):
                console.print(f"{name}, {budget.describe()}, is skipped: a class is too small")
                continue
            root = str(arguments.root) if name in ON_REQUEST else None
            draws = tuple(range(arguments.draws))
            asked += [
                Job(method, name, str(budget), draws, arguments.max_rows, root)
                for method in arguments.method
            ]
    return asked


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing and write the table."""
    arguments, console = _arguments(argv), Console()
    done = results.read(arguments.results)
    if arguments.retry_failed:
        done = {k: record for k, record in done.items() if record["status"] == "ok"}
    left = runner.unfinished(jobs(arguments, console), () if arguments.redo else done)
    console.print(f"{sum(len(job.draws) for job in left)} cells to run in {len(left)} jobs")
    if arguments.list:
        for job in left:
            console.print(job.method, job.dataset, job.budget, *job.draws)
        return
    try:
        runner.run(left, arguments.results, arguments.jobs, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command continues from here")
    results.compact(arguments.results, arguments.method)
    results.write_summary(arguments.results)
    console.print(f"table: {arguments.results / 'table.md'}")


if __name__ == "__main__":
    # On SIGTERM the run stops its workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
