"""Columns of every type and container: read rightly, or refused by their name."""

import datetime
import decimal
import json
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from flowssl.exceptions import DataError, FlowSSLWarning
from flowssl.preprocessing import ImageEncoder, TableEncoder
from flowssl.preprocessing.containers import take_rows
from flowssl.preprocessing.levels import text_of

NAN = np.nan
FIRST, SECOND = datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)
DAYS = [1577836800.0, 1577923200.0, NAN]
WORDS = [0.0, 1.0, NAN]
"""Codes of the column "a", "b", missing."""


def encoded(column):
    """The encoded column of a table of one, in the row's order."""
    return TableEncoder().fit_transform(column)[:, 0].tolist()


def arrow_views():
    words = pa.array(["a", "b"], pa.string_view())
    return pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), words)


def decimals(type_):
    return pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.5"), None], type_)


ARROW = {
    "string_view": (pa.array(["a", "b", None], pa.string_view()), WORDS),
    "large_string": (pa.array(["a", "b", None], pa.large_string()), WORDS),
    "dictionary": (pa.array(["a", "b", None]).dictionary_encode(), WORDS),
    "dictionary of views": (arrow_views(), WORDS),
    "dictionary of integers": (pa.array([1, 2, None]).dictionary_encode(), WORDS),
    "dictionary of dates": (pa.array([FIRST, SECOND, None]).dictionary_encode(), WORDS),
    "run-end encoded": (
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), ["a", "b", None]),
        WORDS,
    ),
    "bool": (pa.array([True, False, None]), WORDS),
    "decimal128": (decimals(pa.decimal128(5, 2)), [1.5, 2.5, NAN]),
    "decimal256": (decimals(pa.decimal256(50, 2)), [1.5, 2.5, NAN]),
    "half": (pa.array([np.float16(1), None, np.float16(3)], pa.float16()), [1, NAN, 3]),
    "uint64": (pa.array([2**64 - 1, 2, None], pa.uint64()), [2.0**64, 2, NAN]),
    "int64": (pa.array([2**62 + 1, 2, None]), [2.0**62, 2, NAN]),
    "date32": (pa.array([FIRST, SECOND, None], pa.date32()), DAYS),
    "date64": (pa.array([FIRST, SECOND, None], pa.date64()), DAYS),
    "duration": (pa.array([1, 2, None], pa.duration("s")), [1, 2, NAN]),
    "timestamp": (pa.array([1, 2, None], pa.timestamp("s", "Europe/Berlin")), [1, 2, NAN]),
}
REFUSED_ARROW = {
    "binary": pa.array([b"a", b"b"]),
    "large binary": pa.array([b"a", b"b"], pa.large_binary()),
    "binary view": pa.array([b"a", b"b"], pa.binary_view()),
    "fixed binary": pa.array([b"aa", b"bb"], pa.binary(2)),
    "dictionary of binary": pa.array([b"a", b"b"]).dictionary_encode(),
    "time of day": pa.array([datetime.time(1), datetime.time(2)]),
    "interval": pa.array([(1, 2, 3), (1, 2, 4)], pa.month_day_nano_interval()),
    "list": pa.array([[1], [2]]),
    "list view": pa.array([[1], [2]], pa.list_view(pa.int64())),
    "fixed list": pa.array([[1], [2]], pa.list_(pa.int64(), 1)),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], [("a", 2)]], pa.map_(pa.string(), pa.int64())),
    "union": pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    ),
    "extension": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [1]), pa.array([[1], [2]], pa.list_(pa.int32(), 1))
    ),
}
if hasattr(pa, "uuid"):
    REFUSED_ARROW["uuid"] = pa.array([uuid.UUID(int=n).bytes for n in (1, 2)], pa.uuid())
    ARROW["json"] = (
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", "[1]", None])),
        WORDS,
    )
    ARROW["bool8"] = (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None], pa.int8())),
        WORDS,
    )


def as_pandas(array):
    return pd.DataFrame({"c": pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))})


@pytest.mark.parametrize("of", [lambda a: pa.table({"c": a}), as_pandas], ids=["arrow", "pandas"])
@pytest.mark.parametrize("name", ARROW)
def test_arrow_columns_are_read(name, of):
    array, expected = ARROW[name]
    table = of(array)
    encoder = TableEncoder().fit(table)
    np.testing.assert_array_equal(encoder.transform(table)[:, 0], expected)
    assert len(encoder.inverse_transform(encoder.transform(table))) == 3


@pytest.mark.parametrize("of", [lambda a: pa.table({"c": a}), as_pandas], ids=["arrow", "pandas"])
@pytest.mark.parametrize("name", REFUSED_ARROW)
def test_arrow_columns_that_are_no_single_value_are_refused_by_name(name, of):
    with pytest.raises(TypeError, match="column 'c' of X has the Arrow type"):
        TableEncoder().fit(of(REFUSED_ARROW[name]))


@pytest.mark.parametrize("name", ["string_view", "dictionary of views", "half", "decimal256"])
def test_rows_of_arrow_tables_are_taken(name):
    array, expected = ARROW[name]
    taken = take_rows(pa.table({"c": array}), np.array([1, 0]))
    matrix = TableEncoder().fit(pa.table({"c": array})).transform(taken)
    np.testing.assert_array_equal(matrix[:, 0], [expected[1], expected[0]])


def test_text_of_polars_with_views_is_read():
    frame = pl.DataFrame(
        {"c": ["a", "b", None], "u": pl.Series([2**64 - 1, 1, 2], dtype=pl.UInt64)}
    )
    matrix = TableEncoder().fit_transform(frame.to_arrow(compat_level=pl.CompatLevel.newest()))
    np.testing.assert_array_equal(matrix, TableEncoder().fit_transform(frame))


PANDAS = {
    "Int64": (pd.array([1, 2, None], dtype="Int64"), [1, 2, NAN]),
    "boolean": (pd.array([True, False, None], dtype="boolean"), WORDS),
    "string": (pd.array(["a", "b", None], dtype="string"), WORDS),
    "categories of integers": (pd.Categorical([1, 2, None]), WORDS),
    "categories of dates": (pd.Categorical([FIRST, SECOND, None]), WORDS),
    "period": (pd.PeriodIndex(["2020-01-01", "2020-01-02", "NaT"], freq="D"), DAYS),
    "interval": (pd.arrays.IntervalArray.from_breaks([0, 1, 2]).insert(2, None), WORDS),
    "sparse": (pd.arrays.SparseArray([0.0, 1.0, 5.0]), [0, 1, 5]),
    "sparse bools": (pd.arrays.SparseArray([True, False, True]), [0, 1, 0]),
    "durations": (pd.to_timedelta([1, 2, None], "s"), [1, 2, NAN]),
    "times": (pd.DatetimeIndex([FIRST, SECOND, None]).tz_localize("UTC"), DAYS),
    "half": (np.array([1, 2, 3], np.float16), [1, 2, 3]),
    "decimals": (pd.Series([decimal.Decimal("1.5"), 2, None], dtype=object), [1.5, 2, NAN]),
    "duration objects": (
        pd.Series([datetime.timedelta(seconds=1), datetime.timedelta(0), None], dtype=object),
        [1, 0, NAN],
    ),
    "numbers with pd.NA": (pd.Series([1.5, pd.NA, 2], dtype=object), [1.5, NAN, 2]),
    "a number and its text": (pd.Series([1, "1", "x"], dtype=object), [0, 0, 1]),
    "a bool and its text": (pd.Series(["x", True, "True"], dtype=object), [1, 0, 0]),
    "numbers and bools": (pd.Series([2, True, 0], dtype=object), [2, 1, 0]),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_columns_are_read(name):
    values, expected = PANDAS[name]
    table = pd.DataFrame({"c": values})
    encoder = TableEncoder().fit(table)
    np.testing.assert_array_equal(encoder.transform(table)[:, 0], expected)
    again = TableEncoder.from_json(encoder.to_json())
    assert len(again.inverse_transform(again.transform(table))) == 3


@pytest.mark.parametrize(
    "values",
    [
        [1j, 2],
        [b"a", b"b"],
        [datetime.time(1), datetime.time(2)],
        [[1], [2]],
        [{"a": 1}, {"b": 1}],
        [object(), object()],
        [np.array([1, 2]), np.array([1, 2])],
        [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)] * 2,
    ],
)
def test_objects_that_are_no_single_value_are_refused_by_name(values):
    column = pd.Series(values, dtype=object)
    with pytest.raises(TypeError, match="column 'c' of X"):
        TableEncoder().fit(pd.DataFrame({"c": column, "d": range(2)}))


def test_columns_with_names_of_several_levels_are_read():
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    table = pd.DataFrame([[1.0, 2.0], [3.0, 5.0]], columns=columns)
    np.testing.assert_array_equal(TableEncoder().fit_transform(table), table.to_numpy())


# -- What a value names does not depend on the type of its column.

SAME_LEVEL = {
    "text as integers": (["1", "2", "x"], [1, 2], [0, 1]),
    "text as floats": (["1", "2", "x"], [2.0, NAN], [1, NAN]),
    "text of floats": (["1.0", "2.5", "x"], [1, 2.5], [0, 1]),
    "text as bools": (["true", "false", "maybe"], [False, True], [1, 0]),
    "text of Python's bools": (["True", "False", "maybe"], [False, True], [1, 0]),
    "text as dates": (["2020-01-01", "unknown", "x"], [FIRST], [0]),
    "text as moments": (["2020-01-01", "x"], [datetime.datetime(2020, 1, 1)], [0]),
    "text as numpy's text": (["a", "b"], [np.str_("b")], [1]),
    "text with blanks": (["a", "b"], [" b "], [1]),
    "bools as text": ([True, False], ["False", "true"], [1, 0]),
    "bools as integers": ([True, False], [0, 1], [1, 0]),
    "bools as text of integers": ([True, False], ["0", "1"], [1, 0]),
    "codes of bools": (["1", "0"], [False, True], [1, 0]),
    "objects as text": ([1, "x", 2], ["2", "1"], [2, 0]),
    "text as decimals": (["1", "2", "x"], [decimal.Decimal("2.0")], [1]),
}


@pytest.mark.parametrize("name", SAME_LEVEL)
@pytest.mark.parametrize("container", ["frame", "categories", "array"])
def test_a_value_names_the_same_level_in_every_type(name, container):
    fitted, given, expected = SAME_LEVEL[name]
    encoder = TableEncoder().fit(pd.DataFrame({"c": fitted}))
    codes = np.argmax(np.pad(encoder.transform(pd.DataFrame({"c": fitted})), ((0, 0), (1, 0))), 1)
    assert codes.tolist() == list(range(len(fitted)))
    column = pd.Categorical(given) if container == "categories" else pd.Series(given)
    table = pd.DataFrame({"c": column})
    if container == "array":
        encoder = TableEncoder().fit(np.array(fitted, dtype=object)[:, None])
        table = np.array(given)[:, None]
        if encoder.codecs_[0].type.kind != "categorical":
            pytest.skip("numbers, in an array of objects")
    found = encoder.transform(table)
    indicators = np.eye(len(fitted))[[0 if np.isnan(c) else int(c) for c in expected]][:, 1:]
    indicators[np.isnan(expected)] = NAN
    np.testing.assert_array_equal(found, indicators)


def test_a_row_has_one_code_whatever_the_other_rows_are():
    fitted = pd.DataFrame(
        {
            "flag": ["true", "maybe", "false", "maybe"],
            "day": ["2020-01-01", "unknown", "2020-01-02", "unknown"],
            "code": ["7", "x", "8", "x"],
        }
    )
    encoder = TableEncoder().fit(fitted)
    together = encoder.transform(fitted)
    alone = pd.DataFrame({"flag": [True], "day": pd.to_datetime(["2020-01-01"]), "code": [7]})
    np.testing.assert_array_equal(encoder.transform(alone), together[:1])
    np.testing.assert_array_equal(encoder.transform(pl.from_pandas(alone)), together[:1])
    np.testing.assert_array_equal(encoder.transform(pa.Table.from_pandas(alone)), together[:1])


def test_codes_with_leading_zeros_are_not_numbers():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["01", "02", "x"]}))
    with pytest.warns(FlowSSLWarning, match="not seen in fit: 1"):
        assert np.isnan(encoder.transform(pd.DataFrame({"c": [1]}))).all()


def test_a_number_that_two_texts_write_names_neither():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["1.10", "1.100", "2"]}))
    with pytest.warns(FlowSSLWarning, match=r"1\.1"):
        assert np.isnan(encoder.transform(pd.DataFrame({"c": [1.1]}))).all()


def test_declared_categories_of_another_type_are_compared_by_their_text():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["3", "4", "x"]}))
    later = pd.DataFrame({"c": pd.Categorical([4, 3], categories=[9, 4, 3])})
    assert encoder.transform(later).tolist() == [[1, 0], [0, 0]]


def test_texts_of_levels():
    assert text_of(np.float32(2.0)) == text_of(2) == text_of(" 2 ") == "2"
    assert text_of(decimal.Decimal("2.50")) == text_of(2.5) == "2.5"
    assert text_of("TRUE") == text_of(np.True_) == "true"
    assert text_of(datetime.datetime(2020, 1, 1, 5)) == "2020-01-01 05:00:00"
    assert text_of(10**30) == str(10**30)


def numbers():
    return TableEncoder().fit(pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 3.0]}))


@pytest.mark.parametrize(
    "given",
    [
        ["1", "2.0", "4e0"],
        pd.Categorical(["1", "2", "4"]),
        pd.Categorical([1, 2, 4]),
        [decimal.Decimal(1), 2, 4.0],
        pd.array([1, 2, 4], dtype="Int8"),
        [" 1", "2 ", np.str_("4")],
    ],
)
def test_a_column_of_numbers_takes_numbers_of_every_type(given):
    matrix = numbers().transform(pd.DataFrame({"a": given, "b": [0.0, 1.0, 3.0]}))
    np.testing.assert_array_equal(matrix[:, 0], [1, 2, 4])


@pytest.mark.parametrize("mark", ["", "NA", "?", "nan", "-"])
def test_marks_of_missing_values_are_missing_among_numbers(mark):
    matrix = numbers().transform(pd.DataFrame({"a": ["1", mark], "b": [0.0, 1.0]}))
    np.testing.assert_array_equal(matrix[:, 0], [1, NAN])


@pytest.mark.parametrize("cell", ["x", "1,5", "1_000", "0x10", "12:30"])
def test_text_that_is_no_number_is_refused_with_its_cell(cell):
    message = (
        rf"column 'a' was numeric in fit.*'{cell}' in row 1 \(counted from 0\) is not a number"
    )
    with pytest.raises(ValueError, match=message):
        numbers().transform(pd.DataFrame({"a": ["1", cell], "b": [0.0, 1.0]}))


MOMENTS = pd.DataFrame({"t": pd.to_datetime([FIRST, SECOND, SECOND]), "x": [1.0, 2.0, 4.0]})


@pytest.mark.parametrize(
    "given",
    [
        ["2020-01-02", "2020-01-01"],
        ["2020-01-02T00:00:00", "2020-01-01 00:00"],
        [SECOND, FIRST],
        pd.Categorical(["2020-01-02", "2020-01-01"]),
        np.array([SECOND, FIRST], dtype="M8[D]"),
    ],
)
def test_a_column_of_times_takes_times_of_every_type(given):
    matrix = TableEncoder().fit(MOMENTS).transform(pd.DataFrame({"t": given, "x": [1.0, 2.0]}))
    assert matrix[:, 0].tolist() == [DAYS[1], DAYS[0]]


@pytest.mark.parametrize(
    ("zone", "given", "message"),
    [
        (None, ["soon"], "'soon' in row 0 .counted from 0. is not a time without a time zone"),
        (None, ["2020-01-01T00:00+02:00"], "is not a time without a time zone"),
        (None, pd.to_timedelta([1], "s"), "was datetime in fit and is a duration now"),
        (None, pd.to_datetime([FIRST]).tz_localize("UTC"), "is datetime with a time zone now"),
        ("Europe/Berlin", pd.to_datetime([FIRST]), "with a time zone in fit and is datetime now"),
        ("Europe/Berlin", ["2020-01-01"], "is not a time with a time zone"),
    ],
)
def test_times_that_mean_something_else_are_refused(zone, given, message):
    table = MOMENTS if zone is None else MOMENTS.assign(t=MOMENTS["t"].dt.tz_localize(zone))
    with pytest.raises(ValueError, match=message):
        TableEncoder().fit(table).transform(pd.DataFrame({"t": given, "x": [1.0]}))


def test_text_with_an_offset_names_the_moment_of_a_column_with_a_zone():
    table = MOMENTS.assign(t=MOMENTS["t"].dt.tz_localize("UTC"))
    later = pd.DataFrame({"t": ["2020-01-01T02:00+02:00"], "x": [1.0]})
    assert TableEncoder().fit(table).transform(later)[0, 0] == DAYS[0]


def test_durations_are_not_read_from_text():
    table = MOMENTS.assign(t=pd.to_timedelta([1, 2, 5], "s"))
    with pytest.raises(ValueError, match="column 't' was a duration in fit"):
        TableEncoder().fit(table).transform(pd.DataFrame({"t": ["1 s"], "x": [1.0]}))


# -- Missing values.


def test_texts_that_mark_missing_values_are_missing_with_a_note():
    table = pd.DataFrame({"c": ["a", "b", "NA", " ", "nan", "a"]})
    encoder = TableEncoder()
    with pytest.warns(FlowSSLWarning, match=r"column 'c': 3 values \(' ', 'NA', 'nan'\) mark"):
        matrix = encoder.fit_transform(table)
    np.testing.assert_array_equal(matrix[:, 0], [0, 1, NAN, NAN, NAN, 0])
    assert encoder.codecs_[0].categories == ("a", "b")
    np.testing.assert_array_equal(encoder.transform(table), matrix)  # without a further warning


def test_the_code_of_a_country_is_a_level():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["NA", "DE", "FR", "NA"]}))
    assert encoder.codecs_[0].categories == ("NA", "DE", "FR")
    assert encoder.transform(pd.DataFrame({"c": ["NA"]})).tolist() == [[0, 0]]


def test_categories_that_a_type_lists_are_no_marks():
    column = pd.Categorical(["None", "Brick", "None"])
    assert TableEncoder().fit(pd.DataFrame({"c": column})).codecs_[0].categories[0] == "None"


def test_marks_beside_numbers_in_an_array_of_objects_are_missing():
    assert encoded(np.array([["1"], ["NA"], ["3"]], dtype=object))[::2] == [1, 3]
    assert encoded([["1"], ["-"], ["3"]])[::2] == [1, 3]


MASKED = {
    "floats": (np.array([[1.0], [2.0], [4.0]]), [1, NAN, 4]),
    "integers": (np.array([[1], [2], [4]]), [1, NAN, 4]),
    "bools": (np.array([[True], [True], [False]]), [0, NAN, 1]),
    "text": (np.array([["a"], ["a"], ["b"]]), [0, NAN, 1]),
    "objects": (np.array([["a"], ["a"], [7]], dtype=object), [0, NAN, 1]),
    "times": (np.array([[FIRST], [FIRST], [SECOND]], "M8[D]"), [DAYS[0], NAN, DAYS[1]]),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_cells_are_missing(name):
    values, expected = MASKED[name]
    masked = np.ma.array(values, mask=[[False], [True], [False]])
    np.testing.assert_array_equal(encoded(masked), expected)
    np.testing.assert_array_equal(encoded(list(masked)), expected)
    later = TableEncoder().fit(values).transform(take_rows(masked, np.array([1, 0])))
    assert np.isnan(later[0, 0])
    assert masked.data[1, 0] == values[1, 0]  # the user's array is what it was


def test_masked_pixels_are_refused():
    images = np.ma.array(np.zeros((2, 4)), mask=np.eye(2, 4, dtype=bool))
    encoder = ImageEncoder((1, 2, 2)).fit(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="masked pixels"):
        encoder.transform(images)


# -- Sparse matrices, memory, and what a file can hold.


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("make", [scipy.sparse.random, scipy.sparse.random_array])
def test_sparse_matrices_are_dense_ones(kind, make):
    shape = ((30, 4),) if make is scipy.sparse.random_array else (30, 4)
    sparse = make(*shape, density=0.3, format=kind, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(TableEncoder().fit_transform(sparse), sparse.toarray())


def test_texts_of_variable_length_are_read():
    rows = np.array([["a", "1"], ["b", "2.5"]], dtype=np.dtypes.StringDType())
    assert TableEncoder().fit_transform(rows).tolist() == [[0, 1], [1, 2.5]]


def test_a_sparse_matrix_that_is_too_large_is_refused_with_the_way_out():
    huge = scipy.sparse.csr_array((100_000, 50_000))
    with pytest.raises(DataError, match=r"37\.3 GiB; the limit is 1\.0 GiB.*TruncatedSVD"):
        TableEncoder().fit(huge)


def test_sparse_images_are_read():
    rows = np.arange(8, dtype=np.uint8).reshape(2, 4)
    encoder = ImageEncoder((1, 2, 2)).fit(scipy.sparse.csr_array(rows))
    np.testing.assert_array_equal(encoder.transform(scipy.sparse.csc_array(rows)), rows)


def test_an_array_of_records_is_refused():
    with pytest.raises(TypeError, match=r"array of records.*pandas\.DataFrame"):
        TableEncoder().fit(np.array([[(1, 2.0)], [(2, 3.0)]], dtype="i4,f8"))


def test_the_matrix_may_be_written_to_and_is_not_the_users_if_theirs_may_not():
    array = np.eye(3)
    array.flags.writeable = False
    matrix = TableEncoder().fit_transform(array)
    assert matrix.flags.writeable
    assert not np.shares_memory(matrix, array)


def many_words(n_rows):
    """A column in which one word is half of the rows, and the others are all different."""
    return pd.DataFrame({"c": ["often"] * n_rows + [f"word {n:07}" for n in range(n_rows)]})


def test_a_column_of_many_levels_keeps_few_of_them():
    table = many_words(20_000)
    encoder = TableEncoder().fit(table)
    text = encoder.to_json()
    assert len(text) < 10_000
    again = TableEncoder.from_json(text)
    matrix = encoder.transform(table)
    np.testing.assert_array_equal(again.transform(table), matrix)
    # Every word that is not kept is an infrequent one, seen in fit or not.
    later = again.transform(pd.DataFrame({"c": ["often", "word 0019999", "new", None]}))
    assert later[:3, -1].tolist() == [0, 1, 1]
    assert np.isnan(later[3]).all()
    assert matrix[-1, -1] == 1


def test_few_infrequent_levels_are_kept():
    encoder = TableEncoder().fit(many_words(100))
    assert len(encoder.codecs_[0].infrequent) == 101 - 49
    with pytest.warns(FlowSSLWarning, match="not seen in fit: 'new'"):
        encoder.transform(pd.DataFrame({"c": ["new"]}))


def test_a_key_is_named():
    table = pd.DataFrame({"id": [f"row {n}" for n in range(60)], "x": range(60)})
    with pytest.warns(FlowSSLWarning, match="column 'id' holds another text in each of 60 rows"):
        TableEncoder().fit(table)


def test_declared_categories_beyond_the_limit_are_not_kept():
    column = pd.Categorical(["a", "b"] * 5, categories=["a", "b", *map(str, range(9000))])
    table = pd.DataFrame({"c": column})
    encoder = TableEncoder().fit(table)
    assert len(encoder.to_json()) < 1000
    decoded = encoder.inverse_transform(encoder.transform(table))
    assert decoded["c"].astype(str).tolist() == ["a", "b"] * 5
    enum = pl.DataFrame({"c": pl.Series(["a", "b"], dtype=pl.Enum(column.categories.to_list()))})
    encoder = TableEncoder().fit(enum)
    assert encoder.inverse_transform(encoder.transform(enum))["c"].to_list() == ["a", "b"]


def test_categories_that_no_file_could_hold_are_refused_before_training():
    table = pd.DataFrame({"x": [1.0, 2.0] * 20, "text": [f"{n}" * 60_000 for n in range(20)] * 2})
    with pytest.raises(DataError, match="most are of column 'text'"):
        TableEncoder().fit(table)


def test_a_forged_column_without_a_code_for_other_values_is_refused():
    record = json.loads(TableEncoder().fit([["a", "1"], ["b", "2"]]).to_json())
    record["columns"][0]["is_open"] = True
    with pytest.raises(ValueError, match="no code for other values"):
        TableEncoder.from_json(json.dumps(record))
