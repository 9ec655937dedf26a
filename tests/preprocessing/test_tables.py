"""Tables of every container and column type, encoded, decoded and carried as JSON."""

import datetime
import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sklearn.utils.estimator_checks import check_estimator

from flowssl.exceptions import DataError, FlowSSLWarning, ModelFileError
from flowssl.preprocessing import TableEncoder
from flowssl.preprocessing.containers import take_rows

FRAMES = {
    "pandas": pd.DataFrame,
    "polars": lambda data: pl.DataFrame(data, strict=False),
    "pyarrow": pa.table,
}


def polars_table():
    moment = datetime.datetime
    return pl.DataFrame(
        {
            "count": pl.Series([3, 1, None, 5], dtype=pl.Int16),
            "ratio": pl.Series([0.5, None, 1.5, 2.0], dtype=pl.Float32),
            "word": ["a", "b", None, "c"],
            "flag": [True, False, None, True],
            "when": [
                moment(2020, 1, 1, 3, 4, 5, 678),
                None,
                moment(1950, 1, 1),
                moment(2030, 5, 5),
            ],
            "lasts": [datetime.timedelta(seconds=3.5), None, datetime.timedelta(-1), None],
            "day": [datetime.date(2020, 1, 1), datetime.date(1950, 1, 2), None, None],
            "kind": pl.Series(["x", "y", None, "x"], dtype=pl.Categorical),
            "size": pl.Series(["S", "L", "S", None], dtype=pl.Enum(["S", "M", "L"])),
        }
    ).with_columns(
        local=pl.col("when").dt.offset_by("1d").dt.replace_time_zone("Europe/Berlin"),
        precise=(pl.col("when") + pl.duration(days=7)).cast(pl.Datetime("ns")),
    )


def pandas_table():
    table = polars_table().to_pandas()
    table = table.assign(
        count=pd.array([3, 1, None, 5], dtype="Int16"),
        flag=pd.array([True, False, None, True], dtype="boolean"),
        whole=np.array([9, 8, 8, 9], dtype=np.uint8),
        yes=[False, True, True, True],
        text=pd.array(["q", None, "r", "s"], dtype="string"),
        mixed=pd.Series([1, "a", None, 2.5], dtype=object),
        size=pd.Categorical(["S", "L", "S", None], categories=["S", "M", "L"], ordered=True),
        code=pd.Categorical([4, 7, 7, None], categories=[7, 4, 5]),
    )
    return table.drop(columns="day")


def test_polars_tables_come_back_with_their_types():
    table = polars_table()
    encoder = TableEncoder().fit(table)
    assert_frame_equal(encoder.inverse_transform(encoder.transform(table)), table)


def test_pandas_tables_come_back_with_their_types():
    table = pandas_table()
    encoder = TableEncoder().fit(table)
    pd.testing.assert_frame_equal(encoder.inverse_transform(encoder.transform(table)), table)


def test_arrow_tables_come_back_with_their_types():
    table = pa.table(
        {
            "count": pa.array([3, 1, None], pa.int8()),
            "ratio": pa.array([0.5, None, 2.0], pa.float32()),
            "word": ["a", "b", None],
            "flag": [True, False, None],
            "when": pa.array([0, None, 10**15 + 1], pa.timestamp("us", "UTC")),
        }
    )
    encoder = TableEncoder().fit(table)
    assert encoder.inverse_transform(encoder.transform(table)).equals(table)


def test_python_dates_in_an_object_column_are_times():
    days = [datetime.date(2020, 1, 1), None, datetime.date(1970, 1, 2)]
    table = pd.DataFrame({"day": pd.Series(days, dtype=object)})
    encoder = TableEncoder().fit(table)
    matrix = encoder.transform(table)
    np.testing.assert_array_equal(matrix[:, 0], [1577836800, math.nan, 86400])
    assert encoder.inverse_transform(matrix)["day"].dt.date.tolist()[2] == days[2]


def test_times_next_to_words_in_an_object_array_come_back_as_times():
    moment = datetime.datetime(2020, 5, 6, 7)
    array = np.array([["a", moment], ["b", None]], dtype=object)
    encoder = TableEncoder().fit(np.vstack([array, [["a", datetime.datetime(1999, 1, 1)]]]))
    assert encoder.inverse_transform(encoder.transform(array)).tolist() == array.tolist()


def test_intervals_come_back_as_their_names():
    table = pd.DataFrame({"age": pd.cut([1, 5, 9], [0, 4, 10])})
    encoder = TableEncoder().fit(table)
    decoded = encoder.inverse_transform(encoder.transform(table))
    assert decoded["age"].tolist() == ["(0, 4]", "(4, 10]", "(4, 10]"]


@pytest.mark.parametrize("library", FRAMES)
def test_the_matrix_holds_numbers_indicators_and_seconds(library):
    table = FRAMES[library](
        {
            "number": [1.5, None, 3.0, 4.0],
            "three": ["r", "g", "r", "b"],
            "two": ["no", "yes", None, "no"],
            "time": [datetime.datetime(1970, 1, 1, 0, 1)] * 2 + [datetime.datetime(1970, 1, 2)] * 2,
        }
    )
    encoder = TableEncoder().fit(table)
    nan = math.nan
    expected = [
        [1.5, 0, 0, 0, 60],
        [nan, 1, 0, 1, 60],
        [3.0, 0, 0, nan, 86400],
        [4.0, 0, 1, 0, 86400],
    ]
    np.testing.assert_array_equal(encoder.transform(table), expected)
    columns = [("number", None), ("three", "g"), ("three", "b"), ("two", "yes"), ("time", None)]
    assert encoder.output_columns_ == columns
    assert encoder.dequantization_width_.tolist() == [0, 1, 1, 1, 0]
    names = ["number", "three_g", "three_b", "two_yes", "time"]
    assert encoder.get_feature_names_out().tolist() == names
    assert encoder.feature_names_in_.tolist() == ["number", "three", "two", "time"]


def test_an_object_array_converts_numeric_strings_and_keeps_words():
    table = np.array([["1.5", "u", 3], [2, None, None], ["nan", "v", 5]], dtype=object)
    encoder = TableEncoder().fit(table)
    nan = math.nan
    expected = [[1.5, 0, 3], [2, nan, nan], [nan, 1, 5]]
    np.testing.assert_array_equal(encoder.transform(table), expected)
    decoded = encoder.inverse_transform(expected)
    assert decoded.dtype == object
    assert decoded[:, 1].tolist() == ["u", None, "v"]


def test_a_list_of_mixed_rows_keeps_its_numbers_and_missing_values():
    rows = [[1.0, "a"], [None, "b"], [3.0, None]]
    matrix = TableEncoder().fit_transform(rows)
    np.testing.assert_array_equal(matrix, [[1, 0], [math.nan, 1], [3, math.nan]])


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.uint8, bool])
def test_numeric_arrays_are_encoded_as_they_are(dtype):
    array = np.array([[0, 1], [0, 0], [1, 1]], dtype=dtype)
    encoder = TableEncoder().fit(array)
    np.testing.assert_array_equal(encoder.inverse_transform(encoder.transform(array)), array)
    if dtype is not bool:
        np.testing.assert_array_equal(encoder.transform(array), array)


def test_times_in_arrays_come_back_to_the_microsecond():
    array = np.array([["2020-01-01T00:00:00.000001"], ["NaT"], ["1901-02-03"]], dtype="M8[us]")
    encoder = TableEncoder().fit(array)
    np.testing.assert_array_equal(encoder.inverse_transform(encoder.transform(array)), array)


@given(st.integers(3, 6), st.data())
def test_a_point_decodes_to_the_category_whose_box_it_hits(n_categories, data):
    categories = [f"category {k}" for k in range(n_categories)]
    encoder = TableEncoder().fit(pd.DataFrame({"c": categories}))
    codes = encoder.transform(pd.DataFrame({"c": categories}))
    noise = data.draw(
        st.lists(
            st.floats(0, 1, exclude_max=True, width=16),
            min_size=codes.size,
            max_size=codes.size,
        )
    )
    noisy = codes + np.reshape(noise, codes.shape)
    assert encoder.inverse_transform(noisy)["c"].tolist() == categories


def test_a_point_outside_all_boxes_decodes_to_the_nearest():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["r", "r", "g", "b"]}))
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 4, size=(500, 2))
    corners = np.array([[0, 0], [1, 0], [0, 1]])
    gaps = np.maximum(corners - points[:, None], points[:, None] - corners - 1).clip(0)
    nearest = np.array(["r", "g", "b"])[(gaps**2).sum(-1).argmin(1)]
    assert encoder.inverse_transform(points)["c"].tolist() == nearest.tolist()


def test_the_dequantization_bound_holds_for_a_normal_density():
    """log P(k) >= E_u log p(e_k + u), with P(k) the mass of the box, in closed form."""
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["r", "r", "g", "b"]}))
    normal = scipy.stats.multivariate_normal([0.5, 0.7], [[0.6, 0.1], [0.1, 0.4]])
    noise = np.random.default_rng(0).random((20_000, 2))
    masses = []
    for category in "rgb":
        corner = encoder.transform(pd.DataFrame({"c": [category]}))[0]
        masses.append(normal.cdf(corner + 1, lower_limit=corner))
        assert normal.logpdf(corner + noise).mean() <= math.log(masses[-1])
    assert 0.5 < sum(masses) < 1  # disjoint boxes share the mass


@pytest.mark.parametrize("library", FRAMES)
def test_constant_and_repeated_columns_are_left_out_and_put_back(library):
    table = FRAMES[library](
        {
            "a": [1.0, 2.0, None],
            "seven": [7, 7, 7],
            "copy": [1.0, 2.0, None],
            "word": ["x", "y", "x"],
            "renamed": ["ex", "why", "ex"],
            "same": ["s", None, "s"],
        }
    )
    encoder = TableEncoder().fit(table)
    assert encoder.constant_ == {"seven": 7, "same": "s"}
    assert encoder.duplicate_of_ == {"copy": "a", "renamed": "word"}
    assert [column for column, _ in encoder.output_columns_] == ["a", "word"]
    decoded = pl.DataFrame(encoder.inverse_transform([[5.0, 1.2]]))
    assert decoded.row(0) == (5.0, 7, 5.0, "y", "why", "s")


def test_zero_of_either_sign_is_the_same_value():
    encoder = TableEncoder().fit([[0.0, -0.0, 0.0], [1.0, 1.0, -0.0]])
    assert encoder.duplicate_of_ == {1: 0}
    assert encoder.constant_ == {2: 0.0}


def test_numbers_do_not_count_as_copies_of_indicators():
    table = pd.DataFrame({"word": ["n", "y", "n"], "number": [0.0, 1.0, 0.0]})
    assert TableEncoder().fit(table).duplicate_of_ == {}


def test_columns_that_differ_late_are_not_copies():
    array = np.tile(np.arange(200.0)[:, None], 2)
    array[150, 1] = -1
    assert TableEncoder().fit(array).duplicate_of_ == {}


@pytest.mark.parametrize("library", FRAMES)
def test_an_all_missing_column_is_constant(library):
    table = FRAMES[library]({"a": [1.0, 2.0], "none": [None, None]})
    encoder = TableEncoder().fit(table)
    assert encoder.constant_ == {"none": None}
    decoded = pl.DataFrame(encoder.inverse_transform(encoder.transform(table)))
    assert (
        decoded["none"].to_list() in ([None, None], [math.nan] * 2)
        or decoded["none"].is_nan().all()
    )


def test_one_row_leaves_a_matrix_without_columns():
    encoder = TableEncoder().fit([[1.0, 2.0]])
    assert encoder.transform([[1.0, 2.0], [3.0, 4.0]]).shape == (2, 0)
    np.testing.assert_array_equal(encoder.inverse_transform(np.empty((3, 0))), [[1, 2]] * 3)


def test_one_column_of_one_kind():
    encoder = TableEncoder().fit(pd.DataFrame({"c": ["u", "v"]}))
    assert encoder.transform(pd.DataFrame({"c": ["v", None]})).tolist()[0] == [1.0]


def test_no_rows_decode_to_an_empty_table():
    table = pandas_table()
    encoder = TableEncoder().fit(table)
    decoded = encoder.inverse_transform(np.empty((0, len(encoder.output_columns_))))
    assert decoded.shape == (0, table.shape[1])


@pytest.mark.parametrize("library", FRAMES)
def test_unseen_categories_become_missing_with_a_warning(library):
    encoder = TableEncoder().fit(FRAMES[library]({"pet": ["cat", "dog", "cat"]}))
    with pytest.warns(FlowSSLWarning, match=r"column 'pet' holds categories .* 'emu', 'fox'; they"):
        matrix = encoder.transform(FRAMES[library]({"pet": ["dog", "fox", "emu", "fox"]}))
    np.testing.assert_array_equal(matrix[:, 0], [1, math.nan, math.nan, math.nan])


def test_rare_categories_share_a_code():
    words = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"]
    encoder = TableEncoder(max_categories=3).fit(pd.DataFrame({"w": words}))
    assert encoder.output_columns_ == [("w", "b"), ("w", "infrequent")]
    matrix = encoder.transform(pd.DataFrame({"w": ["c", "d", "e", "a"]}))
    assert matrix.tolist() == [[0, 1], [0, 1], [0, 1], [0, 0]]
    assert encoder.inverse_transform(matrix)["w"].tolist() == ["c", "c", "c", "a"]


@pytest.mark.parametrize("value", [1, 2.5, "many"])
def test_max_categories_is_checked(value):
    with pytest.raises(ValueError, match="max_categories must be an integer of at least 2"):
        TableEncoder(max_categories=value).fit([["a"], ["b"]])


@pytest.mark.parametrize("library", FRAMES)
def test_integers_are_rounded_and_kept_in_range(library):
    column = {
        "pandas": pd.Series([0, 9], dtype="uint8"),
        "polars": pl.Series([0, 9], dtype=pl.UInt8),
        "pyarrow": pa.array([0, 9], pa.uint8()),
    }[library]
    encoder = TableEncoder().fit(FRAMES[library]({"n": column}))
    decoded = pl.DataFrame(encoder.inverse_transform([[-3.2], [4.6], [300.0]]))
    assert decoded["n"].dtype == pl.UInt8
    assert decoded["n"].to_list() == [0, 5, 255]


def test_huge_integers_stay_in_range():
    table = pl.DataFrame({"n": [0, 2**63 - 1]})
    encoder = TableEncoder().fit(table)
    decoded = encoder.inverse_transform([[1e300], [-1e300]])
    assert decoded["n"].to_list() == [2**63 - 1024, -(2**63)]


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_are_rounded_to_their_unit_and_kept_in_range(library, unit, zone):
    if (library, unit) == ("polars", "s"):
        pytest.skip("polars has no such type")
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    moments = pa.array([0, 5 * second], pa.timestamp(unit, zone))
    column = {"pyarrow": moments, "pandas": moments.to_pandas()}.get(library)
    frame = FRAMES[library]({"t": pl.from_arrow(moments) if column is None else column})
    encoder = TableEncoder().fit(frame)
    decoded = encoder.inverse_transform([[1.2344567], [1e15], [-1e15], [math.nan]])
    seconds = encoder.transform(decoded)[:, 0]
    assert seconds[0] == {"s": 1.0, "ms": 1.234, "us": 1.234457, "ns": 1.234457}[unit]
    assert seconds[1] > 9.1e9
    assert seconds[2] < -9.1e9
    assert math.isnan(seconds[3])
    assert all(1600 < value.year < 2300 or unit != "ns" for value in pl.DataFrame(decoded)["t"][:3])


def test_an_integer_column_of_numpy_that_must_hold_missing_values_becomes_float():
    encoder = TableEncoder().fit(pd.DataFrame({"n": [1, 2], "f": [True, False]}))
    decoded = encoder.inverse_transform([[math.nan, math.nan], [2.0, 0.0]])
    assert decoded["n"].isna().tolist() == [True, False]
    assert decoded["f"].tolist() == [None, True]


@st.composite
def mixed_tables(draw):
    n_rows = draw(st.integers(1, 12))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    kinds = {
        "number": (finite, pl.Float64),
        "count": (st.integers(-(2**53), 2**53), pl.Int64),
        "word": (st.text("abcXYZ0é漢", min_size=1, max_size=3), pl.String),
        "flag": (st.booleans(), pl.Boolean),
        "time": (
            st.datetimes(datetime.datetime(1834, 1, 1), datetime.datetime(2106, 1, 1)),
            pl.Datetime("us"),
        ),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=6))
    columns = {}
    for position, name in enumerate(names):
        values, dtype = kinds[name]
        rows = st.lists(st.none() | values, min_size=n_rows, max_size=n_rows)
        columns[f"{name}{position}"] = pl.Series(draw(rows), dtype=dtype)
    return pl.DataFrame(columns)


@given(mixed_tables(), st.sampled_from(["polars", "pyarrow", "pandas"]))
def test_what_is_encoded_decodes_to_itself(table, library):
    native = {"polars": table, "pyarrow": table.to_arrow(), "pandas": table.to_pandas()}[library]
    encoder = TableEncoder().fit(native)
    decoded = encoder.inverse_transform(encoder.transform(native))
    # A column with one value and gaps is constant: its gaps are filled with the value.
    filled = [
        pl.lit(table[name].drop_nulls()[0], dtype=table[name].dtype).alias(name)
        for name, value in encoder.constant_.items()
        if value is not None
    ]
    seen = pl.DataFrame(decoded, schema=table.schema)
    assert_frame_equal(seen, table.with_columns(filled), rel_tol=0, abs_tol=0)


@given(mixed_tables())
def test_json_carries_everything_to_the_bit(table):
    encoder = TableEncoder(max_categories=4).fit(table)
    again = TableEncoder.from_json(encoder.to_json())
    matrix = encoder.transform(table)
    assert again.transform(table).tobytes() == matrix.tobytes()
    assert again.to_json() == encoder.to_json()
    assert_frame_equal(again.inverse_transform(matrix), encoder.inverse_transform(matrix))
    assert again.constant_ == encoder.constant_
    assert again.duplicate_of_ == encoder.duplicate_of_
    assert again.output_columns_ == encoder.output_columns_
    assert again.feature_names_in_.tolist() == encoder.feature_names_in_.tolist()
    assert again.get_params() == encoder.get_params()


def test_json_of_all_pandas_types():
    table = pandas_table()
    again = TableEncoder.from_json(TableEncoder().fit(table).to_json())
    pd.testing.assert_frame_equal(again.inverse_transform(again.transform(table)), table)


DAMAGE = {
    "no json": lambda record: "{",
    "not an object": lambda record: "[]",
    "future": lambda record: json.dumps(record | {"format": 2}),
    "no columns": lambda record: json.dumps(record | {"columns": []}),
    "container": lambda record: json.dumps(record | {"container": "os"}),
    "deep": lambda record: "[" * 100_000,
}
FORGED = [
    ("kind", "type", "other"),
    ("dtype", "type", "from_native"),
    ("native", "type", 3),
    ("categories", "type", [[1]]),
    ("categories", None, [None]),
    ("categories", None, "ab"),
    ("categories", None, []),
    ("name", None, [1]),
    ("constant", None, {}),
    ("is_constant", None, "no"),
    ("duplicate_of", None, 0),
    ("duplicate_of", None, "x"),
    ("extra", None, 1),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_json_is_one_clear_error(damage):
    record = json.loads(TableEncoder().fit([["a", "1"], ["b", "2"]]).to_json())
    with pytest.raises(ModelFileError, match="table encoder"):
        TableEncoder.from_json(DAMAGE[damage](record))


@pytest.mark.parametrize(("field", "inside", "value"), FORGED)
def test_forged_columns_are_one_clear_error(field, inside, value):
    record = json.loads(TableEncoder().fit([["a", "1"], ["b", "2"]]).to_json())
    column = record["columns"][0]
    (column if inside is None else column[inside])[field] = value
    with pytest.raises(ModelFileError, match="damaged"):
        TableEncoder.from_json(json.dumps(record))


@pytest.mark.parametrize("original", [0, 2, 3, -1, 9])
def test_a_forged_copy_must_repeat_an_earlier_column_of_the_matrix(original):
    """Column 0 is constant, 2 is the copy itself, 3 comes later."""
    record = json.loads(TableEncoder().fit([[1, 1, 1, 5], [1, 2, 2, 3]]).to_json())
    assert record["columns"][2]["duplicate_of"] == 1
    record["columns"][2]["duplicate_of"] = original
    with pytest.raises(ModelFileError, match="damaged"):
        TableEncoder.from_json(json.dumps(record))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("library", FRAMES)
def test_columns_must_be_those_of_fit(library):
    build = FRAMES[library]
    encoder = TableEncoder().fit(build({"a": [1, 2], "b": ["u", "v"]}))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- c\n.*missing:\n- a"):
        encoder.transform(build({"c": [1, 2], "b": ["u", "v"]}))
    with pytest.raises(ValueError, match="must be in the same order"):
        encoder.transform(build({"b": ["u", "v"], "a": [1, 2]}))
    with pytest.raises(ValueError, match="X has 1 features, but TableEncoder is expecting 2"):
        encoder.transform(np.zeros((2, 1)))


def test_another_container_with_the_same_columns_will_do():
    data = {"a": [1.0, 2.0], "b": ["u", "v"]}
    encoder = TableEncoder().fit(pl.DataFrame(data))
    expected = encoder.transform(pl.DataFrame(data))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame(data)), expected)
    np.testing.assert_array_equal(encoder.transform(pa.table(data)), expected)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        array = encoder.transform(np.array([[1.0, "u"], ["2", "v"]], dtype=object))
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros(3), ValueError, "Expected 2D array, got 1D array instead"),
        (pd.Series([1.0]), ValueError, "Expected a 2-dimensional container|Expected 2D array"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\)"),
        (pl.DataFrame({"a": []}), ValueError, r"0 sample\(s\) \(shape=\(0, 1\)\)"),
        (np.array([[np.inf]]), ValueError, "Input X contains infinity"),
        (pl.DataFrame({"a": [np.inf]}), ValueError, "Input X contains infinity.*column 'a'"),
        (np.array([["inf"]], dtype=object), ValueError, "Input X contains infinity"),
        (np.array([[1j]]), ValueError, "Complex data not supported"),
        (
            np.array([[1.0], [{}]], dtype=object),
            TypeError,
            "argument must be .* string.* number.*'dict'.*column 0",
        ),
        (np.array([["a"], [{}]], dtype=object), TypeError, "argument must be .*column 0"),
        (pl.DataFrame({"a": [[1, 2]]}), TypeError, r"column 'a' of X has the type List"),
        (pl.LazyFrame({"a": [1]}), TypeError, r"lazy frame; collect it first"),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            DataError,
            r"columns of X must have different names:[\s\S]*'a'",
        ),
        (pd.DataFrame([[1, 2]], columns=["a", 1]), TypeError, "Feature names are only supported"),
    ],
)
def test_what_is_no_table_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        TableEncoder().fit(X)


@pytest.mark.parametrize(
    ("fitted", "given", "message"),
    [
        ([1.0, 2.0], ["1", "x"], "column 'a' was numeric in fit.*'x'"),
        ([1.0, 2.0], [datetime.datetime(2020, 1, 1)] * 2, "was numeric in fit and is datetime now"),
        ([datetime.datetime(2020, 1, d) for d in (1, 2)], [1.0, 2.0], "was datetime in fit"),
    ],
)
def test_a_column_must_not_change_its_kind(fitted, given, message):
    encoder = TableEncoder().fit(pl.DataFrame({"a": fitted}))
    with pytest.raises(ValueError, match=message):
        encoder.transform(pl.DataFrame({"a": given}))


@pytest.mark.parametrize("fitted", [[1.0, 2.0], ["u", "v"], [datetime.date(2020, 1, 1), None] * 2])
def test_any_column_may_be_all_missing_later(fitted):
    table = pd.DataFrame({"a": fitted, "b": range(len(fitted))})
    encoder = TableEncoder().fit(table)
    matrix = encoder.transform(pd.DataFrame({"a": [None], "b": [1]}))
    assert np.isnan(matrix[0, :-1]).all()


def test_decoding_checks_the_number_of_columns():
    encoder = TableEncoder().fit([[1.0, 2.0], [2.0, 5.0]])
    with pytest.raises(ValueError, match="X has 3 features, but TableEncoder is expecting 2"):
        encoder.inverse_transform(np.zeros((1, 3)))


def test_refitting_forgets_the_old_table():
    encoder = TableEncoder().fit(pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}))
    encoder.fit(np.eye(3))
    assert not hasattr(encoder, "feature_names_in_")
    assert encoder.n_features_in_ == 3
    assert isinstance(encoder.inverse_transform(np.eye(3)), np.ndarray)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, "a"], [2, "b"], [3, "c"]],
        ([1, "a"], [2, "b"], [3, "c"]),
        np.array([[1, "a"], [2, "b"], [3, "c"]], dtype=object),
        pd.DataFrame({"n": [1, 2, 3], "w": ["a", "b", "c"]}, index=[9, 9, 9]),
        pl.DataFrame({"n": [1, 2, 3], "w": ["a", "b", "c"]}),
    ],
    ids=["list", "tuple", "array", "pandas", "polars"],
)
def test_rows_are_taken_from_any_container(rows):
    taken = take_rows(rows, np.array([2, 0, 2]))
    assert isinstance(taken, list if isinstance(rows, tuple) else type(rows))
    assert np.asarray(taken, dtype=object).tolist() == [[3, "c"], [1, "a"], [3, "c"]]


def test_rows_of_sparse_matrices_are_taken_before_these_are_refused():
    sparse = scipy.sparse.coo_array([[0, 1], [2, 0], [0, 3]])
    assert take_rows(sparse, np.array([2, 1])).toarray().tolist() == [[0, 3], [2, 0]]


def test_names_given_for_the_columns_are_checked():
    named = TableEncoder().fit(pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}))
    assert named.get_feature_names_out(["a", "b"]).tolist() == ["a", "b_v"]
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        named.get_feature_names_out(["b", "a"])
    unnamed = TableEncoder().fit([[1.0, 5.0], [2.0, 3.0]])
    assert unnamed.get_feature_names_out(["p", "q"]).tolist() == ["p", "q"]
    with pytest.raises(ValueError, match=r"number of features \(2\), got 1"):
        unnamed.get_feature_names_out(["p"])


def test_set_output_names_the_columns():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]})
    matrix = TableEncoder().set_output(transform="pandas").fit_transform(table)
    assert matrix.columns.tolist() == ["a", "b_v"]


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks():
    results = check_estimator(TableEncoder(), on_fail=None)
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"]
    assert failed == []
