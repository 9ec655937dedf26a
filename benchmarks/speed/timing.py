"""Interleaved timing: every candidate gets a window in every round, under the same load."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""``cpu`` counts what the process itself used: for one thread on a shared machine."""

WINDOW_SECONDS = 0.1
MIN_CALLS, MAX_CALLS = 2, 200
WARM_UP = 5


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call: median, minimum and maximum of the windows."""

    median: float
    least: float
    most: float
    windows: list[float]


def interleaved(
    candidates: Mapping[str, Callable[[], object]], repeats: int, clock: str = "wall"
) -> dict[str, Timing]:
    """Time all candidates in turn, ``repeats`` windows of about a tenth of a second each."""
    now = CLOCKS[clock]
    calls: dict[str, int] = {}
    for name, call in candidates.items():
        for _ in range(WARM_UP):
            call()
        began = now()
        for _ in range(MIN_CALLS):
            call()
        each = (now() - began) / MIN_CALLS
        calls[name] = round(min(MAX_CALLS, max(MIN_CALLS, WINDOW_SECONDS / max(each, 1e-9))))
    windows: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            began = now()
            for _ in range(calls[name]):
                call()
            windows[name].append(1e3 * (now() - began) / calls[name])
    return {
        name: Timing(median(values), min(values), max(values), values)
        for name, values in windows.items()
    }


def ratio(of: Timing, to: Timing) -> float:
    """Return the median over the rounds of one time by the other in the same round."""
    return median(a / b for a, b in zip(of.windows, to.windows, strict=True))
