"""Encode tables of numbers, categories and times as the float64 matrix that a flow models.

The encoder remembers the user's table well enough to turn a row of the matrix, such as a sample
of the model, back into a row of that table, and writes what it knows as JSON into the model file.
"""

import json
from dataclasses import asdict, replace
from numbers import Integral
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

import numpy as np
from narwhals.typing import IntoDataFrame
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from flowssl._typing import Floats
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.building import build_table
from flowssl.preprocessing.codecs import Codec
from flowssl.preprocessing.containers import (
    DTYPES,
    ColumnType,
    Container,
    Level,
    Table,
    TableLike,
    Values,
    is_level,
    read_table,
)

_FORMAT = 1


class OutputColumn(NamedTuple):
    """Where a column of the matrix comes from.

    `column` is the name (or position) in the user's table; `level` is the category that the
    column indicates, "infrequent" for the grouped ones, None for a number or a time.
    """

    column: str | int
    level: Level | None


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode a table of numbers, categories and times as a float64 matrix, and decode it.

    Parameters
    ----------
    max_categories : int, default=50
        Largest number of codes of one categorical column, at least 2. Where a column has more
        categories, the `max_categories - 1` most frequent keep a code of their own and the others
        share the code "infrequent"; the default keeps an identifier column from flooding the
        matrix. The shared code is decoded as the most frequent of its categories, so that a
        decoded table holds no invented category.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of str
        Their names; only for data frames whose column names are all strings.
    output_columns_ : list of OutputColumn
        Column and level of the table behind each of the D columns of the matrix.
    dequantization_width_ : ndarray of shape (D,)
        Width of the uniform noise that turns a matrix column into a continuous one: 1.0 for an
        indicator, 0.0 for a number or a time.
    constant_ : dict
        Name and value of the columns left out because they were constant in fit (None where all
        values were missing).
    duplicate_of_ : dict
        Name of the columns left out because they repeated another one in fit, and that one's name.

    Notes
    -----
    Numbers are kept. Dates and times become seconds (since 1970, in UTC where there is a time
    zone), durations become seconds; both exact to the microsecond for times from 1834 to 2106.
    Missing values of any kind are NaN.
    In an object array, strings that are numbers count as numbers, as in scikit-learn; in a data
    frame a column of strings is categorical whatever it holds. Integers beyond 2^53 lose digits.

    A bool is a category, as is a string. A categorical column with K codes takes K - 1 indicator
    columns; its most frequent category is the reference, with zeros everywhere. With uniform
    noise u in [0, 1) added to each indicator, category k fills the box e_k + [0, 1)^(K - 1) (the
    reference [0, 1)^(K - 1)). These boxes are disjoint, so a density p on R^(K - 1) gives each
    category the probability P(k) = integral of p over its box, and by Jensen's inequality

        log P(k) >= E_u log p(e_k + u),

    the bound that training on noisy indicators raises (Theis et al. 2016, A note on the evaluation
    of generative models, section 3.1). `inverse_transform` decodes to the box that is hit, or the
    nearest one.

    A column with one value (whatever else is missing) or none, and a column that repeats an
    earlier one exactly (for categories: up to their names), has no density beside the others: a
    model could raise its likelihood without bound there. Such columns are left out of the matrix
    and put back by `inverse_transform`; what they hold in later tables is not looked at. A table
    of one row has only constant columns, and its matrix has none.

    A category that fit has not seen is treated as missing, with a `FlowSSLWarning`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1.5, 2.0, 0.5], "color": ["red", "blue", "red"]})
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.transform(table)
    array([[1.5, 0. ],
           [2. , 1. ],
           [0.5, 0. ]])
    >>> encoder.inverse_transform([[1.0, 1.3]])
       size color
    0   1.0  blue
    """

    row_kind: ClassVar[Literal["table"]] = "table"
    """What rows are; whatever depends on it asks the encoder."""

    def __init__(self, max_categories: int = 50) -> None:
        self.max_categories = max_categories

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that missing values, strings and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def fit(self, X: TableLike, y: object = None) -> Self:
        """Learn the columns of a table.

        Parameters
        ----------
        X : array-like of shape (n, n_features_in) or data frame
            NumPy array, list of rows, or any data frame that narwhals reads (pandas, polars,
            pyarrow).
        y : object, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        TableEncoder
            This encoder.

        Raises
        ------
        ValueError, TypeError
            With scikit-learn's messages for what is no table of finite values.
        DataError
            If two columns share a name.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: TableLike, y: object = None) -> Floats:
        """Learn the columns of a table and encode it, reading it once.

        Parameters
        ----------
        X : array-like of shape (n, n_features_in) or data frame
            See `fit`.
        y : object, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        ndarray of shape (n, D), float64
        """
        return self._encode(self._fit(X))

    def transform(self, X: TableLike) -> Floats:
        """Encode a table.

        Parameters
        ----------
        X : array-like of shape (n, n_features_in) or data frame
            Columns as in fit; any container will do.

        Returns
        -------
        ndarray of shape (n, D), float64
            NaN where a value is missing. The input itself where nothing had to be changed.

        Raises
        ------
        ValueError
            If the number, the names or the order of the columns differ from fit, if a column has
            changed its kind, or as in `fit`.
        """
        check_is_fitted(self)
        table = read_table(X, self)
        validate_data(self, X, reset=False, skip_check_array=True)
        return self._encode(table)

    def inverse_transform(self, X: TableLike) -> NDArray[np.generic] | IntoDataFrame:
        """Decode a matrix into a table like the one of fit.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Encoded rows, or anything near them, such as samples of a model.

        Returns
        -------
        ndarray or data frame of n rows
            An array if fit has seen an array: float64 if all columns are numeric, else of objects
            (bool or datetime64 if all columns are). A data frame of the library and column types
            of fit otherwise, with integers rounded and kept in range; a pandas frame gets a new
            index. A column whose type cannot hold missing values gets one that can, where needed.

        Raises
        ------
        ValueError
            If X does not have D columns.
        """
        check_is_fitted(self)
        n_out = len(self.output_columns_)
        matrix = check_array(
            X,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=0,
            ensure_min_features=0,
            estimator=self,
        )
        if matrix.shape[1] != n_out:
            raise ValueError(
                f"X has {matrix.shape[1]} features, but TableEncoder is expecting {n_out} encoded "
                "features as input."
            )
        columns = []
        for position, codec in enumerate(self._codecs):
            if codec.is_constant:
                values: Values = codec.fill(len(matrix))
            else:
                source = position if codec.duplicate_of is None else codec.duplicate_of
                values = codec.decode(matrix[:, self._slices[source]].T)
            columns.append((codec.name, codec.type, values))
        return build_table(self._container, columns)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the matrix columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the table's columns; by default those of fit, or "x0", "x1", ...

        Returns
        -------
        ndarray of shape (D,)
            The name of a number or a time, "name_level" for an indicator.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.array(
            [
                names[position] if level is None else f"{names[position]}_{level}"
                for position, codec in enumerate(self._codecs)
                if codec.is_kept
                for level in codec.indicated
            ],
            dtype=object,
        )

    def to_json(self) -> str:
        """Write the fitted encoder as JSON text, exact to the bit.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        record = {
            "format": _FORMAT,
            "max_categories": int(self.max_categories),
            "container": self._container,
            "columns": [asdict(codec) for codec in self._codecs],
        }
        return json.dumps(record, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a fitted encoder from `to_json`.

        Parameters
        ----------
        text : str
            JSON text; it may come from a stranger.

        Returns
        -------
        TableEncoder

        Raises
        ------
        ModelFileError
            If the text is damaged or written by a newer version.
        """
        try:
            record = json.loads(text)
            if record["format"] != _FORMAT:
                raise ModelFileError(
                    f"the table encoder was written in format {record['format']!r}, and this "
                    f"version of flowssl reads format {_FORMAT}; install a newer version."
                )
            codecs = [_codec_from(column) for column in record["columns"]]
            _check_codecs(codecs)
            if record["container"] not in get_args(Container):
                raise ValueError(f"not a container: {record['container']!r}")
            encoder = cls(max_categories=int(record["max_categories"]))
            encoder._set_fitted(record["container"], codecs)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, ModelFileError):
                raise
            raise ModelFileError(f"the table encoder's record is damaged: {error!r}") from error
        encoder.n_features_in_ = len(codecs)
        names = [codec.name for codec in codecs]
        if record["container"] != "array" and all(isinstance(name, str) for name in names):
            encoder.feature_names_in_ = np.array(names, dtype=object)
        return encoder

    def _fit(self, X: TableLike) -> Table:
        if not isinstance(self.max_categories, Integral) or self.max_categories < 2:
            raise ValueError(
                f"max_categories must be an integer of at least 2, got {self.max_categories!r}."
            )
        table = read_table(X, self)
        validate_data(self, X, reset=True, skip_check_array=True)
        codecs: list[Codec] = []
        encoded: dict[int, Floats] = {}
        seen: dict[tuple[bool, int, bytes], list[int]] = {}
        for position, column in enumerate(table.columns):
            codec = Codec.fit(column, self.max_categories)
            if not codec.is_constant:
                # Adding 0 gives -0.0 and 0.0 the same bytes; a few rows tell most columns apart.
                rows = codec.encode(column)
                key = (codec.is_categorical, len(rows), (rows[:, :64] + 0.0).tobytes())
                twins = seen.setdefault(key, [])
                for twin in twins:
                    if np.array_equal(encoded[twin], rows, equal_nan=True):
                        codec = replace(codec, duplicate_of=twin)
                        break
                else:
                    twins.append(position)
                    encoded[position] = rows
            codecs.append(codec)
        self._set_fitted(table.container, codecs)
        return table

    def _set_fitted(self, container: Container, codecs: list[Codec]) -> None:
        self._container = container
        self._codecs = codecs
        self.output_columns_: list[OutputColumn] = []
        self._slices: dict[int, slice] = {}
        widths: list[float] = []
        for position, codec in enumerate(codecs):
            if codec.is_kept:
                start = len(self.output_columns_)
                self.output_columns_ += [OutputColumn(codec.name, v) for v in codec.indicated]
                self._slices[position] = slice(start, len(self.output_columns_))
                widths += [float(codec.is_categorical)] * len(codec.indicated)
        self.dequantization_width_ = np.array(widths)
        self.constant_ = {codec.name: codec.constant for codec in codecs if codec.is_constant}
        self.duplicate_of_ = {
            codec.name: codecs[codec.duplicate_of].name
            for codec in codecs
            if codec.duplicate_of is not None
        }

    def _encode(self, table: Table) -> Floats:
        kept = list(self._slices)
        if table.matrix is not None and all(
            self._codecs[position].type.kind == "numeric" for position in kept
        ):
            if len(kept) == len(self._codecs):
                return table.matrix
            return np.take(table.matrix, kept, axis=1)
        transposed = np.empty((len(self.output_columns_), table.n_rows))
        for position, columns in self._slices.items():
            transposed[columns] = self._codecs[position].encode(table.columns[position])
        return np.ascontiguousarray(transposed.T)


def _codec_from(record: dict[str, object]) -> Codec:
    """Build one codec from its record, which may be forged."""
    type_record, levels, infrequent = (record[key] for key in ("type", "levels", "infrequent"))
    if not (
        isinstance(type_record, dict) and isinstance(levels, list) and isinstance(infrequent, list)
    ):
        raise TypeError(f"not a column's record: {record!r}")
    categories = type_record["categories"]
    is_sound = (
        isinstance(record["name"], str | int)
        and isinstance(record["is_constant"], bool)
        and isinstance(record["duplicate_of"], int | None)
        and type_record["kind"] in ("numeric", "datetime", "categorical")
        and type_record["dtype"] in DTYPES
        and all(isinstance(type_record[key], str | None) for key in ("native", "unit", "zone"))
        and all(map(is_level, [*levels, *infrequent, *(categories or [])]))
        and (record["constant"] is None or is_level(record["constant"]))
    )
    if not is_sound:
        raise ValueError(f"not a column's record: {record!r}")
    fields: dict[str, Any] = dict(record)
    type_ = ColumnType(
        **{**type_record, "categories": None if categories is None else tuple(categories)}
    )
    fields.update(type=type_, levels=tuple(levels), infrequent=tuple(infrequent))
    return Codec(**fields)


def _check_codecs(codecs: list[Codec]) -> None:
    """Refuse columns that cannot stand side by side."""
    if not codecs:
        raise ValueError("no columns")
    for position, codec in enumerate(codecs):
        if codec.is_categorical and not codec.is_constant and not codec.indicated:
            raise ValueError(f"column {position} is categorical and has no categories")
        if codec.duplicate_of is not None:
            original = codecs[codec.duplicate_of]
            is_earlier = 0 <= codec.duplicate_of < position
            has_codes = original.is_kept and len(original.indicated) == len(codec.indicated)
            if not (is_earlier and has_codes):
                raise ValueError(f"column {position} repeats one that it cannot repeat")
