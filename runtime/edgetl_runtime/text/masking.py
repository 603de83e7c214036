"""Addresses as they may be shown: without names, passwords and tokens.

An address is opened as its owner wrote it, and shown as `mask` gives it. Where it is not plain what
is a secret, it is hidden: passwords of cameras hold any character, often without the escapes that a
URL would need, so that no parser of URLs can be trusted to find them.
"""

import re
from typing import Final

from edgetl_runtime.text.credentials import split_credentials

HIDDEN: Final = "***"

# A sentence goes on, or ends, behind an address.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2}\S*?)([:;,.?!]*)(?=\s|\Z)")
# Name and password without `rtsp://` before them, or with what somebody took for it.
_BARE = re.compile(r"(?<![\w*/:\\])(?:\w+:\\+|//)?[^\s:/@*\"']+:(?!/)[^\s@*]+@(?=[\w\[])")
_USER = re.compile(r"[\w.-]+")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})(?:.*@)?([^?#]*)(?:([?#])(.*))?", re.DOTALL)
# Where a text was cut at a space in the password: no host ends like this.
_NO_PORT = re.compile(r"^[^\[].*:.*[^0-9]|^[^\[].*:.*:")
# Letters and digits by the dozen are a key, such as in `/4kQz81LmW0xTb7aP`.
_KEY = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}")


def mask(address: str) -> str:
    """An address without what may be a secret; what is not a URL is left as it is.

    Hidden are all before the last @, each value in the query, in the path what follows a = (some
    cameras want `/user=name_password=secret`), and what looks like a key.

    Args:
        address: Such as `rtsp://user:password@host/stream`; a file's name, too.
    """
    if (match := _PARTS.fullmatch(address)) is None or address.lower().startswith("file:"):
        return address
    scheme, place, mark, query = match.groups()
    if re.search("[?#].*@", address, re.DOTALL) and "@" in split_credentials(address).url:
        # A password, or the value of a query: what follows the last @ may be a part of it, too.
        return scheme + HIDDEN
    host, *path = place.split("/")
    if _NO_PORT.search(host):
        host = HIDDEN
    user = _mask_user(address[len(scheme) :])
    shown = "/".join([host, *map(_mask_segment, path)])
    return f"{scheme}{user}{shown}" + (mark + _mask_query(query) if mark else "")


def _mask_user(rest: str) -> str:
    """What stands before the last @; a plain name without a password is not a secret."""
    before, at, _ = rest.rpartition("@")
    plain = _USER.fullmatch(before) and not _KEY.search(before)
    return f"{before if plain else HIDDEN}@" if at else ""


def mask_text(text: str, *addresses: str) -> str:
    """A text in which every address is masked.

    Args:
        text: Such as the message of an error.
        addresses: Those known to be quoted in it, which may hold spaces.
    """
    for address in addresses:
        text = text.replace(address, mask(address))
    text = _ADDRESS.sub(lambda match: mask(match[1]) + match[2], text)
    return _BARE.sub(f"{HIDDEN}@", text)


def _mask_segment(segment: str) -> str:
    name, equals, _ = segment.partition("=")
    return _KEY.sub(HIDDEN, name) + (f"={HIDDEN}" if equals else "")


def _mask_query(query: str) -> str:
    named = (value.partition("=") for value in re.split("[&;]", query))
    return "&".join(
        f"{_KEY.sub(HIDDEN, name)}={HIDDEN}" if value.strip("=") else HIDDEN
        for name, _, value in named
    )
