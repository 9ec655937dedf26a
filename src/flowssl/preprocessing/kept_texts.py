"""Training texts that decoded rows are taken from: embeddings have no way back to texts."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from flowssl._typing import Floats

KEPT_BYTES = 16 * 2**20
"""Bytes of all kept texts together at most, before they are compressed."""

KEPT_CHARACTERS = 10_000
"""Characters of a kept text at most."""

_LEVELS = 255


@dataclass(frozen=True)
class KeptTexts:
    """Training texts that decoded rows are taken from.

    Attributes
    ----------
    texts : list of lists of str or None
        The texts of each of m rows, one for each column of texts.
    levels : ndarray of shape (m, d), uint8
        Their embeddings, in 256 levels between the least and the largest number of each column.
    least, largest : ndarray of shape (d,)
        Those numbers.
    """

    texts: list[list[str | None]]
    levels: NDArray[np.uint8]
    least: Floats
    largest: Floats

    @classmethod
    def choose(cls, columns: Sequence[Sequence[str | None]], vectors: Floats, most: int) -> Self:
        """Keep at most so many rows, distinct and at random, and not more than `KEPT_BYTES`."""
        rows = [
            tuple(None if text is None else text[:KEPT_CHARACTERS] for text in row)
            for row in zip(*columns, strict=True)
        ]
        first: dict[tuple[str | None, ...], int] = {}
        for place, row in enumerate(rows):
            first.setdefault(row, place)
        places = np.array(list(first.values()))
        order = np.random.default_rng(0).permutation(len(places))[:most]
        sizes = [
            sum(len((text or "").encode()) for text in rows[places[i]]) for i in order.tolist()
        ]
        fits = np.cumsum(sizes) <= KEPT_BYTES
        chosen = np.sort(places[order[fits]])
        least, largest = vectors.min(axis=0), vectors.max(axis=0)
        scaled = (vectors[chosen] - least) / np.where(largest > least, largest - least, 1.0)
        levels = np.round(scaled * _LEVELS).astype(np.uint8)
        return cls([list(rows[place]) for place in chosen.tolist()], levels, least, largest)

    def nearest(self, vectors: Floats) -> list[list[str | None]]:
        """Return the texts of the rows whose embeddings are nearest to vectors (n, d)."""
        if not self.texts:
            raise ValueError(
                "no training text was kept, so that rows cannot be decoded; fit with keep above 0 "
                "in TextOptions"
            )
        known = self.least + self.levels / _LEVELS * (self.largest - self.least)
        finder = NearestNeighbors(n_neighbors=1).fit(known)
        found = finder.kneighbors(vectors, return_distance=False)[:, 0]
        return [self.texts[place] for place in found.tolist()]

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return all as arrays; the texts are compressed JSON."""
        packed = zlib.compress(json.dumps(self.texts, ensure_ascii=False).encode(), level=6)
        return {
            "texts": np.frombuffer(packed, dtype=np.uint8),
            "levels": self.levels,
            "least": self.least,
            "largest": self.largest,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], n_columns: int) -> Self:
        """Rebuild them.

        Raises
        ------
        ValueError, KeyError
            If the arrays do not belong together, or the texts are too long.
        """
        levels, packed = arrays["levels"], arrays["texts"]
        least, largest = (arrays[name].astype(np.float64) for name in ("least", "largest"))
        # JSON writes a character in at most six bytes. Rows without an embedding are not read:
        # as lists in memory, empty ones take ten times their bytes in JSON.
        per_row = n_columns * (6 * KEPT_CHARACTERS + 8)
        most = min(6 * KEPT_BYTES + 2**20, len(levels) * per_row + 2)
        unpack = zlib.decompressobj()
        try:
            content = unpack.decompress(packed.tobytes(), most)
        except zlib.error as error:
            raise ValueError(f"the kept texts are damaged: {error}") from error
        if unpack.unconsumed_tail or not unpack.eof:
            raise ValueError("the kept texts are longer than texts can be, or cut off")
        texts = json.loads(content)
        sound = (
            isinstance(texts, list)
            and all(isinstance(row, list) and len(row) == n_columns for row in texts)
            and all(isinstance(text, str | None) for row in texts for text in row)
            and levels.dtype == np.uint8
            and levels.shape == (len(texts), len(least))
            and least.shape == largest.shape
            and least.ndim == 1
            and np.isfinite([least, largest]).all()
        )
        if not sound:
            raise ValueError("the kept texts do not belong to their embeddings")
        return cls(texts, cast("NDArray[np.uint8]", levels), least, largest)
