"""Encode tables of numbers, categories and times as the float64 matrix that a flow models.

The encoder records what is needed to decode a row of the matrix, such as a sample of the model, to a
row of the user's table, and writes it as JSON to the model file.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import ClassVar, Literal, NamedTuple, Self, cast, get_args

import numpy as np
from narwhals.typing import IntoDataFrame
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from flowssl._records import Record
from flowssl._typing import Floats
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.building import build_table
from flowssl.preprocessing.codecs import Codec, check_size
from flowssl.preprocessing.containers import (
    Category,
    Container,
    Table,
    TableLike,
    Values,
)
from flowssl.preprocessing.reading import as_table
from flowssl.preprocessing.records import codecs_from_records

_FORMAT = 1


class OutputColumn(NamedTuple):
    """Origin of a column of the matrix.

    `column` is the name (or position) in the user's table; `category` is the category that the
    column indicates, "infrequent" for the grouped ones, None for a number or a time.
    """

    column: str | int
    category: Category | None


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
        Column of the table, and category, that each of the D columns of the matrix stands for.
    codecs_ : list of Codec
        How each column of the table is encoded.
    container_ : {"array", "pandas", "polars", "pyarrow", "modin", "cudf"}
        What fit was given: an array, or a data frame of this library.
    dequantization_width_ : ndarray of shape (D,)
        Width of the uniform noise that turns a matrix column into a continuous one: 1.0 for an
        indicator, 0.0 for a number or a time.
    constant_ : dict
        Name and value of the columns left out because they were constant in fit; the value is None
        where all values were missing.
    duplicate_of_ : dict
        Name of each column left out because it repeated an earlier column in fit, and the name of
        that column.

    Notes
    -----
    Numbers are kept. Dates and times become seconds (since 1970, in UTC where there is a time
    zone), durations become seconds; both exact to the microsecond for times from 1834 to 2106.
    Missing values of any kind are NaN.
    In an object array, strings that are numbers count as numbers, as in scikit-learn; in a data
    frame a column of strings is always categorical. Integers beyond 2^53 lose digits.

    Booleans and strings are categories. A categorical column with K codes takes K - 1 indicator
    columns; its most frequent category is the reference, with zeros everywhere; ties are broken
    by order of appearance. With uniform
    noise u in [0, 1) added to each indicator, category k fills the box e_k + [0, 1)^(K - 1) (the
    reference [0, 1)^(K - 1)). These boxes are disjoint, so a density p on R^(K - 1) gives each
    category the probability P(k) = integral of p over its box, and by Jensen's inequality

        log P(k) >= E_u log p(e_k + u),

    the bound that training on noisy indicators raises (Theis et al. 2016, A note on the evaluation
    of generative models, section 3.1). `inverse_transform` decodes a point to the box that contains
    it, or to the nearest one.

    A column with at most one distinct value, missing values aside, or that repeats an earlier one
    exactly (for categories: up to their names), has no density given the others: a model could
    raise its likelihood without bound there. Such columns are left out of the matrix and restored
    by `inverse_transform`; their values in later tables are ignored. A table of one row has only
    constant columns, and its matrix has no columns.

    A category not seen in fit is treated as missing, with a `FlowSSLWarning`.

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
    """Kind of the rows; code that depends on it looks it up here."""

    def __init__(self, max_categories: int = 50) -> None:
        self.max_categories = max_categories

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that missing values, strings and categories are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = tags.input_tags.sparse = True
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
            If X is not a table of finite values, with scikit-learn's messages.
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
            Columns as in fit, in any container.

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
        table = as_table(X, self, [codec.type.kind for codec in self.codecs_])
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
            An array if fit was given an array: float64 if all columns are numeric, bool or
            datetime64 if all columns are, else of objects. Otherwise a data frame of the library
            and column types of fit, with integers rounded and clipped to their type's range; a
            pandas frame gets a new index. Where values are missing, a column whose type has no
            missing value gets a type that has one.

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
        for position, codec in enumerate(self.codecs_):
            if codec.is_constant:
                values: Values = codec.fill(len(matrix))
            else:
                source = position if codec.duplicate_of is None else codec.duplicate_of
                values = codec.decode(matrix[:, self._slices[source]].T)
            columns.append((codec.name, codec.type, values))
        return build_table(self.container_, columns)

    def get_feature_names_out(
        self, input_features: Sequence[str] | NDArray[np.generic] | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the matrix columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the table's columns; by default those of fit, or "x0", "x1", ...

        Returns
        -------
        ndarray of shape (D,)
            The name of a number or a time, "name_category" for an indicator.

        Raises
        ------
        ValueError
            If `input_features` are not the names of fit, or not as many as its columns.
        """
        check_is_fitted(self)
        names = self._input_names(input_features)
        return np.array(
            [
                names[position] if category is None else f"{names[position]}_{category}"
                for position, codec in enumerate(self.codecs_)
                if codec.is_kept
                for category in codec.indicated
            ],
            dtype=object,
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what a model file holds of the encoder beside `to_json`: no arrays."""
        return {}

    def to_json(self) -> str:
        """Return the fitted encoder as JSON text, exact to the bit."""
        check_is_fitted(self)
        record = {
            "format": _FORMAT,
            "row_kind": self.row_kind,
            "max_categories": int(self.max_categories),
            "container": self.container_,
            "columns": [asdict(codec) for codec in self.codecs_],
        }
        return json.dumps(record, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a fitted encoder from `to_json`.

        Parameters
        ----------
        text : str
            JSON text, which is checked and may come from an untrusted source.

        Returns
        -------
        TableEncoder

        Raises
        ------
        ModelFileError
            If the text is damaged or written by a newer version.
        """
        try:
            record = Record.parse(text, "table encoder")
            if record.whole("format") == _FORMAT:
                return cls._from_record(record)
        except ModelFileError as error:
            raise ModelFileError(f"the table encoder's record is damaged: {error}") from error
        raise ModelFileError(
            f"the table encoder was written in format {record.get('format')}, and this "
            f"version of flowssl reads format {_FORMAT}; install a newer version."
        )

    @classmethod
    def _from_record(cls, record: Record) -> Self:
        record.text("row_kind", (cls.row_kind,))
        container = cast(Container, record.text("container", get_args(Container)))
        codecs = codecs_from_records(record.items("columns"), container)
        encoder = cls(record.whole("max_categories", least=2))._fitted_to(container, codecs)
        encoder.n_features_in_ = len(codecs)
        names = [codec.name for codec in codecs]
        if container != "array" and all(isinstance(name, str) for name in names):
            encoder.feature_names_in_ = np.array(names, dtype=object)
        return encoder

    def _fit(self, X: TableLike) -> Table:
        limit: object = self.max_categories  # whatever a caller has set
        if not isinstance(limit, int | np.integer) or limit < 2:
            raise ValueError(
                f"max_categories must be an integer of at least 2, got {self.max_categories!r}."
            )
        table = as_table(X, self)
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
        check_size(codecs)
        self._fitted_to(table.container, codecs)
        return table

    def _fitted_to(self, container: Container, codecs: list[Codec]) -> Self:
        """Set the fitted attributes."""
        self.container_ = container
        self.codecs_ = codecs
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
        return self

    def _input_names(
        self, given: Sequence[str] | NDArray[np.generic] | None
    ) -> Sequence[str] | NDArray[np.generic]:
        """Return the names of the table's columns, those given after a check."""
        of_fit: NDArray[np.generic] | None = getattr(self, "feature_names_in_", None)
        if given is None:
            return of_fit if of_fit is not None else [f"x{i}" for i in range(self.n_features_in_)]
        if of_fit is not None and not np.array_equal(of_fit, np.asarray(given, dtype=object)):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(given) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(given)}"
            )
        return given

    def _encode(self, table: Table) -> Floats:
        kept = list(self._slices)
        if table.matrix is not None and all(
            self.codecs_[position].type.kind == "numeric" for position in kept
        ):
            if len(kept) == len(self.codecs_):
                return table.matrix
            return np.take(table.matrix, kept, axis=1)
        transposed = np.empty((len(self.output_columns_), table.n_rows))
        for position, columns in self._slices.items():
            transposed[columns] = self.codecs_[position].encode(table.columns[position])
        return np.ascontiguousarray(transposed.T)
