"""TLS for a server in the local network, by the authority of its machine."""

import datetime
import ssl
import tempfile
from contextlib import suppress
from typing import Final

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.authority import Authority, list_names
from edgetl_runtime.system.network import Address

# Also where a board's clock was wrong at first, and was set by the network later.
_RENEW_AFTER: Final = datetime.timedelta(days=30)
_HTTP_1_1: Final = "http/1.1"


class Encryption:
    """The certificate of this machine, issued anew when its addresses change and every 30 days.

    A router may hand out another address while a board runs, or after its service has started, and
    a service may run for years.

    Attributes:
        authority: Vouches for it.
        context: For a server.
    """

    def __init__(self, authority: Authority) -> None:
        """Issues the first certificate.

        Raises:
            ServiceError: If the authority is not valid today, or there is no room for a file.
        """
        self.authority = authority
        self._names: tuple[str | Address, ...] = ()
        self._issued = datetime.datetime.min
        self.context = self._current = self._issue()
        self.context.sni_callback = self._choose

    def _issue(self) -> ssl.SSLContext:
        names = list_names()
        context = _make_context(self.authority.issue(names))
        self._names, self._issued = names, datetime.datetime.now()
        return context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        """Gives each handshake, named or not, a certificate for what this machine is called now."""
        is_old = abs(datetime.datetime.now() - self._issued) > _RENEW_AFTER
        if is_old or self._names != list_names():
            # A browser judges the old one by itself.
            with suppress(ServiceError):
                self._current = self._issue()
        connection.context = self._current


def _make_context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_HTTP_1_1])
    try:
        # OpenSSL reads files only; this one is its owner's alone, and gone at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
    except OSError as error:
        raise ServiceError(f"HTTPS cannot begin: {error.strerror or error}") from error
    return context
