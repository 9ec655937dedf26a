"""What the cells of text files mean: numbers as people write them, codes, times, marks, quotes."""

import datetime
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flowssl._field_facts import FAULT, NOTE, fact
from flowssl._missing_marks import missing_marks
from flowssl.exceptions import DataError, ModelFileError
from flowssl.preprocessing import TableEncoder
from flowssl.preprocessing.file_schema import file_schema
from flowssl.tables import read_table


def _read(folder: Path, content: str | bytes, **options: object) -> pa.Table:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


def _refusal(folder: Path, content: str | bytes, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        _read(folder, content, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _note(table: pa.Table, name: str) -> str:
    return fact(table.schema.field(name), NOTE) or ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # The other columns tell what a point or a comma before three digits is.
        (
            "cases;rate;c\n950;19,47;x\n1.002;3,5;y",
            {"cases": [950, 1002], "rate": [19.47, 3.5], "c": ["x", "y"]},
        ),
        ('a,b\n"1,234",2.5\n"5,678",3\n', {"a": [1234, 5678], "b": [2.5, 3]}),
        ('a,b\n"1,234","2,5"\n"5,678","1,3"\n', {"a": [1.234, 5.678], "b": [2.5, 1.3]}),
        ("a\tb\n1.234\t0,5\n5.678\t1,5\n", {"a": [1234, 5678], "b": [0.5, 1.5]}),
        # Nothing tells: between commas a lone comma separates thousands, else the fraction.
        ('a,b\n"1,234",x\n"5,678",y\n', {"a": [1234, 5678], "b": ["x", "y"]}),
        ("a;b\n1,234;2\n5,678;3\n", {"a": [1.234, 5.678], "b": [2, 3]}),
        ("a,b\n1.234,x\n5.678,y\n", {"a": [1.234, 5.678], "b": ["x", "y"]}),
        # Columns that tell themselves, one by one.
        ('a,b\n"1.234,5",3.5\n"2,25",4.5\n', {"a": [1234.5, 2.25], "b": [3.5, 4.5]}),
        ('a,b\n"1,234,567",1\n"12",2\n', {"a": [1234567, 12], "b": [1, 2]}),
        ('a,b\n"12,34,567",1\n5,2\n', {"a": [1234567, 5], "b": [1, 2]}),
        ("a;b\n0,125;1\n1,250;2\n", {"a": [0.125, 1.25], "b": [1, 2]}),
        ("a,b\n1'234.5,12 345\n20,1\u202f000\n", {"a": [1234.5, 20], "b": [12345, 1000]}),
        ("p,q\n10%,5 %\n2.5%,-1 %\n", {"p": [0.1, 0.025], "q": [0.05, -0.01]}),
        ('p,q\n$300,-$5\n"$1,200.50",$2\n', {"p": [300, 1200.5], "q": [-5, 2]}),
        ("p;q\n3 \u20ac;\u00a35\n4,5 \u20ac;\u00a36.25\n", {"p": [3, 4.5], "q": [5, 6.25]}),
        ("t,u\n\u22125,\u20131.5\n3,2\n", {"t": [-5, 3], "u": [-1.5, 2]}),
        ('a,b\n"1,2",x\n"3,45",y\n', {"a": [1.2, 3.45], "b": ["x", "y"]}),
        ("a,b\n1700000000000000000,1\n5,2\n", {"a": [1700000000000000000, 5], "b": [1, 2]}),
        ("a,b\n+5,1e-3\n-3,2E+2\n", {"a": [5, -3], "b": [0.001, 200]}),
        # Marks of missing values are no values, whatever the column.
        ("a,b\nNA,?\n5,-\n.,7.5\n", {"a": [None, 5, None], "b": [None, None, 7.5]}),
        ("a,b\n\\N,1.#QNAN\n5,2\n\\N,-nan(ind)\n", {"a": [None, 5, None], "b": [None, 2, None]}),
        (
            "a;b\n#DIV/0!;#NV\n1,5;2\n#WERT!;#BEZUG!\n",
            {"a": [None, 1.5, None], "b": [None, 2, None]},
        ),
        (
            "a;b\n#VALEUR!;#N/D\n1;2\n#\u00a1REF!;#NAME?\n",
            {"a": [None, 1, None], "b": [None, 2, None]},
        ),
    ],
)
def test_numbers_as_people_write_them(
    tmp_path: Path, content: str, expected: dict[str, list[object]]
) -> None:
    assert _read(tmp_path, content).to_pydict() == expected


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["01234", "98765"], "'01234' begins with a zero"),
        (["007", "12", ""], "'007' begins with a zero"),
        (["1E5", "2E3"], "'1E5' looks like a code"),
        (["+493012345", "+15551234567"], "'+493012345' looks like a phone number"),
        (["9223372036854775808", "5"], "more digits than a number keeps"),
        (["9007199254740993", "5"], "more digits than a number keeps"),
        (["0x1F", "0x20"], "not like '0x1F' and '0x20'"),
        (["5 kg", "6 kg"], "write all of its numbers like 1234.5, not like '5 kg'"),
        (['"1,5"', "2.5"], "write all of its numbers like 1234.5, not like '1,5' and '2.5'"),
        (["$5", "\u20ac6"], "write all of its numbers like 1234.5"),
        (["$5", "6"], "write all of its numbers like 1234.5"),
        (["USD 5", "US$ 6"], "write all of its numbers like 1234.5"),
        (["(5)", "7"], "write all of its numbers like 1234.5"),
        (["10%", "20"], "write all of its numbers like 1234.5"),
        (["12.50-", "3.10"], "write all of its numbers like 1234.5, not like '12.50-' and '3.10'"),
        (["R$ 5", "R$ 6"], "write all of its numbers like 1234.5"),
        (["<5", "10", "7"], "write all of its numbers like 1234.5, not like '<5' and '10'"),
        (["\u0661\u0662", "\u0663"], "write all of its numbers like 1234.5"),
        (["1", "2", "few"], "because 'few' is not a number"),
        (["1.5", "2.5", "[kg]"], "because '[kg]' is not a number"),
        (["26:30:00", "05:10:00"], "write all of its times like 3600"),
        (["1:30", "12:45"], "write all of its times like 3600"),
        (["10:00 AM", "1:30 PM"], "write all of its times like 3600"),
        (["0 days 00:01:00", "1 days 02:00:00.5"], "write all of its times like 3600"),
        (["1", "2", "3", "4", "5", "unknown"], "because 'unknown' is not a number"),
        (["31/12/2020", "01/02/2021"], "write all of its dates like 2020-12-31"),
        (["12.31.2020", "01.02.2020"], "write all of its dates like 2020-12-31"),
        (["2020-01-01T00:00:00Z", "2020-01-01"], "write all of its dates like 2020-12-31"),
        (["2020-02-30", "2020-02-01"], "write all of its dates like 2020-12-31"),
        (["2020-01-01"] * 9 + ["unknown"], "because 'unknown' is not a date"),
    ],
)
def test_what_looks_like_numbers_or_dates_and_stays_text_is_named(
    tmp_path: Path, cells: list[str], reason: str
) -> None:
    table = _read(tmp_path, "n,x\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert table["x"].to_pylist() == [cell.strip('"') or None for cell in cells]
    assert reason in _note(table, "x")


@pytest.mark.parametrize("cells", [["yes", "no"], ["A12", "B7"], ["a", "b"], ["1st", "2nd"]])
def test_words_and_codes_with_letters_need_no_note(tmp_path: Path, cells: list[str]) -> None:
    table = _read(tmp_path, "n,x\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert table["x"].to_pylist() == cells
    assert _note(table, "x") == ""


def test_the_advice_of_notes_on_numbers_helps(tmp_path: Path) -> None:
    """What the notes ask for is done; the column is then as it is meant, without a note."""
    doubtful = _read(tmp_path, 'n,x\n1,"1,234"\n2,"5,678"\n')
    assert "write it without separators of thousands" in _note(doubtful, "x")
    for content, expected in (
        ("n,x\n1,1234\n2,5678\n", [1234, 5678]),  # without separators of thousands
        ("n,x\n1,1.5\n2,2.5\n", [1.5, 2.5]),  # numbers like 1234.5
        (
            "n,x\n1,2020-12-31\n2,2021-02-01\n",
            [datetime.date(2020, 12, 31), datetime.date(2021, 2, 1)],
        ),
        ("n,x\n1,5\n2,\n", [5, None]),  # missing cells left empty
        ("n,x\n1,NA\n2,\n3,DE\n", ["NA", None, "DE"]),
    ):
        table = _read(tmp_path, content)
        assert table["x"].to_pylist() == expected
        assert "stays text" not in _note(table, "x")
        assert "is read as" not in _note(table, "x")


def test_notes_say_how_a_cell_was_read(tmp_path: Path) -> None:
    table = _read(tmp_path, "cases;rate;c\n950;19,47;x\n1.002;3,5;y")
    assert _note(table, "cases") == "'1.002' is read as 1002, as other columns have decimal commas"
    assert _note(table, "rate") == "'19,47' is read as 19.47"
    assert _note(table, "c") == ""
    table = _read(tmp_path, "a;b;c;d\n1.234;0,5;0.5;Nan\n5.678;1,5;1.5;7\n")
    assert table["a"].to_pylist() == [1.234, 5.678]
    assert "'1.234' is read as 1.234, though ',' may be its decimal point" in _note(table, "a")
    assert _note(table, "c") == ""
    table = _read(tmp_path, "p,q\n10%,-\n5%,7\n")
    assert _note(table, "p") == "'10%' is read as 0.1"
    assert _note(table, "q") == "read as missing: '-'"


def test_dates_times_and_booleans(tmp_path: Path) -> None:
    content = (
        "day,moment,zoned,half,flag,loud\n"
        "2020-12-31,2020-12-31 10:00,2020-12-31T10:00:00+01:00,2020-12-31T10:00:00.5,true,TRUE\n"
        "NA,2021-01-01,2020-12-31T10:00:00Z,2020-12-31T10:00:01,false,False\n"
    )
    table = _read(tmp_path, content)
    kinds = [str(kind) for kind in table.schema.types]
    assert (
        kinds
        == ["date32[day]", "timestamp[s]", "timestamp[s, tz=UTC]", "timestamp[us]"] + ["bool"] * 2
    )
    assert table["day"].to_pylist() == [datetime.date(2020, 12, 31), None]
    assert [moment.hour for moment in table["zoned"].to_pylist()] == [9, 10]
    assert table["loud"].to_pylist() == [True, False]


def test_times_of_day_are_those_that_a_clock_has(tmp_path: Path) -> None:
    content = "a,b,c\n00:00,23:59:59.5,24:00:00\n09:30,10:00:00,10:60:00\n"
    assert [str(kind) for kind in _read(tmp_path, content).schema.types] == [
        *["time64[us]"] * 2,
        "string",
    ]


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400"])
def test_infinite_cells_are_faults_with_their_line(tmp_path: Path, cell: str) -> None:
    table = _read(tmp_path, f'a,t\n1,"x\ny"\n\n{cell},z\n2,u\n')
    assert f"line 5: {cell!r} is no finite number" in (fact(table.schema.field("a"), FAULT) or "")


def test_marks_of_missing_values_among_text(tmp_path: Path) -> None:
    table = _read(tmp_path, 'c,l,n\nNA,x,?\nDE,<NA>,a\n"  ", y ,-1\nFR,"",b\n')
    assert table.to_pydict() == {
        "c": ["NA", "DE", None, "FR"],
        "l": ["x", None, "y", None],
        "n": [None, "a", None, "b"],
    }
    assert "'NA' is a value like others" in _note(table, "c")
    assert _note(table, "l") == "'<NA>' is read as missing (rows: 1)"


@pytest.mark.parametrize(
    ("levels", "labels", "expected"),
    [
        (["a", "NA"], False, {"NA"}),
        (["DE", "NA"], False, set()),
        (["de", "fr", "na"], False, set()),
        (["DE", "FR", "US", "other", "NA"], False, set()),
        (["yes", "no", "NA"], False, {"NA"}),
        (["cat", "-1"], True, {"-1"}),
        (["0", "1", "-1", "high"], False, set()),
        (["0", "high", "-1"], True, {"-1"}),
        (["none", "mild", "unknown"], True, set()),
        (["a", "None", "nan", "NaN", "null", "NULL", "N/A", "#N/A", "<NA>", "?"], False, None),
    ],
)
def test_which_levels_are_marks(levels: list[str], labels: bool, expected: set[str] | None) -> None:
    marks = missing_marks(levels, labels=labels)
    assert marks == (set(levels[1:]) if expected is None else expected)
    assert missing_marks(levels, labels=labels, known=levels) == frozenset()


def test_marks_of_databases_and_spreadsheets_among_text(tmp_path: Path) -> None:
    table = _read(tmp_path, "c,d\n\\N,x\na,#REF!\nb,#NOM?\n")
    assert table.to_pydict() == {"c": [None, "a", "b"], "d": ["x", None, None]}
    assert _note(table, "c") == "'\\\\N' is read as missing (rows: 1)"
    assert "'#REF!' is read as missing (rows: 1)" in _note(table, "d")


def test_columns_named_as_text_stay_as_written(tmp_path: Path) -> None:
    content = "id,x\n00000,1\n1E1,2\n1.10,3\n 9223372036854775809 ,4\n"
    table = _read(tmp_path, content, as_text=["id"])
    assert table["id"].to_pylist() == ["00000", "1E1", "1.10", "9223372036854775809"]
    assert table["x"].type == pa.int64()


# Quotes.

STRAY = 't,c\na,x\n"a,y\n' + "a,x\n" * 90 + 'b",y\na,x\n'


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (STRAY, 3, "closes only in line 94"),
        ('t,c\na,x\n"a,y\n' + "a,x\n" * 90, 3, "never closes"),
        ('t,c\na,x\n"a,y\na,x\n"b, c",x\n', 3, "closes in line 5, with text behind it"),
        ('t,c\n"q" r,y\n', 2, "closes in line 2, with text behind it"),
        # Swallowed rows of numbers that occur nowhere else, and rows without a label.
        ('t,n,c\na,1,x\n"b,2,x\nd,3,y\ne",4,x\nf,5,y\n', 3, "closes only in line 5"),
        ('t,c\na,x\n"b,\nc,\nd,\ne",y\n', 3, "closes only in line 6"),
        # Nothing that occurs elsewhere, and many rows.
        ("n,w\n" + 'a,"b1\n' + "".join(f"c{i},d{i}\n" for i in range(9)) + 'e,f"\n', 2, "closes"),
        ('c;t\nx;a\ny;"b\nx;c\ny;d"\n', 3, "closes only in line 5"),
    ],
)
def test_quotes_that_swallow_rows_are_refused(
    tmp_path: Path, content: str, line: int, what: str
) -> None:
    message = _refusal(tmp_path, content)
    assert f"line {line}: the quote that opens a cell here {what}" in message


def test_the_advice_on_quotes_helps(tmp_path: Path) -> None:
    """Close it in its line; if it belongs to the text, quote the cell and write it twice."""
    closed = STRAY.replace('"a,y', '"a",y').replace('b",y', '"b",y')
    assert _read(tmp_path, closed).num_rows == 94
    doubled = STRAY.replace('"a,y', '"""a",y').replace('b",y', '"b""",y')
    assert _read(tmp_path, doubled)["t"].to_pylist()[1] == '"a'


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('t,c\n"Dear sir, hello\nthanks, bye",x\np,y\n', ["Dear sir, hello\nthanks, bye", "p"]),
        ('t,c\n"Hello, world\nbye",x\np,y\n', ["Hello, world\nbye", "p"]),
        ('t,c\n"a\n\nb",x\np,y\n', ["a\n\nb", "p"]),
        ('t,c\n"he said ""no"",\nand left",x\np,y\n', ['he said "no",\nand left', "p"]),
        ('t,c\r\n"a\r\nb",x\r\np,y\r\n', ["a\nb", "p"]),
        ('t,c\n5" pipe,x\n6" pipe,y\n', ['5" pipe', '6" pipe']),
        ('t, c\n "u, v" , x\nw, y\n', ["u, v", "w"]),
        ('t\tc\n"a\tb"\tx\n5" q\ty\n', ["a\tb", '5" q']),
        ('t,c\n"",x\n"""",y\n', [None, '"']),
    ],
)
def test_texts_of_several_lines_and_quotes_within_cells(
    tmp_path: Path, content: str, texts: list[str | None]
) -> None:
    assert _read(tmp_path, content)["t"].to_pylist() == texts


# Files of every kind.


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n".encode("utf-16"),
        "a,b\n1,x\n2,y\n".encode("utf-32"),
        "\ufeffa,b\n1,x\n2,y\n".encode("utf-16-be"),
        b"a,b\r1,x\r2,y\r",
        b"a,b\r\n1,x\r\n\r\n2,y\r\n",
        b"sep=;\na;b\n1;x\n2;y\n",
        b"SEP=;\na;b\n1;x\n2;y\n",
        "\ufeffa,b\n1,x\n\ufeff2,y\n".encode(),
        "a\u200b,b\n\u200e1\u200e,x\n2,\ufeff y \u2060\n".encode(),
        b'"sep=|"\r\na|b\r\n1|x\r\n2|y\r\n',
        b"a,b,\n1,x,\n2,y,\n",
        b" a , b \n 1 , x \n 2 , y \n",
        b",a,b\n0,1,x\n1,2,y\n",
        b"\n\na,b\n1,x\n2,y",
        '"a","b"\n"1","x"\n2\u00a0,"y"\n'.encode(),
    ],
)
def test_the_same_table_in_files_of_many_kinds(tmp_path: Path, content: bytes) -> None:
    assert _read(tmp_path, content).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("a,b\n1,caf\u00e9\n".encode("cp1252"), "line 2 is not UTF-8 text; save the file again"),
        (b"a,b\n1,x\0y\n", "line 2 has a zero byte"),
        ("a,b\n1,2\n3,4,\n", "line 3 has 3 cells where the header names 2"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cell where the header names 2"),
        ("a,b\n1,2\n  \n3,4\n", "line 3 has 1 cell where the header names 2 columns; write the"),
        ("# made by hand\na,b\n1,2\n", "nothing may stand above the names of the columns"),
        ("a,b\n1,x\n\n2,y\na,b\n3,z\n", "line 5 repeats the names of the columns"),
        ("\ufeffa,b\n1,x\n\ufeffa,b\n2,y\n", "line 3 repeats the names of the columns"),
        (",a,b\n0,1,x\n,a,b\n1,2,y\n", "line 3 repeats the names of the columns"),
        ("x\nfoo\nbar, baz\n", "line 3 has 2 cells"),
        ("a,b,a\n1,2,3\n", "called 'a'"),
        ("a,b, a \n1,2,3\n", "called 'a'"),
    ],
)
def test_what_is_not_such_a_file(tmp_path: Path, content: str | bytes, cause: str) -> None:
    assert cause in _refusal(tmp_path, content)


def test_very_wide_rows_and_one_column(tmp_path: Path) -> None:
    header = ",".join(f"x{place}" for place in range(3000))
    row = ",".join("0.123456" for _ in range(3000))
    assert _read(tmp_path, f"{header}\n{row}\n{row}\n").shape == (2, 3000)
    assert _read(tmp_path, "t\n" + "w" * (1 << 25) + "\n")["t"][0].as_py() == "w" * (1 << 25)
    assert _read(tmp_path, "a\n1\n2\n").to_pydict() == {"a": [1, 2]}


# By the schema of an earlier file.


def _fitted(folder: Path, content: str) -> tuple[TableEncoder, pa.Schema]:
    table = _read(folder, content)
    encoder = TableEncoder.from_json(TableEncoder().fit(table).to_json())
    return encoder, file_schema(encoder, table.column_names)


def test_a_row_is_the_same_whatever_the_rest_of_its_file_holds(tmp_path: Path) -> None:
    content = (
        "flag,day,zip,cases,rate,country,when\n"
        "true,2020-01-01,00501,950,1,5,NA,2020-01-01\n"
        "maybe,unknown,10001,1.002,3,25,DE,2020-01-02\n"
        "false,2020-01-02,00501,7,0,5,FR,2020-01-03\n"
        "false,2020-01-02,10001,7,0,5,FR,2020-01-03T10:00\n"
    ).replace(",", ";")
    content = content.replace("1;5;", "1,5;").replace("3;25;", "3,25;").replace("0;5;", "0,5;")
    encoder, schema = _fitted(tmp_path, content)
    header, *rows = content.splitlines()
    whole = encoder.transform(_read(tmp_path, content, schema=schema))
    assert not np.isnan(whole).any()
    np.testing.assert_array_equal(whole, encoder.transform(_read(tmp_path, content)))
    for place, row in enumerate(rows):
        alone = encoder.transform(_read(tmp_path, f"{header}\n{row}\n", schema=schema))
        np.testing.assert_array_equal(alone[0], whole[place])


def test_marks_that_were_missing_in_fit_are_missing_and_categories_stay(tmp_path: Path) -> None:
    encoder, schema = _fitted(tmp_path, "c,d\nNA,a\nDE,?\nFR,b\nFR,a\n")
    table = _read(tmp_path, "c,d\nNA,?\nNA,b\n", schema=schema)
    assert table.to_pydict() == {"c": ["NA", "NA"], "d": [None, "b"]}
    assert np.isnan(encoder.transform(table)).any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("fitted", "new", "expected"),
    [
        ("1.5\n2.5", "abc", None),
        ("1.5\n2.5", '"1,5"', None),
        ("1.5\n2.5", "inf", None),
        ("1.5\n2.5", "\u22123", -3.0),
        ("1.5\n2.5", "NA", float("nan")),
        ("1\n2", "2.5", 2.5),
        ('"1,5"\n"2,5"', '"1.002,5"', 1002.5),
        ('"1,5"\n"2,5"', "2.5", None),
        ('"1,5"\n"2,5"', "7", 7.0),
        ("10%\n20%", "5%", 0.05),
        ("10%\n20%", "5", None),
        ("$10\n$20", '"$1,000"', None),
        ('$10\n"$2,000.5"', '"$1,000"', 1000.0),
        ("2020-01-01\n2020-01-02", "1970-01-02", 86400.0),
        ("2020-01-01\n2020-01-02", "1970-01-01 00:00:05", 5.0),
        ("2020-01-01\n2020-01-02", "yesterday", None),
        ("2020-01-01\n2020-01-02", "9999-12-31", 253402214400.0),
        ("2020-01-01\n2020-01-02", "0001-01-01", -62135596800.0),
        ("1.5\n2.5", "\\N", float("nan")),
        ("1.5\n2.5", "#WERT!", float("nan")),
        ("2020-01-01T00:00Z\n2020-01-02T00:00Z", "1970-01-01T01:00:05+01:00", 5.0),
        ("2020-01-01T00:00Z\n2020-01-02T00:00Z", "1970-01-01T01:00:05", None),
        ("true\nfalse\nfalse", "TRUE", 1.0),
        ("true\nfalse\nfalse", "0", 0.0),
        ("true\nfalse\nfalse", "perhaps", float("nan")),
    ],
)
def test_cells_that_fit_the_schema_and_cells_that_do_not(
    tmp_path: Path, fitted: str, new: str, expected: float | None
) -> None:
    encoder, schema = _fitted(tmp_path, "x,n\n" + fitted.replace("\n", ",1\n") + ",2\n")
    content = f"n,x\n3,\n4,{new}\n"
    if expected is None:
        message = _refusal(tmp_path, content, schema=schema)
        assert f"line 3: {new.strip(chr(34))!r} in column 'x' is not" in message
        # The way out: a missing value is an empty cell.
        _read(tmp_path, "n,x\n3,\n4,\n", schema=schema)
        return
    table = _read(tmp_path, content, schema=schema).select(["x", "n"])
    np.testing.assert_array_equal(encoder.transform(table)[1, 0], expected)
    assert bool(_note(table, "x")) == (new == "perhaps")


def test_what_is_not_in_the_schema_stays_text(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.float64())])
    table = _read(tmp_path, "id,x,y\n007,1,inf\n", schema=schema)
    assert table.to_pydict() == {"id": ["007"], "x": [1.0], "y": ["inf"]}


@pytest.mark.parametrize(
    ("content", "advice", "mended"),
    [
        ("1,2\n3,4\n", "put a row with the names of the columns above", "a,b\n1,2\n3,4\n"),
        ("a,b\n1,2,3\n4,5\n", "need quotes", 'a,b\n1,"2,3"\n4,"5,5"\n'),
        (
            "a,b\n1,\u00e9\n".encode("cp1252"),
            "save the file again with the encoding UTF-8",
            "a,b\n1,\u00e9\n",
        ),
        ("a,b\n1,\u00e9\n".encode("cp1252"), "or Unicode", "a,b\n1,\u00e9\n".encode("utf-16")),
        ("a,b\n1,2\n".encode("utf-16-le"), "save it as CSV in UTF-8", "a,b\n1,2\n"),
        ("a,b\n1,2\n3\n", "write the delimiter for empty cells, too", "a,b\n1,2\n3,\n"),
        ("a,b\n1,2\n \n", "or leave the line out", "a,b\n1,2\n"),
        ("# 1\na,b\n1,2\n", "nothing may stand above the names", "a,b\n1,2\n"),
        ("a,b\n1,x\na,b\n", "leave it out", "a,b\n1,x\n"),
        ("b,c\nb,c\nc,b\n", "name the columns otherwise", "a,d\nb,c\nc,b\n"),
        ("a,a\n1,2\n", "give each column its own name", "a,b\n1,2\n"),
        ("a,,c\n1,2,3\n", "has no name; give it one", "a,b,c\n1,2,3\n"),
    ],
)
def test_the_advice_about_files_helps(
    tmp_path: Path, content: str | bytes, advice: str, mended: str | bytes
) -> None:
    assert advice in _refusal(tmp_path, content)
    assert _read(tmp_path, mended).column_names[0] == "a"


@pytest.mark.parametrize(
    "notation", ["", "x", ";||", ".|,", ",|.|%%", ".|.|", ",|,|", ".||5", ".|||", 5]
)
def test_forged_notations_are_refused(tmp_path: Path, notation: object) -> None:
    table = _read(tmp_path, "x;n\n1,5;1\n2,5;2\n")
    record = json.loads(TableEncoder().fit(table).to_json())
    assert record["columns"][0]["type"]["notation"] == ",|.|"
    record["columns"][0]["type"]["notation"] = notation
    with pytest.raises(ModelFileError):
        TableEncoder.from_json(json.dumps(record))
    del record["columns"][0]["type"]["notation"]  # as in files of earlier versions
    encoder = TableEncoder.from_json(json.dumps(record))
    assert encoder.codecs_[0].type.notation is None


def test_a_small_compressed_file_does_not_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 5000))
    assert read_table(path).num_rows == 5000
    monkeypatch.setattr("flowssl._binary_tables._SMALL", 2**10)
    monkeypatch.setattr("flowssl._binary_tables._GROWTH", 10)
    with pytest.raises(DataError, match="very many times its size"):
        read_table(path)
