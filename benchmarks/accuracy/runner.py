"""Run the jobs that are not finished yet, several at a time, each in a process with one thread.

Only the parent writes results: workers print lines. A worker that dies leaves its remaining draws
recorded as failed, with how it ended.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock

from benchmarks.accuracy import results
from benchmarks.accuracy.worker import Job
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def unfinished(jobs: Iterable[Job], done: Iterable[results.Key]) -> list[Job]:
    """Leave out the draws that are done, and the jobs of which nothing is left."""
    finished = set(done)
    left = []
    for job in jobs:
        draws = tuple(n for n in job.draws if results.key(job.record(n)) not in finished)
        if draws:
            left.append(Job(job.method, job.dataset, job.budget, draws, job.max_rows, job.root))
    return left


def run(jobs: list[Job], folder: Path, n_workers: int, console: Console) -> None:
    """Run `jobs`, `n_workers` at a time, and write each finished cell below `folder`."""
    lock, stopped = Lock(), Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("accuracy", total=sum(len(job.draws) for job in jobs))

        def finished(record: results.Record) -> None:
            with lock:
                results.append(folder, record)
                progress.update(
                    task, advance=1, description=f"{record['method']} on {record['dataset']}"
                )
                if not console.is_terminal or record["status"] != "ok":
                    console.print(_line(record), highlight=False, soft_wrap=True, markup=False)

        running: set[subprocess.Popen[str]] = set()
        with ThreadPoolExecutor(n_workers) as pool:
            futures = [pool.submit(_work, job, finished, running, stopped) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                stopped.set()
                for future in futures:
                    future.cancel()
                for process in tuple(running):
                    process.terminate()
                raise


def _work(
    job: Job,
    finished: Callable[[results.Record], None],
    running: set[subprocess.Popen[str]],
    stopped: Event,
) -> None:
    command = [sys.executable, "-m", "benchmarks.accuracy.worker", job.to_json()]
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": path}
    left = list(job.draws)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        running.add(process)
        with process:
            for line in process.stdout or ():
                record = json.loads(line)
                left.remove(record["draw"])
                finished(record)
        running.discard(process)
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
    if stopped.is_set():  # ended by the user: to be run again, not failed
        return
    for number in left:
        error = f"worker ended with code {process.returncode}: {last}"[:300]
        finished({**job.record(number), "status": "failed", "error": error, "peak_mib": 0})


def _line(record: results.Record) -> str:
    """One line of log for one finished cell."""
    name = f"{record['method']} {record['dataset']} {record['budget']} #{record['draw']}"
    if "accuracy" not in record:
        return f"{name}: failed, {record['error']}"
    failed = f" FAILED ({record['error']})" if record["status"] != "ok" else ""
    return f"{name}: {record['accuracy']:.4f} in {record['fit_seconds']:.1f} s{failed}"
