"""Rows with texts as a kind of rows: a table in which each text is the numbers of its embedding."""

from __future__ import annotations

from typing import ClassVar

from flowssl._model_file import Arrays
from flowssl.estimators._table_domain import TableDomain
from flowssl.estimators.options import TextOptions
from flowssl.preprocessing import TextTableEncoder
from flowssl.text import TextEncoder


class TextDomain(TableDomain):
    """Rows of texts and, beside them, of numbers and categories.

    Parameters
    ----------
    options : TextOptions
        The columns of texts, and what embeds them.
    show_progress : bool, default=False
        Whether embedding shows a progress bar on a terminal.
    """

    row_kind: ClassVar[str] = TextTableEncoder.row_kind

    def __init__(self, options: TextOptions, *, show_progress: bool = False) -> None:
        self.options = options
        self.show_progress = show_progress

    def encoder(self) -> TextTableEncoder:
        """Return an encoder of rows with texts."""
        options = self.options
        texts = TextEncoder(
            options.embedder,
            batch_size=options.batch_size,
            cache=options.cache,
            verbose=int(self.show_progress),
        )
        return TextTableEncoder(options.columns, texts, options.keep)

    def read_encoder(self, text: str, arrays: Arrays) -> TextTableEncoder:
        """Rebuild an encoder of rows with texts.

        A cache that was switched off stays off. A folder that a file names is not written to: the
        file may be a stranger's. The user's own folder for caches is used instead.
        """
        encoder = TextTableEncoder.from_file(text, arrays)
        options = self.options
        cache = options.cache if isinstance(options.cache, bool) else True
        encoder.texts.set_params(batch_size=options.batch_size, cache=cache)
        return encoder
