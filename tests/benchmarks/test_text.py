"""The benchmark of raw texts: draws of labels, files for the command line, the table."""

import numpy as np
import pandas as pd
import pytest
from benchmarks.text import __main__ as benchmark
from benchmarks.text.data import Corpus, load
from tests.text.texts import needs_wordllama, news


@pytest.fixture
def corpus():
    texts, topics = news(60)
    test_texts, test_topics = news(20, seed=1)
    as_objects = (np.array(part, dtype=object) for part in (texts, topics, test_texts, test_topics))
    return Corpus("made", *as_objects, per_class=8)


def test_a_draw_labels_as_many_texts_of_each_class(corpus, tmp_path):
    first, second = corpus.draw(0), corpus.draw(1)
    assert sorted(corpus.labels[first]) == ["money"] * 8 + ["sport"] * 8
    assert set(first) != set(second)
    train, test = corpus.write(tmp_path, first)
    shown = pd.read_csv(train)["topic"]
    assert np.flatnonzero(shown.notna()).tolist() == first.tolist()
    assert pd.read_csv(test)["topic"].notna().all()


@needs_wordllama
def test_runs_are_kept_and_end_in_a_table(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "load", lambda name, root: corpus)
    asked = ["--corpus", "bbc_news", "--embedder", "wordllama", "--draws", "1"]
    quick = ["--option=--max-epochs", "--option=1", "--results", str(tmp_path)]
    benchmark.main([*asked, *quick])
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 5  # one fit, and two regressions with few and with all labels
    capsys.readouterr()
    benchmark.main([*asked, *quick])
    assert (tmp_path / "runs.jsonl").read_text().splitlines() == lines
    rows = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert any("flowssl, wordllama" in row for row in rows)
    assert all(float(row.split(" | ")[3]) > 0.6 for row in rows)


@pytest.mark.parametrize(
    ("name", "n_train", "n_test", "n_labeled"),
    [("ag_news", 39_259, 7_600, 200), ("bbc_news", 1_483, 742, 25)],
)
def test_the_corpora(shared_data, name, n_train, n_test, n_labeled):
    corpus = load(name, shared_data)
    assert (len(corpus.texts), len(corpus.test_texts)) == (n_train, n_test)
    assert len(corpus.draw(0)) == n_labeled
