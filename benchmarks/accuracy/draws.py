"""Which rows are held out and which are labeled: a pure function of a committed seed.

For each class, one permutation of its rows determines the draw: the first third is held out (unless
the data have a test set), the next ones are labeled. So all methods see the same rows, and the
labels of a small budget are among those of a larger one. ``draws.json`` holds a checksum for every
data set, so that a change of the rule or of NumPy's generators is noticed;
``python -m benchmarks.accuracy.draws`` rewrites it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
from benchmarks.accuracy.data import LOADERS, Table, load

SEED = 20_240_617
CHECKSUM_DRAWS = 10
CHECKSUM_FILE = Path(__file__).with_name("draws.json")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Budget:
    """The number of labels of a draw: `count` per class, or `count` in total."""

    count: int
    in_total: bool = False

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Parse "5" (five per class) or "total:20" (twenty in total)."""
        number = text.removeprefix("total:")
        if not number.isdecimal() or int(number) < 1:
            raise ValueError(f"a budget must be 5 (per class) or total:20 (in total), got {text!r}")
        return cls(int(number), in_total=number != text)

    def __str__(self) -> str:
        return f"total:{self.count}" if self.in_total else str(self.count)

    def describe(self) -> str:
        """Return the text for tables."""
        return f"{self.count} in total" if self.in_total else f"{self.count} per class"

    def for_classes(self, n_classes: int) -> "Budget":
        """Convert a total that divides evenly to one per class, so that no cell runs twice."""
        if self.in_total and self.count % n_classes == 0:
            return Budget(self.count // n_classes)
        return self


@dataclass(frozen=True)
class Draw:
    """Row numbers of one draw: `train` (sorted), `labeled` (a subset of it) and `test`.

    `test` is empty where the data have their own test set.
    """

    train: Rows
    labeled: Rows
    test: Rows


def draw(table: Table, budget: Budget, number: int) -> Draw:
    """Split `table` and choose its labels for draw `number`.

    Raises ValueError if a class has too few training rows for the budget.
    """
    rng = np.random.default_rng([SEED, crc32(table.name.encode()), number])
    order = [rng.permutation(np.flatnonzero(table.y == k)) for k in range(table.n_classes)]
    has_test = table.X_test is not None
    held_out = [0 if has_test else -(-len(rows) // 3) for rows in order]
    quotas = _quotas(budget, rng.permutation(table.n_classes))
    labeled = []
    for k, (rows, skip, quota) in enumerate(zip(order, held_out, quotas, strict=True)):
        if len(rows) - skip <= quota:
            raise ValueError(
                f"{table.name}: class {k} has {len(rows) - skip} training rows, too few for "
                f"{quota} labels"
            )
        labeled.append(rows[skip : skip + quota])
    test = np.concatenate([rows[:skip] for rows, skip in zip(order, held_out, strict=True)])
    train = np.concatenate([rows[skip:] for rows, skip in zip(order, held_out, strict=True)])
    return Draw(np.sort(train), np.concatenate(labeled), np.sort(test))


def fits(table: Table, budget: Budget) -> bool:
    """Whether every class has enough training rows for the budget."""
    try:
        draw(table, budget, 0)
    except ValueError:
        return False
    return True


def _quotas(budget: Budget, class_order: Rows) -> Rows:
    n_classes = len(class_order)
    if not budget.in_total:
        return np.full(n_classes, budget.count, dtype=np.int64)
    quotas = np.full(n_classes, budget.count // n_classes, dtype=np.int64)
    quotas[class_order[: budget.count % n_classes]] += 1
    return quotas


def checksum(table: Table) -> str:
    """SHA-256 of the rows that the first draws hold out and label (2 per class and 20 in total)."""
    digest = hashlib.sha256()
    for number in range(CHECKSUM_DRAWS):
        for budget in (Budget(2), Budget(20, in_total=True)):
            chosen = draw(table, budget, number)
            for rows in (chosen.test, chosen.labeled):
                digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sums = {name: checksum(load(name)) for name in LOADERS}
    CHECKSUM_FILE.write_text(json.dumps(sums, indent=1) + "\n")
