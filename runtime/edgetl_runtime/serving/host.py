"""The address that the page listens on, and why it cannot."""

import errno
import ipaddress
import re
import socket
from typing import Any, Final

from edgetl_runtime.errors import ServiceError

# A name of a host, or an address with a zone; "*" is how some programs say every address.
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(%[\w.-]+)?|\*", re.ASCII)
# Every old way to write an IPv4 address in numbers, of which the resolver knows more.
_NUMBERS: Final = re.compile(r"[\d.]*\d\.\d[\d.]*", re.ASCII)
_CHOICE: Final = "give 127.0.0.1 for this machine only, or 0.0.0.0 for the network"


def check_host(host: str) -> str:
    """Refuses what can be no address on any day; a name may be unknown today only.

    Args:
        host: Of `--host`; an IPv6 address may have its brackets.

    Returns:
        The host without brackets.

    Raises:
        ServiceError: With what to give.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    usable = _HOST.fullmatch(bare) is not None
    if usable and (":" in bare or _NUMBERS.fullmatch(bare)):
        usable = _is_address(bare)
    if not usable:
        raise ServiceError(
            f"cannot serve on {host or 'an empty --host'}: expected a name or an address without "
            f"port or path; {_CHOICE}"
        )
    return bare


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """The address to bind a socket to.

    Raises:
        ServiceError: If there is no such address.
    """
    bare = check_host(host)
    try:
        flags = socket.AI_PASSIVE
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as error:
        raise ServiceError(
            f"cannot serve on {host}:{port}: no such address ({error}); {_CHOICE}"
        ) from error
    return found[0][0], found[0][4]


def explain_refusal(error: OSError) -> str:
    """Why an address cannot be had, and what to do."""
    known = {
        errno.EADDRINUSE: "the port is in use; stop the other program or give another --port "
        "(0 takes a free one)",
        errno.EACCES: "no permission to use this port; give one above 1023",
        errno.EADDRNOTAVAIL: "not an address of this machine; give 127.0.0.1 or 0.0.0.0",
    }
    return known.get(error.errno or 0, str(error))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        # Such as 127.1, which stands for 127.0.0.1.
        try:
            socket.inet_aton(text)
        except OSError:
            return False
    return True
