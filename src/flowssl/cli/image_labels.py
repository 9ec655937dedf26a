"""Which image each row of a table of labels means."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

from flowssl.cli.console import shortened
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from flowssl._image_files import ImageFiles
    from flowssl.cli.source import Labels

_SHOWN = 8  # names in a message


class ImageNames:
    """The images that names in a table of labels mean.

    A name means the image with just this path inside the folder or zip file. If there is none, it
    means the one with the same path in another Unicode form, with backslashes or with ``./`` in
    front. If there is none, it means the image of this name in any folder, or with this path in
    other case; and at last the image of this name in any folder and in any case.

    Parameters
    ----------
    names : sequence of str
        Paths of all images.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._exact: dict[str, list[str]] = {}
        self._paths: dict[str, list[str]] = {}
        self._loose: dict[str, list[str]] = {}
        self._bases: dict[str, list[str]] = {}
        for name in names:
            path = _path(name)
            base = path.rpartition("/")[2]
            self._exact.setdefault(name, []).append(name)
            self._paths.setdefault(path, []).append(name)
            for key in {("base", base), ("path", path.casefold())}:
                self._loose.setdefault("\0".join(key), []).append(name)
            self._bases.setdefault(base.casefold(), []).append(name)

    def find(self, given: str) -> str | None:
        """Return the path of the image that a name means, None if there is none.

        Raises
        ------
        DataError
            If it may mean several.
        """
        path = _path(given)
        folded = path.casefold()
        loose = [*self._loose.get(f"base\0{path}", []), *self._loose.get(f"path\0{folded}", [])]
        for found in (
            self._exact.get(given, []),
            self._paths.get(path, []),
            sorted(set(loose)),
            self._bases.get(folded, []),
        ):
            if len(found) > 1:
                raise DataError(
                    f"{given} may be {shortened(found, _SHOWN)}; give the path of the image that "
                    "is meant."
                )
            if found:
                return found[0]
        return None

    def hint(self, given: str) -> str:
        """Return the question whether an image with a similar name is meant, if there is one."""
        folded = _path(given).casefold()
        base = folded.rpartition("/")[2]
        known = {_path(name).casefold(): name for name in self._names}
        same = [name for path, name in known.items() if base in _base_and_stem(path)]
        near = get_close_matches(folded, known, n=1, cutoff=0.7)
        likely = same[:1] or [known[match] for match in near]
        return f"; did you mean {likely[0]}?" if likely else "."


def image_labels(
    files: ImageFiles, given: Sequence[object], labels: Labels
) -> npt.NDArray[np.generic]:
    """Return the labels of images, None for those that a table does not name.

    Parameters
    ----------
    files : ImageFiles
        The images. The table may also name those that were left out.
    given : sequence of m objects
        The names in the table, one in each row.
    labels : ndarray of shape (m,)
        The labels in the table, None where there is none.

    Returns
    -------
    ndarray of shape (n,), object

    Raises
    ------
    DataError
        If rows have no name, name images that do not exist, or give one image two labels. It names
        the rows, counted without the header.
    """
    import numpy as np

    images = ImageNames([*files.names, *files.left_out])
    rows: dict[str, int] = {}
    unknown = []
    for row, name in enumerate(given):
        if name is None or not str(name).strip():
            raise DataError(f"row {row + 1} (below the header) names no file.")
        found = images.find(str(name))
        if found is None:
            unknown.append(str(name))
        elif labels[rows.setdefault(found, row)] != labels[row]:
            first = rows[found]
            raise DataError(
                f"{found} has {_described(labels[first])} in row {first + 1} and "
                f"{_described(labels[row])} in row {row + 1} (below the header); leave one of the two "
                "rows out."
            )
    if unknown:
        listed = shortened(list(dict.fromkeys(unknown)), _SHOWN)
        verb = "are" if len(unknown) > 1 else "is"
        raise DataError(
            f"it names {listed}, which {verb} not among the images{images.hint(unknown[0])}"
        )
    y = np.full(len(files.names), None, dtype=object)
    for place, name in enumerate(files.names):
        if name in rows:
            y[place] = labels[rows[name]]
    return y


def _path(name: str) -> str:
    """Return a path with slashes, composed Unicode characters and no empty parts."""
    parts = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _base_and_stem(path: str) -> tuple[str, str]:
    base = path.rpartition("/")[2]
    return base, base.rpartition(".")[0]


def _described(label: object) -> str:
    return "no label" if label is None else f"the label {str(label)!r}"
