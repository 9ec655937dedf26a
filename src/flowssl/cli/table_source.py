"""Tables as the source of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flowssl._image_files import holds_images
from flowssl.cli.columns import (
    choose_features,
    doubts_about,
    matching_features,
    notes_on,
    require_column,
    split_names,
)
from flowssl.cli.console import shortened
from flowssl.cli.labels import labels
from flowssl.cli.outputs import check_results, write_results
from flowssl.cli.source import LABEL, LabeledRows, Rows, Source
from flowssl.exceptions import DataError
from flowssl.tables import is_parquet, read_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from flowssl.cli.source import Labels
    from flowssl.estimators import Classifier
    from flowssl.preprocessing import TableEncoder
    from flowssl.preprocessing.containers import TableLike


class TableSource(Source):
    """Rows of a table; their labels are one of its columns."""

    # How files of text are read: columns that stay text, and the columns of a model.
    _as_text: Sequence[str] = ()
    _schema: pa.Schema | None = None

    noun = "rows"
    data = "a table (CSV, TSV, Parquet, Feather, Arrow, NPZ or NPY)"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser, *, fitting: bool) -> None:
        """Add ``--features`` and, for ``fit``, ``--drop``."""
        text = "columns in the model's order; only for a model fitted without column names"
        if fitting:
            text = (
                "columns to learn from (default: all but the target); a name with a comma may be "
                "in double quotes"
            )
        parser.add_argument("--features", metavar="A,B,...", help=text)
        if fitting:
            parser.add_argument(
                "--drop",
                metavar="A,B,...",
                help="columns to leave out, written like those of --features",
            )

    @classmethod
    def holds(cls, path: str) -> bool:
        """Return whether a path is neither a folder nor a zip file."""
        return not holds_images(path)

    @classmethod
    def form(cls, record: Mapping[str, object]) -> tuple[str, str]:
        """Count and name the columns."""
        names = [
            str(column["name"]) for column in cast("list[dict[str, object]]", record["columns"])
        ]
        return "columns", f"{len(names):,}: {shortened(names)}"

    @property
    def target(self) -> str:
        """The column that ``--target`` names."""
        if self.arguments.target is None:
            raise DataError("a table needs --target COLUMN, the column of labels.")
        return str(self.arguments.target)

    @property
    def example(self) -> str:
        """A file like that of ``fit``."""
        return f"NEW{'.parquet' if self.arguments.data.endswith('.parquet') else '.csv'}"

    def read_table(self, path: str) -> pa.Table:
        """Read the table at a path; subclasses override it for further formats.

        Parameters
        ----------
        path : str
            The data, or test data, that a command names.

        Returns
        -------
        pyarrow.Table
            All columns of the file, the target included if there is one.

        Raises
        ------
        DataError
            If the file cannot be read as a table.
        """
        return read_table(path, as_text=self._as_text, schema=self._schema)

    def _read_training(self) -> LabeledRows:
        """Read a table; remark on columns of text that may not be categories."""
        self._as_text = [self.target]
        table = self._read_with_target(self.arguments.data, self.arguments.labels, "--labels")
        names = table.column_names
        features = split_names(self.arguments.features, names)
        drop = split_names(self.arguments.drop, names)
        X = choose_features(table, self.target, features, drop)
        for note in (*notes_on(X), *doubts_about(X)):
            self.console.remark(f"note: {note}")
        return LabeledRows(X, table, y=labels(table, self.target))

    def _read(self, estimator: Classifier, path: str) -> Rows:
        """Read the model's columns of a table."""
        self._schema = self._schema_of(estimator, path)
        table = self.read_table(path)
        X = self._inputs(estimator, table)
        ids = split_names(getattr(self.arguments, "id", None), table.column_names)
        if not ids or ids[0] not in X.column_names:
            return Rows(X, table)
        self._as_text, self._schema = ids, None
        return Rows(X, self.read_table(path))

    def _read_labeled(
        self, estimator: Classifier, path: str, label_table: str | None, option: str
    ) -> LabeledRows:
        """Read the model's columns of a table and its labels."""
        self._schema = self._schema_of(estimator, path)
        table = self._read_with_target(path, label_table, option)
        X = self._inputs(estimator, table.drop_columns([self.target]))
        return LabeledRows(X, table, y=labels(table, self.target))

    def _schema_of(self, estimator: Classifier, path: str) -> pa.Schema | None:
        """Return the columns that the model was fitted on; None if the file has not as many."""
        names: list[str] | None = getattr(estimator, "feature_names_in_", None)
        if names is None:  # then their places say which they are
            self._as_text, self._schema = (), None
            columns = self.read_table(path).column_names
            target = getattr(self.arguments, "target", None)
            names = split_names(self.arguments.features, columns)
            names = names or [name for name in columns if name != target]
        if len(names) != estimator.n_features_in_:
            return None
        return self._file_schema(estimator, [str(name) for name in names])

    def _file_schema(self, estimator: Classifier, names: list[str]) -> pa.Schema:
        """Describe columns of these names to the reader of files, as the model was fitted on them."""
        from flowssl.preprocessing.file_schema import file_schema

        return file_schema(cast("TableEncoder", estimator.encoder_), names)

    def check_sample_output(self, path: str | None) -> None:
        """Raise `DataError` if no table can be written there."""
        check_results(self.arguments, {"MODEL": self.arguments.model})

    def write_samples(
        self, estimator: Classifier, X: TableLike, y: Labels, path: str | None
    ) -> None:
        """Write a table of the samples with their classes as its last column."""
        import narwhals as nw
        import numpy as np
        import pyarrow as pa

        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if isinstance(frame, nw.DataFrame):
            table = frame.to_arrow()
            if path is None or not is_parquet(path):
                table = _as_in_fit(estimator, table)
        else:
            matrix = np.asarray(X)
            names = getattr(estimator, "feature_names_in_", None)
            if names is None:
                names = [f"x{place}" for place in range(matrix.shape[1])]
            columns = [pa.array(column.tolist()) for column in matrix.T]
            table = pa.table(columns, names=list(names))
        heading = LABEL
        while heading in table.column_names:
            heading += "_"
        table = table.append_column(heading, pa.array(y))
        write_results(table, path, self.console, safe_csv=self.arguments.safe_csv)

    def _read_with_target(self, path: str, label_table: str | None, option: str) -> pa.Table:
        if label_table is not None:
            raise DataError(
                f"{option} is for images; the labels of a table are in --target COLUMN."
            )
        target = self.target
        table = self.read_table(path)
        require_column(table, target, "--target")
        return table

    def _inputs(self, estimator: Classifier, table: pa.Table) -> pa.Table:
        """Select the model's columns."""
        names = getattr(estimator, "feature_names_in_", None)
        X = matching_features(
            table,
            None if names is None else [str(name) for name in names],
            estimator.n_features_in_,
            split_names(self.arguments.features, table.column_names),
        )
        for note in notes_on(X):
            self.console.remark(f"note: {note}")
        return X


def _as_in_fit(estimator: Classifier, table: pa.Table) -> pa.Table:
    """Write numbers as the file of fit had them, so that commands on the model can read them."""
    from flowssl._notation import Notation, written

    encoder = estimator.encoder_
    of_table = encoder.table_ if encoder.row_kind == "text" else encoder
    for codec in [] if of_table is None else cast("TableEncoder", of_table).codecs_:
        if codec.type.notation is not None:
            place = table.column_names.index(str(codec.name))
            cells = written(table.column(place), Notation.from_text(codec.type.notation))
            table = table.set_column(place, table.column_names[place], cells)
    return table
