"""The name and password in an address, as their owners write them.

Cameras' passwords hold any character, and few people know that / ? # @ in them ought to be written
%2F %3F %23 %40. Parsers of URLs end the host at the first / ? or #.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

_END = re.compile(r"[/?#]")
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\[\]:/?#@\s]+)(?::([0-9]{1,5}))?")


class Credentials(NamedTuple):
    """An address taken apart.

    Attributes:
        url: Without name and password.
        user: Without escapes; None if there is none.
        password: Without escapes; empty if there is none.
    """

    url: str
    user: str | None
    password: str

    @property
    def escaped(self) -> str:
        """The whole address with escapes, as every parser of URLs reads it."""
        if self.user is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        password = f":{quote(self.password, safe='')}" if self.password else ""
        return f"{scheme}://{quote(self.user, safe='')}{password}@{rest}"


def split_credentials(address: str) -> Credentials:
    """Finds where name and password end.

    That is at the last @ of what RFC 3986, section 3.2, calls the authority. Where no host would be
    left then (`http://user:a/b@camera`), or where the last @ of all stands before an IP address
    and this one does not (`http://user:1/2@192.168.1.5`), it is at the last @ of all.

    Args:
        address: A URL.
    """
    scheme, separator, rest = address.partition("://")
    authority = rest[: _find_end(rest)]
    strict, whole = authority.rfind("@"), rest.rfind("@")
    at = strict
    if whole > strict and (
        not _is_place(authority[strict + 1 :])
        or (_is_address(rest[whole + 1 :]) and not _is_address(authority[strict + 1 :]))
    ):
        at = whole
    if at < 0:
        return Credentials(address, None, "")
    user, _, password = rest[:at].partition(":")
    return Credentials(f"{scheme}{separator}{rest[at + 1 :]}", unquote(user), unquote(password))


def find_host(address: str) -> str:
    """The host of a URL, without brackets; empty if it names none."""
    rest = split_credentials(address).url.partition("://")[2]
    place = rest[: _find_end(rest)]
    return re.sub(r":[0-9]*\Z", "", place).strip("[]").lower()


def names_host(address: str) -> bool:
    """Whether a URL names a host, and a port that can be one, if any."""
    rest = split_credentials(address).url.partition("://")[2]
    return _is_place(rest[: _find_end(rest)])


def _find_end(rest: str) -> int:
    found = _END.search(rest)
    return found.start() if found else len(rest)


def _is_place(text: str) -> bool:
    """Whether it can be a host and a port."""
    found = _PLACE.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 65_535


def _is_address(text: str) -> bool:
    host = re.sub(r":[0-9]*\Z", "", text[: _find_end(text)]).strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return True
