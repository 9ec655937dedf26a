"""Encode rows with texts: embeddings of the texts beside the other columns of a table.

Embeddings have no way back to texts. What is decoded instead is a training text, the one whose
embedding is nearest; some are kept for this, in model files too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self, cast, get_args

import narwhals as nw
import numpy as np
from narwhals.typing import IntoDataFrame
from numpy.typing import ArrayLike, NDArray

from flowssl._records import Record, shown
from flowssl._typing import Floats
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.containers import Container, TableLike
from flowssl.preprocessing.kept_texts import KeptTexts
from flowssl.preprocessing.table_encoder import OutputColumn, TableEncoder
from flowssl.preprocessing.text_split import ColumnNames, split_rows
from flowssl.text import TextEncoder


class TextTableEncoder:
    """Encode rows of texts and, beside them, of numbers, categories and times.

    The matrix has the columns that a `TableEncoder` makes of the other columns, then the numbers of
    each text's embedding. Numbers that are constant in fit, or repeat earlier ones, are left out.

    Parameters
    ----------
    columns : str, int, sequence of these, or True
        The columns of texts: names in a data frame, positions in an array. True: all columns, or a
        plain list of texts.
    texts : TextEncoder
        Embeds them.
    keep : int, default=5000
        Training rows whose texts are kept for `inverse_transform`: distinct ones, at random, at
        most 16 MiB of them, each with its first 10,000 characters.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of str
        Their names; only for data frames.
    output_columns_ : list of OutputColumn
        Column of the table, and category, that each of the D columns of the matrix stands for.
    table_ : TableEncoder or None
        Encodes the other columns, if there are any.
    text_columns_ : list of str or int
        The columns of texts.
    dequantization_width_, constant_, duplicate_of_
        As in `TableEncoder`; embeddings have none.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.preprocessing import TextTableEncoder
    >>> from flowssl.text import TextEncoder
    >>> def letters(texts):
    ...     return np.array([[text.count("a"), text.count("b")] for text in texts])
    >>> encoder = TextTableEncoder(True, TextEncoder(letters)).fit(["a", "abba", "bbbb"])
    >>> encoder.transform(["ab"])
    array([[1., 1.]])
    >>> encoder.inverse_transform([[0.2, 3.5]])
    array(['bbbb'], dtype=object)
    """

    row_kind: ClassVar[Literal["text"]] = "text"
    """Kind of the rows; code that depends on it looks it up here."""

    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    output_columns_: list[OutputColumn]
    table_: TableEncoder | None
    text_columns_: list[str | int]
    dequantization_width_: Floats
    constant_: dict[str | int, object]
    duplicate_of_: dict[str | int, str | int]

    def __init__(self, columns: ColumnNames, texts: TextEncoder, keep: int = 5000) -> None:
        self.columns = columns
        self.texts = texts
        self.keep = keep

    def fit(self, X: TableLike) -> Self:
        """Learn the columns of a table.

        Raises
        ------
        DataError
            If a column of texts is not there or does not hold texts.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: TableLike) -> Floats:
        """Learn the columns of a table and encode it, embedding its texts once.

        Returns
        -------
        ndarray of shape (n, D), float64
            As of `transform`.
        """
        parts = split_rows(X, self.columns)
        self._take_columns(parts.columns, parts.names, parts.n_columns)
        table, encoded = None, np.empty((len(parts.texts.columns[0]), 0))
        if parts.others is not None:
            table = TableEncoder()
            encoded = np.asarray(table.fit_transform(parts.others), dtype=np.float64)
        vectors = self.texts.learn(parts.texts).embed(parts.texts).astype(np.float64)
        self._set(parts.container, table, _distinct_columns(vectors))
        vectors = vectors[:, self._used]
        self._kept = KeptTexts.choose(parts.texts.columns, vectors, int(self.keep))
        return np.hstack([encoded, vectors])

    def transform(self, X: TableLike) -> Floats:
        """Encode a table.

        Returns
        -------
        ndarray of shape (n, D), float64
            NaN where a value of the other columns is missing.
        """
        parts = split_rows(X, True if self._container == "list" else self.text_columns_)
        if parts.n_columns != self.n_features_in_:
            raise ValueError(
                f"X has {parts.n_columns} columns, and had {self.n_features_in_} in fit"
            )
        vectors: Floats = self.texts.embed(parts.texts)[:, self._used].astype(np.float64)
        if self.table_ is None or parts.others is None:
            return vectors
        table = np.asarray(self.table_.transform(parts.others), dtype=np.float64)
        return np.hstack([table, vectors])

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.generic] | IntoDataFrame:
        """Decode a matrix (n, D) into a table like that of fit.

        Returns
        -------
        ndarray or data frame of n rows
            Each row's texts are those of the kept training row whose embeddings are nearest. A
            list or a series of texts becomes an array of objects.
        """
        matrix = np.asarray(X, dtype=np.float64)
        width = len(self.output_columns_) - len(self._used)
        rows = self._kept.nearest(matrix[:, width:]) if len(matrix) else []
        columns = [[row[i] for row in rows] for i in range(len(self.text_columns_))]
        if self._container == "list":
            return np.array([*columns[0], None], dtype=object)[:-1]
        others = None if self.table_ is None else self.table_.inverse_transform(matrix[:, :width])
        if self._container == "array":
            return _joined_array(columns, self.text_columns_, others)
        names = [str(name) for name in self.feature_names_in_]
        given = dict(zip(map(str, self.text_columns_), columns, strict=True))
        return _joined_frame(given, names, others, self._container)

    def get_feature_names_out(self) -> NDArray[np.object_]:
        """Return the names of the matrix columns."""
        of_table = [] if self.table_ is None else list(self.table_.get_feature_names_out())
        names = [str(name) for name in self.text_columns_]
        texts = self.texts.get_feature_names_out(None if self._container == "list" else names)
        return np.array([*of_table, *texts[self._used]], dtype=object)

    def to_json(self) -> str:
        """Write the fitted encoder as JSON text; `to_arrays` returns the rest."""
        names = getattr(self, "feature_names_in_", None)
        return json.dumps(
            {
                "row_kind": self.row_kind,
                "container": self._container,
                "columns": self.text_columns_,
                "names": None if names is None else names.tolist(),
                "n_features": self.n_features_in_,
                "keep": int(self.keep),
                "texts": json.loads(self.texts.to_json()),
                "table": None if self.table_ is None else json.loads(self.table_.to_json()),
            },
            allow_nan=False,
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of the fitted encoder by name."""
        return {"used": self._used, **self._kept.to_arrays()}

    @classmethod
    def from_file(cls, text: str, arrays: Mapping[str, NDArray[np.generic]]) -> TextTableEncoder:
        """Rebuild a fitted encoder from `to_json` and `to_arrays`.

        Raises
        ------
        ModelFileError
            If they are damaged, or do not belong together.
        """
        record = Record.parse(text, "encoder")
        record.text("row_kind", (cls.row_kind,))
        if extra := arrays.keys() - _ARRAYS:
            raise ModelFileError(f"its tensor {shown(f'encoder.{min(extra)}')} belongs to nothing")
        texts = TextEncoder.from_json(json.dumps(record.get("texts")))
        table = None
        if record.get("table") is not None:
            table = TableEncoder.from_json(json.dumps(record.get("table")))
        columns, names, n_features = _columns_of(record, texts, table)
        encoder = cls(columns, texts, record.whole("keep"))
        encoder._take_columns(columns, names, n_features)
        try:
            used = _checked_places(arrays["used"], texts.n_features_in_ * texts.n_dimensions_)
            encoder._set(record.text("container", _CONTAINERS), table, used)
            encoder._kept = KeptTexts.from_arrays(arrays, len(columns))
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(f"the text encoder's tensors are damaged: {error!r}") from error
        if len(encoder._kept.least) != len(used):
            raise ModelFileError("its kept texts have not the width of its embeddings")
        return encoder

    def _take_columns(
        self, columns: Sequence[str | int], names: Sequence[str] | None, n_features: int
    ) -> None:
        """Set what is known of the columns."""
        self.text_columns_ = list(columns)
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif "feature_names_in_" in self.__dict__:
            del self.feature_names_in_

    def _set(self, container: str, table: TableEncoder | None, used: NDArray[np.int64]) -> None:
        """Set the fitted attributes."""
        self._container, self.table_, self._used = container, table, used
        per_text = self.texts.n_dimensions_
        of_texts = [
            OutputColumn(self.text_columns_[place // per_text], None) for place in used.tolist()
        ]
        self.output_columns_ = [*(table.output_columns_ if table else []), *of_texts]
        widths = table.dequantization_width_ if table else np.zeros(0)
        self.dequantization_width_ = np.concatenate([widths, np.zeros(len(used))])
        self.constant_ = dict(table.constant_) if table else {}
        self.duplicate_of_ = dict(table.duplicate_of_) if table else {}


_CONTAINERS = ("list", *get_args(Container))
_ARRAYS = {"used", "texts", "levels", "least", "largest"}


def _columns_of(
    record: Record, texts: TextEncoder, table: TableEncoder | None
) -> tuple[list[str | int], list[str] | None, int]:
    """Return the columns of texts, the names of all columns, and their number, of a record."""
    names, n_features = record.optional_texts("names"), record.whole("n_features", least=1)
    columns: list[str | int] = [
        value
        for value in record.items("columns")
        if isinstance(value, str | int) and not isinstance(value, bool)
    ]
    n_others = 0 if table is None else table.n_features_in_
    is_sound = (
        n_features == len(columns) + n_others  # which bounds the range below
        and set(columns) <= set(range(n_features) if names is None else names)
        and (names is None or len(set(names)) == len(names) == n_features)
        and len(columns) == len(set(columns)) == len(record.items("columns"))
        and len(columns) == texts.n_features_in_
    )
    if not is_sound:
        raise ModelFileError(f"its columns of texts {shown(columns)} are not among its columns")
    return columns, names, n_features


def _distinct_columns(vectors: Floats) -> NDArray[np.int64]:
    """Return the columns of vectors (n, d) that vary and do not repeat an earlier one."""
    vary = np.flatnonzero(vectors.min(axis=0) < vectors.max(axis=0))
    _, first = np.unique(vectors[:, vary].T + 0.0, axis=0, return_index=True)
    return vary[np.sort(first)]


def _checked_places(places: NDArray[np.generic], width: int) -> NDArray[np.int64]:
    """Return the positions of columns that a file has, if they can be that."""
    sound = (
        places.dtype == np.int64
        and places.ndim == 1
        and (np.diff(places.astype(np.int64)) > 0).all()
        and (len(places) == 0 or (places[0] >= 0 and places[-1] < width))
    )
    if not sound:
        raise ValueError(f"its positions are not those of {width} numbers")
    return places.astype(np.int64)


def _joined_array(
    texts: list[list[str | None]], places: Sequence[str | int], others: object
) -> NDArray[np.object_]:
    """Put columns of texts to their places among the others (n, k)."""
    rest = np.empty((len(texts[0]), 0), dtype=object) if others is None else np.asarray(others)
    array = np.empty((len(texts[0]), rest.shape[1] + len(texts)), dtype=object)
    array[:, [place for place in range(array.shape[1]) if place not in places]] = rest
    for place, column in zip(places, texts, strict=True):
        array[:, int(place)] = column
    return array


def _joined_frame(
    texts: Mapping[str, list[str | None]], names: Sequence[str], others: object, container: str
) -> IntoDataFrame:
    """Put columns of texts to their places among those of a data frame."""
    series = [
        nw.new_series(name, column, nw.String(), backend=container)  # type: ignore[arg-type]
        for name, column in texts.items()
    ]
    frames = [column.to_frame() for column in series]
    if others is not None:
        frames.append(nw.from_native(others, eager_only=True))
    joined = nw.concat(frames, how="horizontal").select(list(names))
    return cast("IntoDataFrame", joined.to_native())
