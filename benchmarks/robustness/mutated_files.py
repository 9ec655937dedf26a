"""Mutated files of every format through the readers: what each file got, as a table.

``python -m benchmarks.robustness.mutated_files`` makes 2,000 mutants of each format and writes
``results/mutated_files.json`` and ``.md``. The exit code is 1 if any mutant got anything but rows
or a `DataError` of one line.
"""

import argparse
import json
import selectors
import subprocess
import sys
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.robustness.mutants import FORMATS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
SECONDS, MIB = 10.0, 1024.0
COLUMNS = ("mutants", "read", "refused", "other errors", "crashes", "slow", "large", "noisy")


@dataclass
class Tally:
    """What the mutants of one format got.

    Attributes
    ----------
    counts : Counter
        By the names in `COLUMNS`; a mutant counts once as read, refused, other error or crash, and
        besides as slow (more than `SECONDS`), large (more than `MIB`) or noisy.
    examples : list of str
        Of what must not happen, with the number of the mutant.
    seconds, mib : float
        The most that one mutant took.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0
    mib: float = 0.0

    def add(self, number: int, answer: dict[str, object] | str) -> None:
        """Count one mutant, of which its reader may say nothing: "crashes" or "slow"."""
        self.counts["mutants"] += 1
        if isinstance(answer, str):
            self.counts[answer] += 1
            self.examples.append(f"{number}: {answer}")
            return
        outcome = str(answer["outcome"])
        kind = outcome if outcome in ("read", "refused") else "other errors"
        self.counts[kind] += 1
        if kind == "other errors":
            self.examples.append(f"{number}: {outcome[:300]}")
        for name, value, limit in (
            ("slow", float(answer["seconds"]), SECONDS),
            ("large", float(answer["mib"]), MIB),
        ):
            if value > limit:
                self.counts[name] += 1
                self.examples.append(f"{number}: {name}, {value:.0f}")
        if answer["noise"]:
            self.counts["noisy"] += 1
            self.examples.append(f"{number}: noise {answer['noise']!r}")
        self.seconds = max(self.seconds, float(answer["seconds"]))
        self.mib = max(self.mib, float(answer["mib"]))

    @property
    def is_clean(self) -> bool:
        """Whether all mutants were read or refused as documented."""
        return not self.examples


class Reader:
    """A child process that reads mutants; a new one takes its place when it ends."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._process = self._started()

    def ask(self, ending: str, number: int) -> dict[str, object] | str:
        """Return how reading a mutant went; "crashes" or "slow" if the process did not tell."""
        line = self._line(f"{ending} {number}\n")
        if line in ("", "slow"):
            self.close()
            self._process = self._started()
            return line or "crashes"
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.robustness.reader", str(self._seed)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the process that reads mutants does not start")
        return process

    def _line(self, request: str) -> str:
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            return ""
        try:
            requests.write(request)
            requests.flush()
        except BrokenPipeError:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            if not selector.select(2 * SECONDS):
                return "slow"
        return answers.readline()


def tally(endings: list[str], n_mutants: int, seed: int, workers: int) -> dict[str, Tally]:
    """Read mutants of several formats in child processes.

    Parameters
    ----------
    endings : list of str
        Names of formats.
    n_mutants, seed, workers : int
        Mutants of each format, the seed that determines them, and the number of processes.
    """
    tallies = {ending: Tally() for ending in endings}
    jobs = deque((ending, number) for ending in endings for number in range(n_mutants))

    def work(_: int) -> None:
        reader = Reader(seed)
        try:
            while True:
                try:
                    ending, number = jobs.popleft()
                except IndexError:
                    return
                tallies[ending].add(number, reader.ask(ending, number))
        finally:
            reader.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return tallies


def as_markdown(tallies: dict[str, Tally], seed: int) -> str:
    """Return the table of the results."""
    header = ("format", *COLUMNS, "most seconds", "most MiB")
    lines = [f"# Mutated files through the readers, seed {seed}", ""]
    lines += [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    for ending, found in tallies.items():
        counts = [f"{found.counts[name]:,}" for name in COLUMNS]
        cells = (ending, *counts, f"{found.seconds:.2f}", f"{found.mib:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formats", default=",".join(FORMATS), metavar="A,B,...")
    parser.add_argument("--mutants", type=int, default=2000, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    chosen = parser.parse_args(words)
    tallies = tally(chosen.formats.split(","), chosen.mutants, chosen.seed, chosen.workers)
    page = as_markdown(tallies, chosen.seed)
    record = {
        ending: {**{name: found.counts[name] for name in COLUMNS}, "examples": found.examples}
        for ending, found in tallies.items()
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "mutated_files.md").write_text(page)
    (chosen.output / "mutated_files.json").write_text(json.dumps(record, indent=1) + "\n")
    print(page)
    for ending, found in tallies.items():
        for example in found.examples[:20]:
            print(f"{ending} {example}")
    return 0 if all(found.is_clean for found in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
