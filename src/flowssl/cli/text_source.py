"""Tables with columns of texts as the source of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flowssl._arrow import is_text
from flowssl._field_facts import CELLS, fact
from flowssl._missing_marks import MARKS
from flowssl.cli.columns import (
    choose_features,
    doubts_about,
    notes_on,
    require_column,
    split_names,
)
from flowssl.cli.console import option, shortened
from flowssl.cli.labels import labels
from flowssl.cli.source import LabeledRows, Rows
from flowssl.cli.table_source import TableSource
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier
    from flowssl.preprocessing import TextTableEncoder


class TextSource(TableSource):
    """Rows of a table of which some columns are texts, each embedded as one vector.

    The other columns are used as those of any table, as ``--features`` and ``--drop`` say.
    Predictions begin with the first column of texts, unless ``--id`` names another.
    """

    noun = "texts"
    parameter = "text"

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        super().__init__(arguments, console)
        self._texts: list[str] = []

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser, *, fitting: bool) -> None:
        """Add ``--text`` to ``fit``; the other options are those of tables."""
        if fitting:
            parser.add_argument(
                "--text",
                metavar="A,B,...",
                help="columns of texts to read, with a vector for each text (needs "
                "pip install 'flowssl[text]')",
            )

    @classmethod
    def form(cls, record: Mapping[str, object]) -> tuple[str, str]:
        """Name the columns of texts, and then the others."""
        texts = [str(name) for name in cast("list[object]", record["columns"])]
        names = [str(name) for name in cast("list[object] | None", record["names"]) or ()]
        others = [name for name in names if name not in texts]
        beside = (
            f", beside {len(others):,} other{'s' if len(others) > 1 else ''}: {shortened(others)}"
            if others
            else ""
        )
        return "columns of texts", f"{shortened(texts)}{beside}"

    def read_table(self, path: str) -> pa.Table:
        """Read the table at a path, its columns of texts as text."""
        return self._with_texts(super().read_table(path))

    def _with_texts(self, table: pa.Table) -> pa.Table:
        for name in self._texts:
            if name in table.column_names:
                place = table.column_names.index(name)
                values = _cast_to_text(table.column(name), name)
                field = table.schema.field(name).with_type(values.type)
                table = table.set_column(place, field, values)
        return table

    def _read_training(self) -> LabeledRows:
        """Read a table with the columns of texts that ``--text`` names."""
        self._as_text = [self.target, *(split_names(self.arguments.text, ()) or [])]
        table = self._read_with_target(self.arguments.data, self.arguments.labels, "--labels")
        self._texts = split_names(self.arguments.text, table.column_names) or []
        if not self._texts:
            raise DataError("--text names no column.")
        for name in self._texts:
            require_column(table, name, "--text")
        if self.target in self._texts:
            raise DataError(f"--text: {self.target!r} is the target; it cannot also be a text.")
        if set(self._texts) <= set(self._as_text):
            table = self._with_texts(table)
        else:  # a name with a comma, without quotes
            self._as_text = [self.target, *self._texts]
            table = self.read_table(self.arguments.data)
        X = self._chosen(table)
        others = X.drop_columns(self._texts)
        if self.arguments.features is None:
            keys = [name for name in others.column_names if _is_key(others.column(name))]
            for name in keys:
                self.console.remark(
                    f"note: column {name!r} tells the rows apart and is left out; to read it all "
                    f"the same, add {option('--features', name)}"
                )
            X, others = X.drop_columns(keys), others.drop_columns(keys)
        for note in (*notes_on(others), *doubts_about(others)):
            self.console.remark(f"note: {note}")
        if others.num_columns:
            self.console.remark(
                f"note: beside the texts the model reads {shortened(others.column_names)}; add "
                f"{option('--features', self.arguments.text)} to read the texts alone"
            )
        found: dict[str, object] = {"text": {"columns": self._texts}}
        return LabeledRows(X, table, y=labels(table, self.target), parameters=found)

    def _chosen(self, table: pa.Table) -> pa.Table:
        """Select the columns to learn from, the texts among them."""
        drop = split_names(self.arguments.drop, table.column_names)
        dropped = set(drop or ()) & set(self._texts)
        if dropped:
            raise DataError(f"--drop: {min(dropped)!r} is one of the columns of --text.")
        features = split_names(self.arguments.features, table.column_names)
        if features is not None:
            features += [name for name in self._texts if name not in features]
        return self._without_marks(choose_features(table, self.target, features, drop))

    def _inputs(self, estimator: Classifier, table: pa.Table) -> pa.Table:
        """Select the model's columns."""
        return self._without_marks(super()._inputs(estimator, table))

    def _without_marks(self, X: pa.Table) -> pa.Table:
        """Make texts missing that mark missing values in files of text, such as R's ``NA``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in self._texts:
            field, texts = X.schema.field(name), X.column(name)
            is_mark = pc.is_in(texts, pa.array(MARKS, texts.type))
            if fact(field, CELLS) is None or not pc.any(is_mark).as_py():
                continue
            for mark in pc.value_counts(texts.filter(is_mark)).to_pylist():
                note = f"{mark['values']!r} is read as missing (rows: {mark['counts']:,})"
                self.console.remark(f"note: column {name!r}: {note}")
            values = pc.if_else(is_mark, pa.scalar(None, texts.type), texts)
            X = X.set_column(X.column_names.index(name), field, values)
        return X

    def _read(self, estimator: Classifier, path: str) -> Rows:
        """Read the model's columns of a table."""
        self._prepare(estimator)
        return super()._read(estimator, path)

    def _read_labeled(
        self, estimator: Classifier, path: str, label_table: str | None, option: str
    ) -> LabeledRows:
        """Read the model's columns of a table and its labels."""
        self._prepare(estimator)
        return super()._read_labeled(estimator, path, label_table, option)

    def _file_schema(self, estimator: Classifier, names: list[str]) -> pa.Schema:
        """Describe the columns beside the texts; columns that are not named stay text."""
        import pyarrow as pa

        from flowssl.preprocessing.file_schema import file_schema

        encoder = cast("TextTableEncoder", estimator.encoder_)
        if encoder.table_ is None:
            return pa.schema([])
        texts = encoder.text_columns_  # by name, or by place where fit had no names
        others = [
            name for place, name in enumerate(names) if name not in texts and place not in texts
        ]
        return file_schema(encoder.table_, others)

    def _prepare(self, estimator: Classifier) -> None:
        """Take the names of the model's columns of texts; show how far embedding is."""
        encoder = cast("TextTableEncoder", estimator.encoder_)
        names = _names(encoder)
        self._texts, self.id_column = names, names[0] if names else None
        encoder.texts.set_params(verbose=0 if self.console.quiet else 1)


def _names(encoder: TextTableEncoder) -> list[str]:
    """Return the columns of texts; none of a model that was fitted without names."""
    names: Sequence[str] | None = getattr(encoder, "feature_names_in_", None)
    return [] if names is None else [str(name) for name in encoder.text_columns_]


def _is_key(column: pa.ChunkedArray) -> bool:
    """Return whether a column has a code or a rising number for each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count or pc.count_distinct(column).as_py() < len(column):
        return False
    if pa.types.is_integer(column.type):
        return bool(pc.all(pc.less(column[:-1], column[1:])).as_py())
    return is_text(column.type)


def _cast_to_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return a column as text: a file may have nothing but numbers in it."""
    import pyarrow as pa

    try:
        return column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"--text: column {name!r} holds {column.type}, which is not text."
        ) from error
