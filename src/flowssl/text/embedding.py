"""Embed each distinct text once: from the cache where it is known, in batches where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowssl._progress import progress_bar
from flowssl._typing import Booleans
from flowssl.text.cache import EmbeddingCache, Known
from flowssl.text.columns import is_blank
from flowssl.text.embedders import Embedder, Vectors, check_one_width

STEP = 1024
"""Texts between two writes to the cache, and two moves of the progress bar."""


@dataclass(frozen=True)
class Embedded:
    """Embedded texts.

    Attributes
    ----------
    vectors : ndarray of shape (n, d), float32
        Zeros for blank texts.
    blank, cut : ndarray of shape (n,), bool
        Whether a text is missing or blank; whether its end was left out.
    """

    vectors: Vectors
    blank: Booleans
    cut: Booleans


def embed_texts(
    texts: Sequence[str | None],
    embedder: Embedder,
    cache: EmbeddingCache | None,
    *,
    batch_size: int,
    show_progress: bool,
) -> Embedded | None:
    """Embed texts; None if all of them are blank, so that no vector has a width.

    Parameters
    ----------
    texts : sequence of str or None
        n texts that can be written as UTF-8.
    embedder : Embedder
        What embeds them.
    cache : EmbeddingCache or None
        Vectors of earlier runs.
    batch_size : int
        Texts that the embedder processes at once.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ValueError
        If the embedder does not return vectors of one width.
    """
    blank = np.array([is_blank(text) for text in texts])
    distinct = list(
        dict.fromkeys(text for text in texts if text is not None and not is_blank(text))
    )
    if not distinct:
        return None
    known = cache.read(distinct) if cache is not None else {}
    pending = [text for text in distinct if text not in known]
    for step in _steps(pending, show_progress):
        vectors, cut = embedder.embed(step, batch_size)
        found = {text: Known(vectors[i], bool(cut[i])) for i, text in enumerate(step)}
        if cache is not None:
            cache.write(found)
        known |= found
    widths = {len(entry.vector) for entry in known.values()}
    check_one_width(widths, embedder.origin)
    nothing = Known(np.zeros(widths.pop(), dtype=np.float32), cut=False)
    rows = [known.get(text, nothing) if text is not None else nothing for text in texts]
    return Embedded(
        np.stack([row.vector for row in rows]), blank, np.array([row.cut for row in rows])
    )


def _steps(pending: list[str], show_progress: bool) -> Iterator[list[str]]:
    """Yield the texts in pieces, and move a progress bar along."""
    pieces = [pending[first : first + STEP] for first in range(0, len(pending), STEP)]
    bar = progress_bar() if show_progress and pieces else None
    if bar is None:
        yield from pieces
        return
    with bar:
        task = bar.add_task("Embedding texts", total=len(pending))
        for piece in pieces:
            yield piece
            bar.advance(task, len(piece))
