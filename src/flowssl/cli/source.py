"""What commands ask of a kind of rows: how it is read, named and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from flowssl.cli.labels import marked_for_fit, marked_for_model
from flowssl.cli.options import chosen_options
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier
    from flowssl.preprocessing.containers import TableLike

    Inputs: TypeAlias = pa.Table | npt.NDArray[np.uint8]
    Labels: TypeAlias = npt.NDArray[np.generic]


LABEL = "label"
"""The column of labels where a kind of rows has a default."""


@dataclass(frozen=True)
class Rows:
    """Rows as an estimator takes them.

    Attributes
    ----------
    X : pyarrow.Table of n rows, or ndarray of n images
        What the estimator takes.
    columns : pyarrow.Table of n rows
        From which ``--id`` copies a column.
    names : list of str or None
        Names of the rows, if their kind has any.
    """

    X: Inputs
    columns: pa.Table
    names: list[str] | None = None


@dataclass(frozen=True)
class LabeledRows(Rows):
    """Rows with their labels.

    Attributes
    ----------
    y : ndarray of shape (n,)
        The labels, of the types that `labels.labels` returns.
    parameters : dict
        For ``fit``: parameters of the estimator that follow from the data.
    """

    y: Labels = field(kw_only=True)
    parameters: dict[str, object] = field(default_factory=dict)


class Source(ABC):
    """A kind of rows, for one run of a command.

    Parameters
    ----------
    arguments : Namespace
        The parsed command line.
    console : Console
        Where to write remarks about the data.

    Attributes
    ----------
    noun : str
        What the rows are called, in the plural.
    data : str
        What DATA may be, as a noun phrase.
    parameter : str or None
        The group of the estimator's parameters that belongs to this kind alone, if there is one.
    id_column : str or None
        The column that predictions begin with where ``--id`` does not name one.
    """

    noun: ClassVar[str]
    data: ClassVar[str]
    parameter: ClassVar[str | None] = None
    id_column: str | None = None

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self.arguments = arguments
        self.console = console

    @classmethod
    @abstractmethod
    def add_options(cls, parser: argparse.ArgumentParser, *, fitting: bool) -> None:
        """Add the options with which commands read this kind; ``fitting`` for those of ``fit``."""

    @classmethod
    @abstractmethod
    def holds(cls, path: str) -> bool:
        """Return whether there may be rows of this kind at a path."""

    @classmethod
    @abstractmethod
    def form(cls, record: Mapping[str, object]) -> tuple[str, str]:
        """Return a name and a value that say what a row consists of.

        Parameters
        ----------
        record : mapping
            A fitted encoder, as its ``to_json`` describes it.
        """

    @property
    @abstractmethod
    def target(self) -> str:
        """The column of the labels.

        Raises
        ------
        DataError
            If it has no default and none is named.
        """

    @property
    @abstractmethod
    def example(self) -> str:
        """A name of new data, for an example of a command."""

    def read_training(self) -> LabeledRows:
        """Read the rows and labels of ``fit``.

        Unlabeled rows carry the marker that ``--unlabeled-value`` names, in the labels' own type;
        the ``parameters`` of the result hold it, if it is not "auto".

        Raises
        ------
        DataError
            If no row is labeled, or the data cannot be read.
        """
        rows = self._read_training()
        chosen = chosen_options(self.arguments).get("unlabeled_value", "auto")
        labels = marked_for_fit(rows.y, str(chosen), self.target)
        for remark in labels.remarks:
            self.console.remark(f"note: {remark}")
        self._require_labels(labels.y, labels.marker, self.arguments.data)
        found: dict[str, object] = {}
        if labels.marker != "auto":
            found["unlabeled_value"] = labels.marker
        return replace(rows, y=labels.y, parameters={**rows.parameters, **found})

    def read(self, estimator: Classifier, path: str) -> Rows:
        """Read rows that a fitted model can take.

        Raises
        ------
        DataError
            If there are none of its kind, or they do not fit the model.
        """
        self._check(path)
        return self._read(estimator, path)

    def read_labeled(
        self, estimator: Classifier, path: str, label_table: str | None, option: str = "--labels"
    ) -> LabeledRows:
        """Read such rows with labels; unlabeled ones carry the model's ``unlabeled_value``.

        Parameters
        ----------
        estimator : Classifier
            A fitted model.
        path : str
            The data.
        label_table : str or None
            A table of labels, for kinds of rows whose labels are not with the data.
        option : str
            The option that names it, for messages.

        Raises
        ------
        DataError
            As in `read`, or if no row is labeled.
        """
        self._check(path)
        rows = self._read_labeled(estimator, path, label_table, option)
        y = marked_for_model(rows.y, estimator.classes_.tolist(), estimator.unlabeled_value)
        self._require_labels(y, estimator.unlabeled_value, path)
        return replace(rows, y=y)

    @abstractmethod
    def check_sample_output(self, path: str | None) -> None:
        """Raise `DataError` if `write_samples` cannot write there; None is standard output."""

    @abstractmethod
    def write_samples(
        self, estimator: Classifier, X: TableLike, y: Labels, path: str | None
    ) -> None:
        """Write sampled rows and their classes."""

    @abstractmethod
    def _read_training(self) -> LabeledRows:
        """Read the rows of ``fit``, with labels as they are in the file."""

    @abstractmethod
    def _read(self, estimator: Classifier, path: str) -> Rows:
        """Read rows for a fitted model."""

    @abstractmethod
    def _read_labeled(
        self, estimator: Classifier, path: str, label_table: str | None, option: str
    ) -> LabeledRows:
        """Read rows for a fitted model, with labels as they are in the file."""

    def _check(self, path: str) -> None:
        """Raise `DataError` if there can be no rows of this kind at a path."""
        if not self.holds(path):
            raise DataError(f"{path} is not {self.data}, which {self.arguments.model} needs.")

    def _require_labels(self, y: Labels, marker: object, path: str) -> None:
        """Raise `DataError` unless some row is labeled."""
        from flowssl._labels import is_unlabeled

        if is_unlabeled(y, marker).all():
            raise DataError(
                f"{path}: column {self.target!r} has no labeled row; label at least one "
                "row, or name another column with --target."
            )
