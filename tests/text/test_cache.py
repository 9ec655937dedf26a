"""The cache of embeddings: what is in it is not embedded again, and it never changes a result."""

import sqlite3
import threading

import numpy as np
import pytest
from tests.text.texts import Counting, news, words

from flowssl.text import TextEncoder, cache, encoder
from flowssl.text.cache import EmbeddingCache, Known, default_folder

CHECKSUM = "ab" * 32


@pytest.fixture
def counting(monkeypatch):
    found = Counting()
    monkeypatch.setattr(encoder, "find_embedder", lambda name, *, may_download: found)
    return found


@pytest.fixture
def fitted(counting, tmp_path):
    return TextEncoder("counting", cache=tmp_path).fit(["first"])


def expected(texts):
    return words(texts).astype(np.float32)


def test_no_text_is_embedded_twice(counting, fitted, tmp_path):
    texts, _ = news(300)
    found = fitted.transform(texts)
    assert sorted(counting.seen) == sorted({"first", *texts})
    counting.seen.clear()
    again = TextEncoder("counting", cache=tmp_path).fit(texts)
    np.testing.assert_array_equal(again.transform([*texts, "new one"])[:-1], found)
    assert counting.seen == ["new one"]
    np.testing.assert_array_equal(found, expected(texts))


def test_the_folder_is_the_users_by_default(counting, monkeypatch, tmp_path):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "mine"))
    TextEncoder("counting").fit(["a"])
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["embeddings-1.sqlite"]
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_folder() == tmp_path / "flowssl"


def test_without_a_cache_nothing_is_written(counting, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    for _ in range(2):
        TextEncoder("counting", cache=False).fit(["a"])
    counting.checksum = None  # as of a function
    TextEncoder("counting").fit(["a"])
    assert counting.seen == ["a", "a", "a"]
    assert list(tmp_path.iterdir()) == []


def test_another_embedder_has_vectors_of_its_own(tmp_path):
    known = {"a": Known(np.ones(3, dtype=np.float32), cut=False)}
    EmbeddingCache(tmp_path, CHECKSUM).write(known)
    assert EmbeddingCache(tmp_path, "cd" * 32).read(["a"]) == {}
    assert EmbeddingCache(tmp_path, CHECKSUM).read(["a", "b"]).keys() == {"a"}


def damage_header(path):
    path.write_bytes(b"not a database" * 1000)


def damage_end(path):
    path.write_bytes(path.read_bytes()[:5000])


def damage_records(path):
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, record FROM vectors").fetchall()
        for key, record in rows:
            changed = record[:9] + bytes([record[9] ^ 1]) + record[10:]
            connection.execute("UPDATE vectors SET record = ? WHERE key = ?", (changed, key))
    connection.close()


def damage_types(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET record = 'text'")
    connection.close()


def drop_table(path):
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE vectors")
    connection.close()


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        damage_header,
        damage_end,
        damage_records,
        damage_types,
        drop_table,
        replace_by_folder,
        empty,
    ],
)
def test_a_damaged_cache_changes_no_vector(fitted, counting, tmp_path, damage):
    texts, _ = news(200)
    fitted.transform(texts)
    damage(tmp_path / "embeddings-1.sqlite")
    for _ in range(2):
        np.testing.assert_array_equal(fitted.transform(texts), expected(texts))
    if damage is not replace_by_folder:
        counting.seen.clear()
        fitted.transform(texts)
        assert counting.seen == []


def test_a_locked_or_impossible_cache_is_done_without(counting, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_WAIT_SECONDS", 0.01)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "inner", tmp_path / "locked"):
        fitted = TextEncoder("counting", cache=folder).fit(["a"])
        path = folder / "embeddings-1.sqlite"
        lock = sqlite3.connect(path, isolation_level=None) if path.exists() else None
        if lock is not None:
            lock.execute("BEGIN EXCLUSIVE")
        np.testing.assert_array_equal(fitted.transform(["goal"]), expected(["goal"]))
        if lock is not None:
            lock.close()


def test_the_oldest_go_first(tmp_path):
    small = EmbeddingCache(tmp_path, CHECKSUM, max_bytes=200_000)
    vector = np.ones(500, dtype=np.float32)
    for i in range(300):
        small.write({f"text {i}": Known(vector, cut=False)})
    assert small.path.stat().st_size < 300_000
    known = small.read([f"text {i}" for i in range(300)])
    assert "text 0" not in known
    assert "text 299" in known
    assert 20 < len(known) < 100


def test_threads_share_a_cache(fitted, tmp_path):
    texts, _ = news(200)
    found = [None] * 4

    def work(i):
        found[i] = fitted.transform(texts)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected(texts))
