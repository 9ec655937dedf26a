"""Load ten thousand model files that are wrong inside: ``python -m benchmarks.robustness.mutated_models``.

Each file is a golden file of `tests/data/golden` with one to three changes and right checksums (see
`model_mutants`), or one of the hand-made `forged_models`. Worker processes load it, predict a few rows
if that works, and report what happened, how long it took and how much memory they had at most.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, cast

import numpy as np
from benchmarks.robustness.forged_models import FORGERIES, forged
from benchmarks.robustness.model_mutants import Parts, mutant

GOLDEN = Path(__file__).parents[2] / "tests" / "data" / "golden"
RESULTS = Path(__file__).parent / "results"
SECONDS, MEBIBYTES = 5.0, 1000.0
"""Limits for one file, of processor time and of the whole process's memory."""

PROGRESS = 500
GIVEN_UP = 60.0
"""Seconds after which a worker is ended."""


@dataclass
class Outcome:
    """What became of a file."""

    name: str
    change: str
    result: str
    message: str
    seconds: float
    mebibytes: float

    @property
    def is_wrong(self) -> bool:
        """Whether the file got anything but a model or the documented error, in time."""
        sound = self.result in ("loaded", "ModelFileError", "refused rows")
        return not sound or self.seconds > SECONDS or self.mebibytes > MEBIBYTES


class Worker:
    """A process that loads files, and is replaced when it dies or hangs."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.robustness.model_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers: Queue[str] = Queue()
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        self._answers.get()  # it says when it is ready

    def _listen(self, process: subprocess.Popen[str]) -> None:
        answers = self._answers
        for line in process.stdout or ():
            answers.put(line)
        answers.put("")

    def load(self, path: Path, kind: str, change: str) -> Outcome:
        """Return what becomes of a file."""
        started = time.perf_counter()
        self._requests.write(json.dumps([str(path), kind]) + "\n")
        self._requests.flush()
        try:
            answer = self._answers.get(timeout=GIVEN_UP)
        except Empty:
            answer = ""
        if answer:
            return Outcome(kind, change, **json.loads(answer))
        seconds = time.perf_counter() - started
        code = self.close()
        self._start()
        result = "hung" if seconds >= GIVEN_UP else "crashed"
        return Outcome(kind, change, result, f"exit code {code}", seconds, 0.0)

    def close(self) -> int:
        """End the process."""
        self._process.kill()
        code = self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def mutants(n: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Return the kind of n mutants, what was changed, and their bytes."""
    files = {path.stem: Parts.read(path) for path in sorted(GOLDEN.glob("*.flowssl"))}
    for name, forgery in FORGERIES.items():
        yield forgery.kind, f"by hand: {name}", forged(files, name).pack()
    for i in range(n):
        kind, parts = mutant(files, np.random.default_rng([seed, i]))
        yield kind, f"{i}: {'; '.join(parts.log)}", parts.pack()


def run(n: int, seed: int) -> list[Outcome]:
    """Load n mutants and the hand-made files in one worker process."""
    outcomes = []
    worker = Worker()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.flowssl")
        for kind, change, data in mutants(n, seed):
            path.write_bytes(data)
            outcome = worker.load(path, kind, change)
            outcomes.append(outcome)
            if len(outcomes) % PROGRESS == 0:
                print(f"{len(outcomes)} files", file=sys.stderr, flush=True)
            if outcome.is_wrong:
                print(json.dumps(asdict(outcome))[:1000], flush=True)
    worker.close()
    return outcomes


def summary(outcomes: list[Outcome], seed: int) -> dict[str, object]:
    """Return the figures that are kept."""
    by_hand = [outcome for outcome in outcomes if outcome.change.startswith("by hand")]
    return {
        "command": f"python -m benchmarks.robustness.mutated_models -n "
        f"{len(outcomes) - len(by_hand)} --seed {seed}",
        "by hand": len(by_hand),
        "results": dict(Counter(outcome.result for outcome in outcomes).most_common()),
        "wrong": sum(outcome.is_wrong for outcome in outcomes),
        "longest, seconds": max(outcome.seconds for outcome in outcomes),
        "largest process, MiB": max(outcome.mebibytes for outcome in outcomes),
        "files": dict(Counter(outcome.name for outcome in outcomes).most_common()),
    }


def page(figures: dict[str, object]) -> str:
    """Return the figures as a page of the documentation."""
    rows = [(key, value) for key, value in figures.items() if not isinstance(value, dict)]
    for key in ("results", "files"):
        counts = cast("dict[str, int]", figures[key])
        rows.append((key, ", ".join(f"{name} {count:,}" for name, count in counts.items())))
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    return (
        "# Changed model files\n\nGolden model files with one to three changes each, and hand-made "
        f"forgeries, all with right checksums.\n\n| | |\n| --- | --- |\n{table}\n\n"
        '"loaded": `predict_proba` gives finite probabilities that sum to one. "refused rows": it '
        "raises a `ValueError`. Wrong would be anything else but a `ModelFileError`, a warning, "
        f"changed settings of PyTorch, a crash, more than {SECONDS:g} seconds of processor time or "
        f"a process of more than {MEBIBYTES:g} MiB, of which the imports take some 480.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="mutants (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help=f"write the figures to {RESULTS}")
    arguments = parser.parse_args()
    outcomes = run(arguments.n, arguments.seed)
    figures = summary(outcomes, arguments.seed)
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "mutated_models.json").write_text(text + "\n")
        (RESULTS / "mutated_models.md").write_text(page(figures))
    return int(any(outcome.is_wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
