"""Text from elsewhere, made fit for a terminal or a log."""

LIMIT = 2000
"""Characters; more says nothing more."""


def make_printable(text: str) -> str:
    """Text on one line, without control characters, and not for ever.

    Labels, file names and what a server answers are not to be trusted: an escape code moves the
    cursor, a newline forges a line of a log.
    """
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]}..."
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
