"""Texts as rows: embeddings of one or several columns of text.

An embedder turns a text into a vector. The default, "wordllama", has its weights in its wheel and
works offline after ``pip install 'flowssl[text]'``.
"""

from flowssl.text.encoder import TextEncoder

__all__ = ["TextEncoder"]
