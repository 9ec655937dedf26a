import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flowssl.cli.columns import doubts_about
from flowssl.cli.labels import labels, mark_unlabeled, typed_marker
from flowssl.exceptions import DataError


def test_labels_of_every_type() -> None:
    table = pa.table(
        {
            "int": [1, -1],
            "gaps": [1, None],
            "float": [1.0, None],
            "nan": [1.0, float("nan")],
            "text": ["a", None],
            "bool": [True, None],
            "category": pa.array(["a", None]).dictionary_encode(),
            "empty": pa.nulls(2),
        }
    )
    assert labels(table, "int").dtype == np.int64
    assert labels(table, "int").tolist() == [1, -1]
    for name, first in (("gaps", 1), ("float", 1), ("nan", 1), ("text", "a"), ("category", "a")):
        assert labels(table, name).tolist() == [first, None]
        assert type(labels(table, name)[0]) is type(first)
    assert labels(table, "bool").tolist() == [True, None]
    assert labels(table, "empty").tolist() == [None, None]


@pytest.mark.parametrize("column", [[0.5, 1.0], [[1], [2]], pd.to_datetime(["2020", "2021"])])
def test_what_is_no_label(column: object) -> None:
    with pytest.raises(DataError, match="'y' holds"):
        labels(pa.table({"y": pa.array(column)}), "y")


def test_markers_get_the_type_of_the_labels() -> None:
    assert typed_marker("auto", np.array([1, 2])) == "auto"
    assert typed_marker("none", np.array(["a"])) is None
    assert typed_marker("none", np.array(["none"])) == "none"
    assert typed_marker("9", np.array([1, 9])) == 9
    assert typed_marker("9", np.array([None, "9"], dtype=object)) == "9"
    assert typed_marker("False", np.array([True, False])) is False
    y = np.array(["a", None, "?"], dtype=object)
    assert mark_unlabeled(y, "?").tolist() == ["a", "?", "?"]
    assert mark_unlabeled(y, "auto").tolist() == ["a", None, "?"]
    assert mark_unlabeled(y, None).tolist() == ["a", None, "?"]


def test_doubtful_columns_are_named() -> None:
    n = 100
    table = pa.table(
        {
            "number": np.arange(n) // 2,
            "color": ["red", "blue"] * (n // 2),
            "code": [str(i % 9) for i in range(n)],
            "age": [*map(str, range(n - 1)), "unknown"],
            "name": [f"person {i}" for i in range(n)],
            "Unnamed": np.arange(1, n + 1),
        }
    )
    doubts = doubts_about(table)
    assert len(doubts) == 3
    assert "'age'" in doubts[0]
    assert "'unknown' is not a number" in doubts[0]
    assert "--drop name" in doubts[1]
    assert doubts[2] == "column 'Unnamed' counts the rows; leave it out with --drop Unnamed"
    assert doubts_about(table.slice(0, 5)) == []


@pytest.mark.parametrize("number", [1e20, -(2.0**53), float("inf")])
def test_labels_of_which_digits_are_lost_are_refused(number: float) -> None:
    with pytest.raises(DataError, match=r"'y' holds .*save the labels as whole numbers or text"):
        labels(pa.table({"y": [1.0, number]}), "y")
