"""Sockets to listen on."""

import errno
import socket
from typing import Final

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.host import explain_refusal, resolve

_BACKLOG: Final = 64
# A slow viewer's old images wait here, where they cannot be replaced by newer ones.
_SEND_BUFFER_BYTES: Final = 128 * 1024
_LAST_PORT: Final = 65_535
_NEIGHBOURS: Final = 32


def listen(host: str, port: int) -> socket.socket:
    """Listens.

    Args:
        host: Address or name; an IPv6 address may have its brackets.
        port: 0 takes a free one.

    Raises:
        ServiceError: If the port is in use or the address is not ours, with what to do.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        raise ServiceError(f"cannot serve on {host}:{port}: {explain_refusal(error)}") from error


def listen_beside(host: str, port: int) -> socket.socket:
    """Listens on the first free port above another one.

    Raises:
        ServiceError: If there is none near, or the address is not ours.
    """
    above = range(port + 1, min(port + _NEIGHBOURS, _LAST_PORT) + 1)
    for candidate in above:
        try:
            return _bind(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ServiceError(
                    f"cannot serve on {host}:{candidate}: {explain_refusal(error)}"
                ) from error
    raise ServiceError(
        f"no free port from {port + 1} to {above.stop - 1} for the page that hands out the "
        "authority; give another --port"
    )


def _bind(host: str, port: int) -> socket.socket:
    family, address = resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
