"""Text of files and arguments, made safe to show.

A name in a model file or table may hold escape sequences that clear a terminal or set its title,
marks that reverse the direction of writing, and letters that cannot be seen. Whatever is shown of
such text goes through `printable`.
"""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls, formats, lone surrogates, line and paragraph separators."""

# Letters and marks that are drawn as nothing: fillers, joiners and selectors of scripts.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, (*range(0x180B, 0x1810), *range(0xE0100, 0xE01F0)))
)


def printable(text: str, kept: str = "") -> str:
    r"""Return text with an escape such as ``\x1b`` for each character that controls or hides.

    Parameters
    ----------
    text : str
        Any text, lone surrogates included.
    kept : str, default=""
        Characters that stay as they are.

    Returns
    -------
    str
        One line, unless `kept` has line breaks; it can be encoded as UTF-8.

    Examples
    --------
    >>> print(printable("\x1b[2Jcat\u202e"))
    \x1b[2Jcat\u202e
    >>> printable("año 猫 🐈")
    'año 猫 🐈'
    """
    return "".join(
        letter if letter in kept or not _is_hidden(letter) else _escaped(letter) for letter in text
    )


def one_line(error: BaseException) -> str:
    """Return the message of another library's error as one line; its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSEEN or letter in _BLANK


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
