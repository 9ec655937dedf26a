"""Labels of every type and container, encoded and decoded."""

import collections
import datetime
import decimal
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import LabelEncoder

from flowssl._labels import codes_of, encode_labels, is_unlabeled
from flowssl.exceptions import FlowSSLWarning
from flowssl.model_selection import labeled_accuracy

FIRST_DAY = datetime.date(1900, 1, 1)
YEARS = [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 1, 1)]
DAYS = [year.date() for year in YEARS]

CONTAINERS = {
    "list": lambda v: v,
    "tuple": tuple,
    "object array": lambda v: np.array([*v, None], dtype=object)[:-1],
    "pandas object": lambda v: pd.Series(v, dtype=object),
    "pandas": pd.Series,
    "pandas category": lambda v: pd.Series(v, dtype="category"),
    "pandas nullable": lambda v: pd.Series(pd.array(v)),
    "pandas array": pd.array,
    "polars": pl.Series,
    "pyarrow": pa.array,
    "pyarrow chunked": lambda v: pa.chunked_array([v[:2], v[2:]]),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "values", [["b", None, "a", "b"], [7, None, 3, 7], [True, None, False, True]]
)
def test_none_marks_an_unlabeled_row_in_every_container(container, values):
    y = CONTAINERS[container](values)
    encoded = encode_labels(y)
    assert encoded.codes.dtype == np.int64
    assert encoded.codes.tolist() == [1, -1, 0, 1]
    assert encoded.classes.tolist() == sorted({v for v in values if v is not None})
    assert is_unlabeled(y).tolist() == [False, True, False, False]


@pytest.mark.parametrize("container", ["list", "polars", "pyarrow", "pandas nullable"])
def test_integers_stay_integers_beside_missing_values(container):
    assert encode_labels(CONTAINERS[container]([2, None, 1])).classes.dtype == np.int64


@pytest.mark.parametrize(
    ("array", "classes"),
    [
        (np.array([1, -1, 0]), np.array([0, 1])),
        (np.array([1, -1, 0], dtype=np.int8), np.array([0, 1], dtype=np.int8)),
        (np.array([1.0, np.nan, 0.0]), np.array([0.0, 1.0])),
        (np.array([1.0, -1.0, 0.0], dtype=np.float32), np.array([0, 1], dtype=np.float32)),
        (np.array(["b", -1, "a"], dtype=object), np.array(["a", "b"], dtype=object)),
        (np.array(["2020-01-02", "NaT"], dtype="M8[D]"), np.array(["2020-01-02"], dtype="M8[D]")),
        (np.array([True, False]), np.array([False, True])),
        (np.array([3, 0], dtype=np.uint8), np.array([0, 3], dtype=np.uint8)),
    ],
)
def test_classes_keep_the_dtype(array, classes):
    found = encode_labels(array).classes
    assert found.dtype == classes.dtype
    np.testing.assert_array_equal(found, classes)


def test_a_list_of_strings_with_nan_does_not_gain_a_class_named_nan():
    encoded = encode_labels(["cat", math.nan, "dog", None, pd.NA, pd.NaT])
    assert encoded.classes.tolist() == ["cat", "dog"]
    assert encoded.classes.dtype.kind == "U"
    assert encoded.codes.tolist() == [0, -1, 1, -1, -1, -1]


def test_nan_in_polars_floats_is_unlabeled():
    assert encode_labels(pl.Series([1.0, math.nan, None, 0.0])).codes.tolist() == [1, -1, -1, 0]


def test_dates_are_labels():
    first, second = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)
    encoded = encode_labels([second, None, first])
    assert encoded.classes.tolist() == [first, second]
    assert encoded.classes.dtype == "M8[D]"
    moments = [datetime.datetime(2020, 1, 1, 12), pd.Timestamp("2019-01-01")]
    assert encode_labels(moments).classes.dtype == "M8[us]"
    assert encode_labels(moments).codes.tolist() == [1, 0]


def test_none_as_marker_makes_minus_one_a_class():
    encoded = encode_labels(np.array([-1, 1, 1]), unlabeled_value=None)
    assert encoded.classes.tolist() == [-1, 1]
    assert encoded.codes.tolist() == [0, 1, 1]
    assert not is_unlabeled(np.array([-1, 1]), unlabeled_value=None).any()


@pytest.mark.parametrize(
    ("y", "marker"),
    [
        (["?", "a", "b"], "?"),
        (np.array(["?", "a", "b"]), "?"),
        (pd.Series(["?", "a", "b"], dtype="category"), "?"),
        ([0, 1, 2], 0),
        (np.array([9.0, 1.0, 2.0]), 9),
        (np.array([np.nan, -1.0, 2.0]), np.nan),
        ([None, "a", "b"], pd.NA),
        (np.array(["NaT", "2020", "2021"], dtype="M8[D]"), np.datetime64("NaT")),
    ],
)
def test_another_marker(y, marker):
    assert encode_labels(y, unlabeled_value=marker).codes.tolist() == [-1, 0, 1]
    assert is_unlabeled(y, unlabeled_value=marker).tolist() == [True, False, False]


def test_a_marker_of_another_type_marks_nothing():
    assert encode_labels([0, 1], unlabeled_value="?").codes.tolist() == [0, 1]


@pytest.mark.parametrize("marker", [None, "?", 0])
def test_missing_values_that_do_not_mark_are_an_error(marker):
    with pytest.raises(ValueError, match=r"Input y contains NaN.*in 1 of 3 rows"):
        encode_labels(["a", None, "b"], unlabeled_value=marker)


@pytest.mark.parametrize(
    ("y", "marker", "message"),
    [
        ([-1, -1], "auto", r"no labeled row: all 2 rows.*-1.*NaN.*None.*unlabeled_value=None"),
        ([None, None], "auto", "no labeled row"),
        (np.full(3, np.nan), "auto", "no labeled row"),
        (["?", "?"], "?", r"unlabeled_value='\?' marks"),
        ([], "auto", "y is empty"),
        (None, "auto", "requires y to be passed, but the target y is None"),
        ([1, "a"], "auto", r"sorted together.*\['int', 'str'\]"),
        (np.array([{1}, {2}], dtype=object), "auto", "hashed"),
        ([0.5, 1.2, None], "auto", "Unknown label type: continuous"),
        (np.array([0.5, np.nan]), "auto", "Unknown label type: continuous"),
        (np.array([1.0, np.inf]), "auto", r"Input y contains infinity"),
        (np.array([1j, 2]), "auto", "Complex data not supported"),
        (np.zeros((4, 2)), "auto", r"y should be a 1d array, got an array of shape \(4, 2\)"),
        (pd.DataFrame({"a": [1, 0], "b": [0, 1]}), "auto", "y should be a 1d array"),
        (1, "auto", "1d array"),
    ],
)
def test_errors_say_what_is_wrong(y, marker, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y, unlabeled_value=marker)


def test_sparse_labels_are_refused():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        encode_labels(scipy.sparse.csr_array([[0, 1]]))


@pytest.mark.parametrize("column", [np.array([[0], [1]]), pd.DataFrame({"y": [0, 1]})])
def test_a_column_vector_is_taken_with_a_warning(column):
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert encode_labels(column).codes.tolist() == [0, 1]


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        st.lists(st.text(max_size=3), min_size=1),
        st.lists(st.integers(0, 5), min_size=1),
        st.lists(st.booleans(), min_size=1),
    )
)
def test_labels_agree_with_label_encoder_and_decode_to_themselves(values):
    encoded = encode_labels(values, unlabeled_value=None)
    reference = LabelEncoder().fit(np.array(values, dtype=object if "" in values else None))
    assert encoded.classes.tolist() == reference.classes_.tolist()
    assert encoded.decode(encoded.codes).tolist() == values


@pytest.mark.parametrize("codes", [[-1, 0], [0, 2]])
def test_decode_refuses_codes_without_a_class(codes):
    with pytest.raises(ValueError, match="between 0 and 1"):
        encode_labels(["a", "b"]).decode(np.array(codes))


def test_decode_keeps_the_shape():
    decoded = encode_labels(["a", "b"]).decode(np.array([[1, 0], [0, 0]]))
    assert decoded.tolist() == [["b", "a"], ["a", "a"]]


def test_the_input_is_not_changed():
    y = pd.Series([1.0, np.nan, 0.0])
    before = y.copy()
    encode_labels(y)
    is_unlabeled(y)
    pd.testing.assert_series_equal(y, before)


MASKED_LABELS = {
    "integers": (np.array([2, 9, 1]), np.dtype(np.int64)),
    "text": (np.array(["b", "z", "a"]), np.dtype("<U1")),
    "floats": (np.array([2.0, 9.0, 1.0]), np.dtype(np.float64)),
    "dates": (np.array(["2021", "2030", "2020"], dtype="M8[Y]"), np.dtype("M8[Y]")),
}


@pytest.mark.parametrize("name", MASKED_LABELS)
def test_masked_labels_are_unlabeled(name):
    values, dtype = MASKED_LABELS[name]
    y = np.ma.array(values, mask=[False, True, False])
    encoded = encode_labels(y)
    assert encoded.codes.tolist() == [1, -1, 0]
    assert encoded.classes.dtype == dtype
    assert encode_labels(list(y)).codes.tolist() == [1, -1, 0]
    assert is_unlabeled(y).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("y", "n_marked"),
    [
        (np.array(["a", np.nan]), 1),
        (["a", ""], 1),
        (["a", " "], 1),
        (["a", "-1"], 1),
        (pd.Series(["a", "<NA>"]), 1),
        (pl.Series(["a", "N/A"]), 1),
        (pa.array(["a", "None"]), 1),
        (np.array(["a", "?", -1], dtype=object), 1),
        (pd.Categorical(["a", "NULL", "nan", None]), 2),
        (np.array(["a", "NaN"]).astype(np.dtypes.StringDType()), 1),
    ],
)
def test_texts_that_mark_missing_labels_are_unlabeled_with_a_note(y, n_marked):
    with pytest.warns(FlowSSLWarning, match=f"^{n_marked} of the labels .* count as unlabeled"):
        encoded = encode_labels(y)
    assert encoded.classes.tolist() == ["a"]
    assert encoded.codes.tolist() == [0] + [-1] * (len(y) - 1)
    assert is_unlabeled(y).tolist() == [False] + [True] * (len(y) - 1)


def test_the_code_of_a_country_is_a_class():
    assert encode_labels(["NA", "DE", "FR"]).classes.tolist() == ["DE", "FR", "NA"]
    assert encode_labels(["NA", "x", None], known={"NA", "x"}).classes.tolist() == ["NA", "x"]
    assert not is_unlabeled(["NA", "x"], known={"NA", "x"}).any()


def test_with_a_marker_of_its_own_every_text_is_a_class():
    encoded = encode_labels(["?", "", "-1", "nan"], unlabeled_value="?")
    assert encoded.classes.tolist() == ["", "-1", "nan"]
    assert encode_labels(["", "a"], unlabeled_value=None).classes.tolist() == ["", "a"]


@pytest.mark.parametrize(
    ("y", "marker"),
    [
        (["?", "a", "NA"], ["?", "NA"]),
        (np.array(["?", "a", "NA"]), ("?", "NA")),
        (pd.Series(["?", "a", "NA"]), {"?", "NA"}),
        (pl.Series(["?", "a", None]), ["?", None]),
        (["?", "a", math.nan], np.array(["?", None], dtype=object)),
        (np.array([9, 1, 8]), [9, 8]),
        (pa.array([9, 1, 8]), pd.Series([9, 8])),
        ([datetime.date(1900, 1, 1), datetime.date(2020, 1, 1), None], [FIRST_DAY, None]),
        (np.array(["1900-01-01", "2020-01-01", "NaT"], "M8[ns]"), [FIRST_DAY, np.nan]),
    ],
)
def test_several_markers(y, marker):
    assert encode_labels(y, unlabeled_value=marker).codes.tolist() == [-1, 0, -1]
    assert is_unlabeled(y, unlabeled_value=marker).tolist() == [True, False, True]


def test_a_date_marks_an_unlabeled_row():
    days = [FIRST_DAY, datetime.date(2020, 1, 1)]
    assert encode_labels(days, unlabeled_value=FIRST_DAY).codes.tolist() == [-1, 0]


@pytest.mark.parametrize("marker", [object(), b"x", ["a", (1, 2)]])
def test_a_marker_that_is_no_label_is_refused(marker):
    with pytest.raises(ValueError, match="labels"):
        encode_labels(["a", "b"], unlabeled_value=marker)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([np.str_("b"), "a"], ["a", "b"]),
        ([True, math.nan, False], [False, True]),
        (pd.Categorical([2, None, 1]), [1, 2]),
        (pd.Series(pd.Categorical(["b", "a"], categories=["c", "b", "a"])), ["a", "b"]),
        (pd.Index(["b", None, "a"]), ["a", "b"]),
        ([decimal.Decimal("2"), None, decimal.Decimal("1.0")], [1, 2]),
        (pa.array([decimal.Decimal("2"), decimal.Decimal("-1"), decimal.Decimal("1")]), [1, 2]),
        (pl.Series([decimal.Decimal("2"), decimal.Decimal("1")]), [1, 2]),
        (pa.chunked_array([pa.array(["b", "a"], pa.string_view())]), ["a", "b"]),
        (pa.array(["b", None, "a"]).dictionary_encode(), ["a", "b"]),
        (pd.Series(pd.arrays.SparseArray([1, 0, -1])), [0, 1]),
        (collections.deque(["b", None, "a"]), ["a", "b"]),
        (range(3), [0, 1, 2]),
        (pd.DatetimeIndex(["2021", None, "2020"]).astype("M8[s]"), YEARS),
        (pd.Series([datetime.date(2021, 1, 1), None, YEARS[0].date()], dtype=object), DAYS),
    ],
)
def test_labels_of_every_container(y, classes):
    assert encode_labels(y).classes.tolist() == classes


REFUSED_LABELS = {
    "bytes": (np.array([b"a", b"b"]), "bytes as labels; convert them to text"),
    "byte objects": ([b"a", b"b"], r"got the types \['bytes'\]"),
    "decimals": ([decimal.Decimal("1.5"), 1], r"decimal.Decimal numbers with a fraction.*str\("),
    "periods": (pd.Series(pd.period_range("2020", "2021", freq="Y")), "'Period'.*str"),
    "intervals": (pd.cut([1, 5, 9], [0, 4, 10]), "'Interval'.*str"),
    "times of day": (pl.Series([datetime.time(1), datetime.time(2)]), "'time'.*str"),
    "zones": (pd.Series(pd.date_range("2020", periods=2, tz="UTC")), "time zone"),
    "zone objects": ([datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)], "time zone"),
    "records": (np.array([(1, 2)], dtype="i4,i4"), "records as labels"),
    "large integers": ([2**70, 1], "more than 64 bits"),
    "one-hot": (np.eye(3), r"shape \(3, 3\) instead.*one-hot.*y.argmax\(axis=1\)"),
    "one-hot frame": (pd.DataFrame(np.eye(2)), "one-hot"),
    "ragged": ([[1], [1, 2]], "rows of different lengths"),
    "mapping": ({0: "a", 1: "b"}, "got a dict; pass a list with one label for each row"),
    "set": ({"a", "b"}, "got a set; pass a list"),
    "values": ({0: "a"}.values(), "got a dict_values; pass a list"),
    "generator": ((label for label in "ab"), "got a generator; pass a list"),
    "text": ("ab", "1d array"),
}


@pytest.mark.parametrize("name", REFUSED_LABELS)
def test_labels_that_cannot_be_are_refused_with_the_way_out(name):
    y, message = REFUSED_LABELS[name]
    with pytest.raises(ValueError, match=message):
        encode_labels(y)


def test_codes_of_labels_of_dates():
    classes = encode_labels(DAYS).classes
    assert codes_of(DAYS[::-1], classes, 1).tolist() == [1, 0]
    assert codes_of(DAYS[1], classes, 2).tolist() == [1, 1]
    assert codes_of(np.array(DAYS, dtype="M8[ns]"), classes, 1).tolist() == [0, 1]
    with pytest.raises(ValueError, match="is not one of the classes"):
        codes_of(FIRST_DAY, classes, 1)


def test_classes_of_some_rows():
    encoded = encode_labels(["a", "b", None, "c", "b"]).with_classes_of(np.array([1, 2, 3]))
    assert encoded.classes.tolist() == ["b", "c"]
    assert encoded.codes.tolist() == [-1, 0, -1, 1, 0]
    with pytest.raises(ValueError, match="no labeled row of a weight other than 0"):
        encode_labels(["a", None]).with_classes_of(np.array([1]))


@pytest.mark.parametrize(
    ("y", "predicted"),
    [(["0", "1"], np.array([0, 1])), ([0, 1], np.array(["0", "1"])), (DAYS, np.array(["a", "b"]))],
)
def test_labels_of_another_type_are_no_wrong_predictions(y, predicted):
    with pytest.raises(ValueError, match="are of different types; give labels of the type of fit"):
        labeled_accuracy(y, predicted)


def test_accuracy_compares_equal_labels_of_any_type():
    assert labeled_accuracy([1, 0, None], np.array([1.0, 1.0, 0.0])) == 0.5
    assert labeled_accuracy(DAYS, np.array(DAYS[::-1], dtype="M8[us]")) == 0
    assert labeled_accuracy(DAYS, np.array(DAYS, dtype="M8[us]")) == 1
