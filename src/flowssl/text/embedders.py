"""What an embedder is, and the one that a function is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowssl._typing import Booleans

TextFunction: TypeAlias = Callable[[list[str]], ArrayLike]
"""A function from n texts to their vectors, of shape (n, d)."""

Vectors: TypeAlias = NDArray[np.float32]
"""Embeddings in single precision, (n, d)."""

_BLOCK = 2**20


class Embedder(ABC):
    """A function from texts to vectors, with a name and a checksum.

    Attributes
    ----------
    name : str or None
        What it is found by; None for a function.
    origin : str
        Where it comes from, for messages, such as "wordllama 0.4.0".
    checksum : str or None
        SHA-256 of all that decides the vectors; None for a function, which has none.
    limit : int or None
        Tokens of a text that are read at most, where it is known.
    """

    name: str | None = None
    origin: str
    checksum: str | None = None
    limit: int | None = None

    @abstractmethod
    def embed(self, texts: list[str], batch_size: int) -> tuple[Vectors, Booleans]:
        """Embed texts, so many at once.

        Parameters
        ----------
        texts : list of str
            At least one; none is blank, and all can be written as UTF-8.
        batch_size : int
            Texts to process at once.

        Returns
        -------
        vectors : ndarray of shape (n, d), float32
            Finite.
        cut : ndarray of shape (n,), bool
            Whether the end of a text was left out.
        """


class FunctionEmbedder(Embedder):
    """A user's function.

    Parameters
    ----------
    function : callable
        Maps a list of n texts to n vectors.
    """

    def __init__(self, function: TextFunction) -> None:
        self.function = function
        self.origin = f"the function {getattr(function, '__name__', type(function).__name__)}"

    def embed(self, texts: list[str], batch_size: int) -> tuple[Vectors, Booleans]:
        """Call the function on a batch at a time.

        Raises
        ------
        ValueError
            If it does not return as many finite vectors of one width.
        """
        batches = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]
        parts = [self._checked(self.function(batch), len(batch)) for batch in batches]
        check_one_width({part.shape[1] for part in parts}, self.origin)
        return np.concatenate(parts), np.zeros(len(texts), dtype=bool)

    def _checked(self, found: ArrayLike, n: int) -> Vectors:
        """Return a batch of vectors (n, d), or refuse it."""
        try:
            vectors = np.asarray(found, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.origin} does not return vectors: {error}") from error
        if vectors.ndim != 2 or len(vectors) != n or not vectors.shape[1]:
            raise ValueError(
                f"{self.origin} returns an array of shape {vectors.shape} for {n} texts; an "
                f"embedder must return shape ({n}, d)"
            )
        if not np.isfinite(vectors).all():
            raise ValueError(
                f"{self.origin} returns NaN, or numbers that are too large for float32"
            )
        return vectors


def check_one_width(widths: set[int], origin: str) -> None:
    """Refuse vectors of several widths; ``origin`` names the embedder."""
    if len(widths) > 1:
        raise ValueError(
            f"{origin} returns vectors of {min(widths)} and of {max(widths)} numbers; an embedder "
            "must return vectors of one width"
        )


WORDLLAMA = "wordllama"
"""The default embedder."""


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, which is not imported; None if there is none."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def checksum_of(files: Sequence[Path], root: Path, rule: str) -> str:
    """Return the SHA-256 of files, their paths below a folder, and the rule that applies them."""
    states = [path.stat() for path in files]
    known = tuple(
        (path, path.relative_to(root).as_posix(), state.st_size, state.st_mtime_ns)
        for path, state in zip(files, states, strict=True)
    )
    return _digest(known, rule)


@lru_cache(maxsize=8)
def _digest(files: tuple[tuple[Path, str, int, int], ...], rule: str) -> str:
    """Read files that have not changed since only once in a process."""
    digest = hashlib.sha256(rule.encode())
    for path, name, size, _ in files:
        digest.update(f"\0{name}\0{size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
