"""The texts of the benchmark, and the files that the command line reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.folders import DATA
from sklearn.model_selection import train_test_split

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Corpus:
    """Training and test texts with the names of their classes.

    Attributes
    ----------
    per_class : int
        Texts of each class that keep their label.
    """

    name: str
    texts: Texts
    labels: Texts
    test_texts: Texts
    test_labels: Texts
    per_class: int

    def draw(self, number: int) -> npt.NDArray[np.int64]:
        """Return the rows that keep their label in a draw, so many of each class."""
        rng = np.random.default_rng(number)
        chosen = [
            rng.choice(np.flatnonzero(self.labels == name), self.per_class, replace=False)
            for name in np.unique(self.labels)
        ]
        return np.sort(np.concatenate(chosen))

    def write(self, folder: Path, labeled: npt.NDArray[np.int64]) -> tuple[Path, Path]:
        """Write the training file, in which other rows have no label, and the test file."""
        shown = np.full(len(self.labels), None, dtype=object)
        shown[labeled] = self.labels[labeled]
        train, test = folder / "train.csv", folder / "test.csv"
        pd.DataFrame({"text": self.texts, "topic": shown}).to_csv(train, index=False)
        pd.DataFrame({"text": self.test_texts, "topic": self.test_labels}).to_csv(test, index=False)
        return train, test


def load(name: str, root: Path = DATA) -> Corpus:
    """Read a corpus; raises FileNotFoundError where its files are missing."""
    if name == "ag_news":
        train, test = (
            pd.read_parquet(root / "text" / f"ag_news_{part}.parquet")
            for part in ("train39k", "test")
        )
        return Corpus(name, *_columns(train), *_columns(test), per_class=50)
    texts, labels = _columns(pd.read_parquet(root / "text" / "bbc_news.parquet"))
    split = train_test_split(texts, labels, test_size=1 / 3, random_state=0, stratify=labels)
    return Corpus(name, split[0], split[2], split[1], split[3], per_class=5)


CORPORA = ("ag_news", "bbc_news")


def _columns(frame: pd.DataFrame) -> tuple[Texts, Texts]:
    return frame["text"].to_numpy(dtype=object), frame["label_name"].astype(str).to_numpy(object)
