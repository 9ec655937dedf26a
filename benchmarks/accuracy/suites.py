"""Suites of data sets and label budgets, and target accuracies."""

from benchmarks.accuracy.data import LOADERS
from benchmarks.accuracy.draws import Budget

Cell = tuple[str, Budget]

SMALL: tuple[Cell, ...] = tuple(
    (name, Budget.parse(text))
    for name, *budgets in (
        ("digits", "2", "10"),
        ("breast_cancer", "5"),
        ("wine", "3"),
        ("moons", "5"),
        ("pendigits", "5"),
        ("satimage", "5"),
        ("dry_bean", "5"),
        ("mnist64", "5"),
        ("magic", "total:20"),
        ("htru2", "total:20"),
        ("spambase", "total:20"),
        ("ag_news", "10", "50"),
    )
    for text in budgets
)

PER_CLASS = ("1", "2", "5", "10", "50")
FULL: tuple[Cell, ...] = tuple(
    (name, Budget.parse(text))
    for name in LOADERS
    for text in (*PER_CLASS, "total:200" if name == "ag_news" else "total:20")
)

SUITES: dict[str, tuple[Cell, ...]] = {"small": SMALL, "full": FULL}

# Budget on the papers' own files (Izmailov et al. 2020, table 1).
PAPER_BUDGET = Budget(20, in_total=True)

# Mean accuracy to reach with the default FlowGMMClassifier.
TARGETS: dict[tuple[str, str], float] = {
    ("ag_news", "50"): 0.894,
    ("ag_news", "10"): 0.875,
    ("digits", "10"): 0.96,
    ("digits", "2"): 0.87,
    ("breast_cancer", "5"): 0.96,
    ("wine", "3"): 0.96,
    ("moons", "5"): 0.995,
    ("pendigits", "5"): 0.91,
    ("satimage", "5"): 0.82,
    ("dry_bean", "5"): 0.90,
    ("mnist64", "5"): 0.84,
    ("magic", "10"): 0.75,
    ("htru2", "10"): 0.97,
    ("spambase", "10"): 0.85,
}
