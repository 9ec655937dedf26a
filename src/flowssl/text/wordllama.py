"""WordLlama: a vector for each token, averaged over a text; 256 numbers, fast on a CPU.

Miller (2024), https://github.com/dleemiller/WordLlama. The two files in the package's wheel are read
directly: importing it brings in a dozen modules, configures logging, and looks elsewhere for the
tokenizer, then on the network.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

from flowssl._typing import Booleans
from flowssl.text.embedders import WORDLLAMA, Embedder, Vectors, checksum_of, package_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 8192
"""Tokens of a text that are averaged at most; the average of more hardly changes."""

# Longer texts than this many characters for each token that is read are cut before they are divided
# into tokens, which would take long; words have some four characters for each token.
_CHARACTERS_PER_TOKEN = 16
_RULE = f"mean of at most {MAX_TOKENS} tokens, unit length"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_MISSING = "the embedder 'wordllama' is not installed; install it with: pip install 'flowssl[text]'"


class WordLlama(Embedder):
    """The mean of the vectors of a text's tokens, scaled to unit length.

    A text's vector does not depend on the texts beside it, to the bit.
    """

    name = WORDLLAMA
    limit = MAX_TOKENS

    def __init__(self) -> None:
        root = package_folder(WORDLLAMA)
        if root is None or package_folder("tokenizers") is None:
            raise ImportError(_MISSING)
        self._files = root / _WEIGHTS, root / _TOKENIZER
        self.origin = f"{WORDLLAMA} {version(WORDLLAMA)}"
        missing = [path for path in self._files if not path.is_file()]
        if missing:
            raise ImportError(
                f"{self.origin} does not contain {missing[0].name}; install another version with: "
                "pip install 'flowssl[text]'"
            )
        self.checksum = checksum_of(self._files, root, _RULE)

    def embed(self, texts: list[str], batch_size: int) -> tuple[Vectors, Booleans]:
        """Average the vectors of the tokens."""
        tokenizer, table = _load(*self._files)
        vectors = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        cut = np.zeros(len(texts), dtype=bool)
        most = MAX_TOKENS * _CHARACTERS_PER_TOKEN
        for first in range(0, len(texts), batch_size):
            batch = texts[first : first + batch_size]
            encoded = tokenizer.encode_batch_fast(
                [text[:most] for text in batch], add_special_tokens=False
            )
            for place, (text, tokens) in enumerate(zip(batch, encoded, strict=True), first):
                ids = np.asarray(tokens.ids, dtype=np.int64)
                cut[place] = len(text) > most or len(ids) > MAX_TOKENS
                mean = table[ids[:MAX_TOKENS]].mean(axis=0, dtype=np.float64)
                vectors[place] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return vectors, cut


@lru_cache(maxsize=1)
def _load(weights: Path, tokenizer: Path) -> tuple[Tokenizer, Vectors]:
    """Read the tokenizer and the vectors of its tokens, once in a process."""
    from tokenizers import Tokenizer

    read = Tokenizer.from_file(str(tokenizer))
    read.no_truncation()
    read.no_padding()
    table = safetensors.numpy.load_file(weights)["embedding.weight"].astype(np.float32)
    if table.shape[0] < read.get_vocab_size():
        raise ImportError(f"{weights} has {table.shape[0]} vectors for more tokens; reinstall it")
    return read, table
