"""Encrypted connections: whom they trust, how they prove who we are, and why they failed."""

import re
import socket
import ssl
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from edgetl_runtime.errors import OptionsError

_PROBE_S: Final = 5.0
# After the handshake a server of TLS 1.3 may still refuse our certificate.
_ALERT_S: Final = 1.0
# From openssl/x509_vfy.h.
_EXPIRED: Final = 10
_UNTRUSTED: Final = (18, 19, 20, 21)
_OTHER_NAME: Final = (62, 64)

_CLAUSES: Final[dict[type[OSError], str]] = {
    socket.gaierror: "its name cannot be resolved; is it spelled correctly, and is the network up?",
    ConnectionRefusedError: (
        "the connection was refused; is the server running, and is the port correct?"
    ),
    ConnectionResetError: "it closed the connection; is the port correct, and with or without TLS?",
    TimeoutError: "it does not answer in time; is it switched on, and is a firewall in the way?",
}


class Identity(msgspec.Struct, frozen=True):
    """The files of a connection, each a path or None.

    Attributes:
        owner: Whose connection: `mqtt`, `post` or `source`, as in `--mqtt-ca`.
        ca: PEM file of certificates to trust in place of the system's.
        cert: PEM file of our own certificate, for a server that asks for one.
        key: PEM file of its key; None: it is in `cert`.
    """

    owner: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def make_context(self) -> ssl.SSLContext:
        """What `http.client` and paho-mqtt take.

        Raises:
            OptionsError: Naming the file that cannot be used.
        """
        if self.key and not self.cert:
            raise OptionsError(f"--{self.owner}-key needs its certificate: --{self.owner}-cert")
        self._check_plain()
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            self._refuse("ca", self.ca, error)
        if self.cert:
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except (OSError, ssl.SSLError, ValueError) as error:
                self._refuse(*self._blame(self.cert, error), error)
        return context

    def check_use(self, *, encrypted: bool, address: str) -> None:
        """Refuses files for a connection that would not use them.

        Args:
            encrypted: Whether the connection is.
            address: How it should begin, such as `mqtts://`.

        Raises:
            OptionsError: Naming the option.
        """
        given = [name for name in ("ca", "cert", "key") if getattr(self, name)]
        if given and not encrypted:
            raise OptionsError(
                f"--{self.owner}-{given[0]}: only an encrypted connection uses it; give an address "
                f"that begins with {address}"
            )

    def _check_plain(self) -> None:
        """A pipe or device would be waited for, or read, for ever."""
        for name in ("ca", "cert", "key"):
            file = Path(getattr(self, name) or "")
            if file.exists() and not file.is_file() and not file.is_dir():
                raise OptionsError(
                    f"--{self.owner}-{name}: {file} cannot be used (it is not a plain file); "
                    "expected a PEM file"
                )

    def _blame(self, cert: str, error: Exception) -> tuple[str, str]:
        """The option and the file that a certificate with its key failed by."""
        whole = not isinstance(error, ValueError) and _holds(cert, "CERTIFICATE")
        is_key = self.key and (whole or isinstance(error, ValueError))
        return ("key", self.key or cert) if is_key else ("cert", cert)

    def _refuse(self, what: str, file: str | None, error: Exception) -> NoReturn:
        reason = f"{getattr(error, 'strerror', None) or error}"
        remedy = "expected a PEM file"
        if isinstance(error, ssl.SSLError):
            reason = f"no {'key' if what == 'key' else 'certificate'} in PEM"
            if _is_mismatch(error):
                reason = (
                    f"it is not the key of {self.cert}"
                    if self.key
                    else "its key belongs to another certificate"
                )
                remedy = f"give the correct one: --{self.owner}-key FILE"
            elif what == "cert" and _holds(file, "CERTIFICATE"):
                reason = "it contains a certificate without its key"
                remedy = f"give the file of the key: --{self.owner}-key FILE"
        elif isinstance(error, ValueError):
            reason, remedy = str(error), "store it without a password, readable by the service only"
        raise OptionsError(
            f"--{self.owner}-{what}: {file} cannot be used ({reason}); {remedy}"
        ) from error


def probe(host: str, port: int, context: ssl.SSLContext | None, owner: str) -> str:
    """Tries a connection only to find out why one failed.

    Args:
        host: Name or address.
        port: TCP.
        context: None for a connection without TLS.
        owner: As in `Identity`.

    Returns:
        One sentence, or nothing where a connection succeeds.
    """
    try:
        with socket.create_connection((host, port), _PROBE_S) as plain:
            if context is None:
                return ""
            with context.wrap_socket(plain, server_hostname=host) as secure:
                secure.settimeout(_ALERT_S)
                secure.recv(1)
    except TimeoutError as error:
        # Silence after the handshake is what a server does that waits for us.
        return "" if "read" in str(error) else explain(error, owner)
    except (ConnectionResetError, ssl.SSLEOFError):
        return "it closes the connection at once; does it speak TLS, and is the port correct?"
    except OSError as error:
        return explain(error, owner)
    return ""


def explain(error: BaseException, owner: str) -> str:
    """Why a connection failed and what to look at, as a clause.

    Args:
        error: Of sockets, of TLS, or one of urllib that holds such an error.
        owner: As in `Identity`.
    """
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return explain(reason, owner)
    match error:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(error, owner)
        case ssl.SSLError():
            return _explain_tls(error, owner)
        case OSError():
            known = (clause for kind, clause in _CLAUSES.items() if isinstance(error, kind))
            return next(known, error.strerror or str(error) or type(error).__name__)
        case _:
            return str(error) or type(error).__name__


def _explain_certificate(error: ssl.SSLCertVerificationError, owner: str) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired, or the clock of this board is wrong"
    if error.verify_code in _OTHER_NAME:
        return "its certificate is for another name; connect by a name in it"
    if error.verify_code in _UNTRUSTED:
        return f"its certificate is not trusted; give the CA that signed it: --{owner}-ca FILE"
    return f"its certificate is not accepted ({error.verify_message})"


def _explain_tls(error: ssl.SSLError, owner: str) -> str:
    reason = (error.reason or "").upper()
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return "it does not speak TLS; is the port correct?"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"it requires a client certificate: --{owner}-cert FILE --{owner}-key FILE"
    if "ALERT" in reason and ("CA" in reason or "CERTIFICATE" in reason):
        return (
            f"it does not accept our certificate; is --{owner}-cert signed by a CA that it trusts?"
        )
    return f"TLS failed ({error.reason or error})"


def _holds(file: str | None, what: str) -> bool:
    """Whether a PEM file has a part of this kind."""
    try:
        text = Path(file or "").read_bytes()
    except OSError:
        return False
    return re.search(rb"-----BEGIN [A-Z ]*" + what.encode() + b"-----", text) is not None


def _is_mismatch(error: ssl.SSLError) -> bool:
    return "MISMATCH" in (error.reason or "").upper()


def _no_password() -> NoReturn:
    raise ValueError("its key has a password")
