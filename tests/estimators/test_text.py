"""Texts as rows of the classifiers: fits, files, samples, and what is refused."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from tests.text.texts import TOPICS, WIDTH, Counting, needs_wordllama, news, words

from flowssl import (
    DIGLMClassifier,
    FlowGMMClassifier,
    SemiConditionalFlowClassifier,
    TextOptions,
    load,
)
from flowssl._persistence import read_model_file, write_model_file
from flowssl.exceptions import DataError, FlowSSLWarning, ModelFileError
from flowssl.preprocessing import TextTableEncoder
from flowssl.text import TextEncoder, encoder

QUICK = {"max_epochs": 1, "random_state": 0, "architecture": "affine"}


def hidden(topics, n=20):
    y = topics.astype(object).copy()
    y[n:] = None
    return y


def model(columns=True, **options):
    return FlowGMMClassifier(text=TextOptions(columns, embedder=words, **options), **QUICK)


@pytest.fixture(scope="module")
def fitted():
    texts, topics = news(120)
    return model().fit(texts, hidden(topics))


def table(n=120, seed=0):
    """Texts that say nothing, and numbers and categories of which one is the topic."""
    _, topics = news(n, seed)
    rng = np.random.default_rng(seed)
    texts, _ = news(n, seed + 100)
    texts = [texts[i] for i in rng.permutation(n)]
    return pd.DataFrame(
        {
            "price": (topics == "sport") * 4 + rng.normal(size=n),
            "title": texts,
            "color": rng.choice(["red", "blue"], n),
        }
    ), topics


@pytest.mark.parametrize(
    "kind", [FlowGMMClassifier, SemiConditionalFlowClassifier, DIGLMClassifier]
)
def test_every_classifier_learns_from_texts(kind):
    texts, topics = news(120)
    fitted = kind(text=TextOptions(True, embedder=words), **QUICK).fit(texts, hidden(topics))
    assert fitted.score(*news(60, seed=1)) > 0.85
    assert fitted.encoder_.row_kind == "text"


@pytest.mark.parametrize(
    "wrapped", [list, np.array, pd.Series, pl.Series, pa.array], ids=lambda kind: kind.__name__
)
def test_any_list_of_texts_predicts_the_same(fitted, wrapped):
    texts, _ = news(20, seed=2)
    np.testing.assert_array_equal(fitted.predict_proba(wrapped(texts)), fitted.predict_proba(texts))


@pytest.mark.parametrize("container", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas])
def test_columns_beside_the_texts_are_a_table(container, tmp_path):
    frame, topics = table()
    fitted = model("title").fit(container(frame), hidden(topics, 60))
    test, truth = table(80, seed=1)
    proba = fitted.predict_proba(container(test))
    assert (fitted.classes_[proba.argmax(1)] == truth).mean() > 0.85  # from the price
    names = fitted.encoder_.get_feature_names_out().tolist()
    assert names[0] == "price"
    assert names[2:] == [f"title_{i}" for i in range(WIDTH)]
    fitted.save(tmp_path / "m.flowssl")
    read = load(tmp_path / "m.flowssl", embedder=words)
    np.testing.assert_array_equal(read.predict_proba(container(test)), proba)
    rows, labels = read.sample(5, random_state=0)
    assert type(rows) is type(container(frame))
    again, _ = fitted.sample(5, random_state=0)
    as_pandas = rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()
    assert as_pandas.columns.tolist() == ["price", "title", "color"]
    assert set(as_pandas["title"]) <= set(frame["title"])
    other = again if isinstance(again, pd.DataFrame) else again.to_pandas()
    pd.testing.assert_frame_equal(as_pandas, other)
    assert len(labels) == 5


def test_columns_of_an_array_go_by_position(tmp_path):
    frame, topics = table()
    array = frame.to_numpy(dtype=object)
    fitted = model(1).fit(array, hidden(topics, 60))
    by_name = model("title").fit(frame, hidden(topics, 60))
    np.testing.assert_array_equal(fitted.predict(array), by_name.predict(frame))
    rows, _ = fitted.sample(3, random_state=0)
    assert rows.shape == (3, 3)
    assert set(rows[:, 1]) <= set(frame["title"])
    fitted.save(tmp_path / "m.flowssl")
    read = load(tmp_path / "m.flowssl", embedder=words)
    np.testing.assert_array_equal(read.predict_proba(array), fitted.predict_proba(array))


def test_two_columns_of_texts():
    first, topics = news(120)
    frame = pd.DataFrame({"title": first, "body": first[::-1]})
    fitted = model(["body", "title"]).fit(frame, hidden(topics))
    swapped = frame[["body", "title"]]
    np.testing.assert_array_equal(fitted.predict_proba(swapped), fitted.predict_proba(frame))
    assert fitted.encoder_.get_feature_names_out()[[0, WIDTH]].tolist() == ["body_0", "title_0"]
    rows, _ = fitted.sample(4, random_state=0)
    pairs = set(zip(frame["title"], frame["body"], strict=True))
    assert set(zip(rows["title"], rows["body"], strict=True)) <= pairs


def test_samples_of_a_class_are_training_texts_of_its_topic(fitted):
    texts, topics = news(120)
    known = dict(zip(texts, topics, strict=True))
    for topic in TOPICS:
        rows, labels = fitted.sample(40, topic, temperature=0.25, random_state=0)
        assert set(labels) == {topic}
        assert np.mean([known[text] == topic for text in rows]) > 0.9


def test_strange_texts_are_unusual(fitted):
    texts, _ = news(200, seed=3)
    usual = np.quantile(fitted.ood_score(texts), 0.95)
    assert (fitted.ood_score(["zebra quark", "xylophone"]) > usual).all()


def test_blank_texts_are_counted_and_their_classes_uncertain():
    texts, topics = news(200)
    texts[::5] = [None] * 40
    with pytest.warns(FlowSSLWarning, match="40 of 200 texts are missing or blank"):
        fitted = model().fit(texts, hidden(topics, 40))
    with pytest.warns(FlowSSLWarning, match="2 of 2"):
        proba = fitted.predict_proba(["", None])
    assert proba.max() < 0.95


def test_numbers_that_are_constant_or_repeat_are_left_out():
    def more(texts):
        vectors = words(texts)
        return np.hstack([vectors, vectors[:, :2], np.ones((len(texts), 1))])

    texts, topics = news(120)
    fitted = FlowGMMClassifier(text=TextOptions(True, embedder=more), **QUICK)
    fitted.fit(texts, hidden(topics))
    assert fitted.encoder_.transform(texts).shape == (120, WIDTH)
    assert np.isfinite(fitted.score_samples(texts)).all()
    assert fitted.sample(2, random_state=0)[0].shape == (2,)


def test_a_fit_embeds_each_text_once():
    seen = []

    def recorded(texts):
        seen.extend(texts)
        return words(texts)

    texts, topics = news(60)
    FlowGMMClassifier(text=TextOptions(True, embedder=recorded), **QUICK).fit(texts, hidden(topics))
    assert sorted(seen[1:]) == sorted(set(texts))  # the first says how wide vectors are


def test_rows_of_weight_zero_are_as_none():
    texts, topics = news(60)
    weight = np.ones(60)
    weight[50:] = 0
    weighted = model().fit(texts, hidden(topics), sample_weight=weight)
    without = model().fit(texts[:50], hidden(topics)[:50])
    np.testing.assert_array_equal(weighted.predict_proba(texts), without.predict_proba(texts))


def test_parameters_and_cross_validation():
    texts, topics = news(60)
    short = FlowGMMClassifier(text=True, **QUICK).set_params(text__embedder=words)
    assert short.text.columns is True
    copied = clone(short)
    assert copied.text is not short.text
    assert cross_val_score(copied, texts, topics, cv=2).mean() > 0.7


# --- files


@pytest.fixture
def counting(monkeypatch):
    """The embedder that any name stands for."""
    found = Counting()
    monkeypatch.setattr(encoder, "find_embedder", lambda name, *, may_download: found)
    return found


@pytest.fixture(scope="module")
def named():
    """A model whose embedder has a name."""
    texts, topics = news(60)
    options = TextOptions(True, embedder="counting", cache=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "find_embedder", lambda name, *, may_download: Counting())
        return FlowGMMClassifier(text=options, **QUICK).fit(texts, hidden(topics))


def test_a_file_keeps_the_embedders_name_and_checksum(named, counting, monkeypatch, tmp_path):
    named.save(tmp_path / "m.flowssl")
    read = load(tmp_path / "m.flowssl")
    texts, _ = news(20, seed=2)
    np.testing.assert_array_equal(read.predict_proba(texts), named.predict_proba(texts))
    assert read.text.embedder == "counting"
    monkeypatch.setattr(counting, "checksum", "cd" * 32)
    with pytest.raises(ModelFileError, match=r"checksum abab.*is counting 1.0 .checksum cdcd"):
        read.predict(texts)


@pytest.mark.parametrize(("chosen", "loaded"), [(False, False), (True, True), ("somewhere", True)])
def test_a_loaded_model_keeps_no_cache_that_was_switched_off(
    named, counting, tmp_path, chosen, loaded
):
    """Nor does it write to a folder that its file names, which may be a stranger's."""
    model = clone(named).set_params(
        text__cache=tmp_path / chosen if chosen == "somewhere" else chosen
    )
    texts, topics = news(60)
    model.fit(texts, hidden(topics)).save(tmp_path / "m.flowssl")
    assert load(tmp_path / "m.flowssl").encoder_.texts.cache is loaded


def test_a_loaded_model_is_fitted_without_its_embedder_but_cannot_predict(
    named, monkeypatch, tmp_path
):
    named.save(tmp_path / "m.flowssl")

    def missing(name, *, may_download):
        assert not may_download
        raise ImportError("install it with: pip install counting")

    monkeypatch.setattr(encoder, "find_embedder", missing)
    read = load(tmp_path / "m.flowssl")
    assert len(read.sample(3, random_state=0)[0]) == 3
    with pytest.raises(ImportError, match=r"reads texts with counting 1.0: install it with: pip"):
        read.predict(["goal"])


def test_a_function_is_given_again(fitted, tmp_path):
    fitted.save(tmp_path / "m.flowssl")
    texts, _ = news(20, seed=2)
    with pytest.raises(ValueError, match=r"flowssl.load\(path, embedder=function\)"):
        load(tmp_path / "m.flowssl").predict(texts)
    read = load(tmp_path / "m.flowssl", embedder=words)
    np.testing.assert_array_equal(read.predict_proba(texts), fitted.predict_proba(texts))
    assert read.text.embedder is words
    wrong = load(tmp_path / "m.flowssl", embedder=lambda texts: words(texts)[:, :5])
    with pytest.raises(ValueError, match=f"vectors of 5 numbers, and had {WIDTH} in fit"):
        wrong.predict(texts)


@needs_wordllama
def test_a_function_in_the_place_of_an_embedder_by_name_is_refused(tmp_path):
    texts, topics = news(40)
    FlowGMMClassifier(text=True, **QUICK).fit(texts, topics).save(tmp_path / "m.flowssl")
    with pytest.raises(ValueError, match="texts embedded by wordllama; leave embedder out"):
        load(tmp_path / "m.flowssl", embedder=words)


def test_an_embedder_for_a_model_without_texts_is_refused(tmp_path):
    FlowGMMClassifier(**QUICK).fit([[0.0], [1.0], [0.1], [1.1]], [0, 1, None, None]).save(
        tmp_path / "m.flowssl"
    )
    with pytest.raises(ValueError, match="a model without texts"):
        load(tmp_path / "m.flowssl", embedder=words)


def test_kept_texts_are_few_short_and_can_be_none(tmp_path):
    texts, topics = news(120)
    texts[0] = "match " * 5000
    few = model(keep=10).fit(texts, hidden(topics))
    assert len(set(few.sample(200, random_state=0)[0])) <= 10
    long = TextTableEncoder(True, TextEncoder(words)).fit(texts[:2])
    assert len(long.inverse_transform(long.transform(texts[:2]))[0]) == 10_000
    none = model(keep=0).fit(texts, hidden(topics))
    with pytest.raises(ValueError, match=r"no training text was kept.*keep above 0"):
        none.sample(1)
    none.save(tmp_path / "m.flowssl")
    tensors = read_model_file(tmp_path / "m.flowssl").tensors
    assert len(tensors["encoder.levels"]) == 0


def forged(path, change):
    file = read_model_file(path)
    tensors = {name: array.copy() for name, array in file.tensors.items()}
    record = json.loads(str(file.manifest["encoder"]))
    change(record, tensors)
    kept = ("created", "versions", "schema_version", "tensors_sha256")
    manifest = {key: value for key, value in file.manifest.items() if key not in kept}
    write_model_file(path, {**manifest, "encoder": json.dumps(record)}, tensors)


def _set(group, key, value):
    group[key] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda record, tensors: _set(record, "row_kind", "table"),
        lambda record, tensors: _set(record, "container", "cloud"),
        lambda record, tensors: _set(record, "columns", []),
        lambda record, tensors: _set(record, "columns", [0, 1]),
        lambda record, tensors: _set(record, "columns", [[]]),
        lambda record, tensors: _set(record, "names", ["a", "b"]),
        lambda record, tensors: _set(record, "n_features", "1"),
        lambda record, tensors: _set(record, "texts", {}),
        lambda record, tensors: _set(record["texts"], "n_dimensions", 10**9),
        lambda record, tensors: _set(record["texts"], "n_features", 2),
        lambda record, tensors: _set(record, "table", {}),
        lambda record, tensors: _set(record, "n_features", 2**32),
        lambda record, tensors: _set(record, "n_features", True),
        lambda record, tensors: _set(record, "columns", [0, 0]),
        lambda record, tensors: _set(record, "columns", [1]),
        lambda record, tensors: _set(record, "keep", -1),
        lambda record, tensors: _set(record, "keep", 10**50),
        lambda record, tensors: _set(record["texts"], "origin", ["x"]),
        lambda record, tensors: _set(record["texts"], "checksum", "ab" * 31),
        lambda record, tensors: _set(tensors, "encoder.more", np.zeros(1)),
        lambda record, tensors: tensors.pop("encoder.used"),
        lambda record, tensors: _set(tensors, "encoder.used", np.array([0, 0])),
        lambda record, tensors: _set(tensors, "encoder.used", np.array([10**12])),
        lambda record, tensors: _set(tensors, "encoder.texts", np.zeros(9, dtype=np.uint8)),
        lambda record, tensors: _set(tensors, "encoder.texts", tensors["encoder.texts"][:-4]),
        lambda record, tensors: _set(tensors, "encoder.levels", tensors["encoder.levels"][1:]),
        lambda record, tensors: _set(tensors, "encoder.least", tensors["encoder.least"] * np.nan),
    ],
)
def test_forged_files_are_refused(named, tmp_path, change):
    path = tmp_path / "m.flowssl"
    named.save(path)
    forged(path, change)
    with pytest.raises(ModelFileError):
        load(path)


def test_a_small_file_of_many_texts_is_refused(named, tmp_path):
    """Zeros compress a thousandfold."""
    import zlib

    path = tmp_path / "m.flowssl"
    named.save(path)
    bomb = np.frombuffer(zlib.compress(b"[" + b" " * 200 * 2**20), dtype=np.uint8)
    forged(path, lambda record, tensors: _set(tensors, "encoder.texts", bomb))
    with pytest.raises(ModelFileError, match="longer than texts can be"):
        load(path)


def test_rows_of_texts_without_embeddings_are_not_read(named, tmp_path):
    """Ten million empty rows would take a gigabyte."""
    import zlib

    path = tmp_path / "m.flowssl"
    named.save(path)
    rows = b"[" + b",".join([b"[null]"] * 10_000_000) + b"]"
    packed = np.frombuffer(zlib.compress(rows, level=1), dtype=np.uint8)

    def change(record, tensors):
        tensors |= {"encoder.texts": packed, "encoder.levels": tensors["encoder.levels"][:1]}

    forged(path, change)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="longer than texts can be"):
        load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


# --- refusals


@pytest.mark.parametrize(
    ("text", "X", "message"),
    [
        ("titel", table()[0], "no column 'titel', which is to hold texts; did you mean 'title'"),
        ("nothing", table()[0], "X has 'price', 'title', 'color'"),
        ("price", table()[0], "row 0 of column 'price'"),
        (True, table()[0], "row 0 of column 'price'"),
        (True, [1.5, 2.5], "row 0 is 1.5"),
        ("title", [["a", "b"], ["c", "d"]], "by position, 0 to 1, not by 'title'"),
        (2, [["a", "b"], ["c", "d"]], "not by 2"),
        ("title", ["a", "b"], "use text=True for a list of texts"),
        ([], table()[0], "no column of texts is named"),
    ],
)
def test_columns_that_are_no_texts_are_refused(text, X, message):
    y = ["a", "b"] * (len(X) // 2)
    with pytest.raises(DataError, match=message):
        model(text).fit(X, y)


def test_other_columns_at_prediction_are_refused():
    frame, topics = table()
    fitted = model("title").fit(frame, hidden(topics, 60))
    with pytest.raises(DataError, match="no column 'title'"):
        fitted.predict(frame.drop(columns="title"))
    with pytest.raises(ValueError, match="X has 2 columns, and had 3 in fit"):
        fitted.predict(frame.drop(columns="price"))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"price": "cost"}))


def test_images_and_texts_exclude_each_other():
    both = FlowGMMClassifier(images=(1, 2, 2), text=True)
    with pytest.raises(ValueError, match="either images or texts"):
        both.fit(["a", "b"], [0, 1])


def test_a_changed_kind_is_not_saved(tmp_path):
    changed = model().fit(*_named_rows())
    changed.set_params(text=None)
    with pytest.raises(ValueError, match="text=None was changed after fit"):
        changed.save(tmp_path / "m.flowssl")


def _named_rows():
    texts, topics = news(40)
    return texts, hidden(topics)
