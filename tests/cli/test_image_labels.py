"""Which image a row of a table of labels means, and when it is an error."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowssl._image_files import ImageFiles
from flowssl.cli import main
from flowssl.cli.image_labels import image_labels
from flowssl.exceptions import DataError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9.png") for form in ("NFC", "NFD"))


def labels_of(names, rows, left_out=()):
    files = ImageFiles(names, np.zeros((len(names), 1, 2, 2), np.uint8), dict.fromkeys(left_out))
    given, labels = zip(*rows, strict=True)
    return image_labels(files, given, np.array([*labels, None], dtype=object)[:-1]).tolist()


@pytest.mark.parametrize(
    ("names", "given", "meant"),
    [
        (["a.png", "x/a.png"], "a.png", "a.png"),
        (["a.png", "x/a.png"], "x/a.png", "x/a.png"),
        (["a.png", "x/a.png"], "./a.png", "a.png"),
        (["x/a.png", "b.png"], "a.png", "x/a.png"),
        (["x/a.png", "b.png"], "x\\a.png", "x/a.png"),
        (["x/a.png", "b.png"], ".\\x\\a.png", "x/a.png"),
        (["x/a.png", "b.png"], " ./x//a.png ", "x/a.png"),
        (["x/a.png", "b.png"], "X/A.PNG", "x/a.png"),
        (["x/a.png", "b.png"], "A.PNG", "x/a.png"),
        (["A.png", "a.png"], "a.png", "a.png"),
        ([COMPOSED, "b.png"], DECOMPOSED, COMPOSED),
        ([DECOMPOSED, "b.png"], COMPOSED, DECOMPOSED),
        ([f"x/{DECOMPOSED}", "b.png"], COMPOSED, f"x/{DECOMPOSED}"),
        ([COMPOSED, DECOMPOSED], DECOMPOSED, DECOMPOSED),
        (["1", "2"], 1, "1"),
    ],
)
def test_the_image_that_a_name_means(names, given, meant):
    labels = labels_of(names, [(given, "cat")])
    assert labels == ["cat" if name == meant else None for name in names]


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["x/a.png", "y/a.png"], "a.png"),
        (["A.png", "a.png"], "A.PNG"),
        (["A.png", "x/a.png"], "a.png"),
        (["x/A.png", "y/a.png"], "A.PNG"),
    ],
)
def test_a_name_that_may_mean_several_is_an_error(names, given):
    with pytest.raises(DataError, match=rf"{given} may be {', '.join(names)}; give the path"):
        labels_of(names, [(given, "cat")])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("a.png", "cat"), ("b.png", "cat"), ("a.png", "dog")],
            r"a.png has the label 'cat' in row 1 and the label 'dog' in row 3 \(below the header\); leave one",
        ),
        ([("a.png", "cat"), ("a.png", None)], "the label 'cat' in row 1 and no label in row 2"),
        ([("a.png", None), ("./a.png", "cat")], "no label in row 1 and the label 'cat' in row 2"),
        ([("a.png", 1), ("A.PNG", 2)], "the label '1' in row 1 and the label '2' in row 2"),
        ([("a.png", "cat"), (None, "dog")], r"row 2 \(below the header\) names no file"),
        ([("", None)], r"row 1 \(below the header\) names no file"),
        ([("A1.jpg", "cat"), ("zz", 1)], "names A1.jpg, zz, which are not among the images"),
        ([("a", "cat")], r"names a, which is not among the images; did you mean a.png\?"),
        ([("images/b.png", "cat")], r"not among the images; did you mean b.png\?"),
    ],
)
def test_labels_that_cannot_be_right_are_errors(rows, message):
    with pytest.raises(DataError, match=message):
        labels_of(["a.png", "b.png"], rows)


def test_the_same_label_twice_and_labels_of_bad_images_are_fine():
    rows = [("a.png", "cat"), ("a.png", "cat"), ("b.png", None), ("b.png", None), ("c.png", "dog")]
    assert labels_of(["a.png", "b.png"], rows, left_out=["c.png"]) == ["cat", None]


def test_the_command_line_names_the_table_and_reads_deep_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("dark").mkdir()
    for name in "abcd":
        Image.fromarray(np.full((8, 8), 4000, dtype=np.uint16)).save(f"dark/{name}.png")
    Path("l.csv").write_text("file,label\na.png,1\nb.png,2\na.png,2\n")
    command = "fit dark --labels l.csv -o m.flowssl"
    assert main(command.split()) == 2
    assert "no value above 4,000, where white is 65,535; give" in capsys.readouterr().err
    assert main([*command.split(), "--image-white", "4095"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("flowssl: l.csv: a.png has the label '1' in row 1 and the label '2'")
    assert main([*command.split(), "--image-white", "-1"]) == 2
    assert "must be a number above 0, got '-1'" in capsys.readouterr().err


def test_many_bad_images_are_counted_and_a_few_described(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("p").mkdir()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save("p/a.png")
    for number in range(30):
        Path(f"p/bad{number:02d}.png").write_bytes(b"text")
    Path("l.csv").write_text("file,label\nnone.png,1\n")
    assert main(["fit", "p", "--labels", "l.csv", "-o", "m.flowssl", "--bad-images", "skip"]) == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert "names none.png" in error
    assert len(notes) == 21
    assert notes[0].startswith("note: bad00.png is left out: it is not a PNG")
    assert notes[-1] == (
        "note: 30 of 31 images are left out, bad20.png, bad21.png, bad22.png, bad23.png, bad24.png, "
        "bad25.png, bad26.png, bad27.png, bad28.png, bad29.png among them"
    )
