"""Text from elsewhere, made fit for a terminal or a log."""

import errno
import os
import unicodedata

LIMIT = 2000
"""Characters; more says nothing more."""

_CONTROL = frozenset({"Cc", "Zl", "Zp"})
# Unseen, and part of words in Persian and Sinhala and of emoji such as families.
JOINERS = "\u200c\u200d"


def make_printable(text: str) -> str:
    """Text on one line, without control characters, and not for ever.

    Labels, file names and what a server answers are not to be trusted: an escape code moves the
    cursor, a newline forges a line of a log.
    """
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]}..."
    return text if is_printable(text) else "".join(map(_escape, text))


def is_printable(text: str) -> bool:
    """Whether a terminal shows all of it, and is not commanded by it."""
    return text.isprintable() or all(one.isprintable() or one in JOINERS for one in text)


def show_path(path: object) -> str:
    """A path as text that can be encoded, whatever bytes its name has."""
    return os.fsencode(str(path)).decode("utf-8", "backslashreplace")


def holds_control(text: str) -> bool:
    """Whether text contains a control character, or a line or paragraph separator of Unicode.

    Such text can end a line, a header or a field of whatever it is written into.
    """
    return any(map(_is_control, text))


def keep_on_line(text: str) -> str:
    """Text in which only control characters and line ends are escaped, for files that are data.

    Marks of direction stay, other than in `make_printable`.
    """
    return "".join(_escape(one) if _is_control(one) else one for one in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL


def show_reason(error: OSError) -> str:
    """Why standard output could not be written, in words that a person knows."""
    return (
        "standard output is closed" if error.errno == errno.EBADF else str(error.strerror or error)
    )


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # How Python keeps a byte that is not UTF-8; as in JSON, it is shown as that byte.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character if is_printable(character) else repr(character)[1:-1]
