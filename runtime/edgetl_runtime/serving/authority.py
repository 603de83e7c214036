"""The authority of this machine: makes certificates that phones trust once they trust it.

It is made once and kept in a file that only its owner can read. A browser that was told to trust it
accepts this machine under its names and addresses, and the authority can vouch for nothing beyond
the local network and the machine's own addresses: that is written into it (name constraints, RFC
5280, 4.2.1.10), so that a stolen key opens no connection to anybody's bank.
"""

import datetime
import fcntl
import ipaddress
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from edgetl_runtime.errors import ServiceError, StorageError
from edgetl_runtime.system.network import Address, find_host_name, list_addresses
from edgetl_runtime.system.storage import write_file

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

FILE: Final = "ca.pem"
NO_EXTRA: Final = "HTTPS needs `pip install 'edgetl-runtime[tls]'`"
# Apple's limit for a server's certificate is 398 days (support.apple.com/102028).
LEAF_DAYS: Final = 397
_AUTHORITY_DAYS: Final = 5 * 365
# A board without a clock may be a little behind, and so may a phone.
_BACKDATED: Final = datetime.timedelta(days=1)
# Of this program: a clock that shows an earlier time has not been set yet.
_WRITTEN: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
# RFC 6762 gives `local` to the local network, RFC 6761 `localhost` to the machine itself.
_LOCAL_NAMES: Final = ("local", "localhost")
# RFC 1918, 6598, 1122, 3927, 4291, 4193.
_LOCAL_NETWORKS: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
            *("169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
        ),
    )
)
# RFC 5280, A.1: ub-common-name.
_LONGEST_NAME: Final = 64


class Authority:
    """A certificate and its key."""

    def __init__(self, certificate: "x509.Certificate", key: "ec.EllipticCurvePrivateKey") -> None:
        """Takes what belongs together; `open_authority` reads it."""
        self._certificate = certificate
        self._key = key

    @property
    def name(self) -> str:
        """What phones list it as."""
        (name,) = self._certificate.subject
        return str(name.value)

    @property
    def der(self) -> bytes:
        """The certificate, which is public."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self._certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as phones show it: 32 bytes in hexadecimal, with colons."""
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._certificate.fingerprint(SHA256()).hex(":").upper()

    def covers(self, name: str | Address) -> bool:
        """Whether it may vouch for a name or an address."""
        from cryptography import x509

        found = self._certificate.extensions.get_extension_for_class(x509.NameConstraints)
        permitted = x509.GeneralNames(found.value.permitted_subtrees or ())
        if isinstance(name, str):
            domains = permitted.get_values_for_type(x509.DNSName)
            return any(name == one or name.endswith(f".{one}") for one in domains)
        networks = permitted.get_values_for_type(x509.IPAddress)
        return any(name in one for one in map(_as_network, networks) if one.version == name.version)

    def issue(self, names: tuple[str | Address, ...]) -> bytes:
        """A certificate of this machine and its new key, for a server.

        Args:
            names: Of the machine; those that the authority does not cover are left out.

        Returns:
            PEM, the key first.

        Raises:
            ServiceError: If the authority is not valid today.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        self.check_dates()
        start = max(_today() - _BACKDATED, self._certificate.not_valid_before_utc)
        end = min(start + datetime.timedelta(days=LEAF_DAYS), self._certificate.not_valid_after_utc)
        key = ec.generate_private_key(ec.SECP256R1())
        listed = [_general_name(name) for name in names if self.covers(name)]
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(listed), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        )
        subject = _subject(f"edgetl on {find_host_name()}")
        issuer = self._certificate.subject
        leaf = _sign(subject, issuer, key.public_key(), self._key, (start, end), extensions)
        return _to_pem(leaf, key)

    def check_dates(self) -> None:
        """Refuses an authority that is not valid today.

        Raises:
            ServiceError: With the remedy.
        """
        start = self._certificate.not_valid_before_utc
        end = self._certificate.not_valid_after_utc
        if not start <= _today() <= end - _BACKDATED:
            raise ServiceError(
                f"the authority for HTTPS is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}, and "
                f"this machine's clock shows {_today():%Y-%m-%d}; set the clock"
            )


def find_folder(state: str | None = None) -> Path:
    """Where the authority is kept: in the state folder of a service, else in the user's settings.

    Args:
        state: Of `--state-dir`.
    """
    if state:
        return Path(state) / "authority"
    # The XDG base directory specification has relative paths ignored.
    given = os.environ.get("XDG_CONFIG_HOME", "")
    config = Path(given) if os.path.isabs(given) else Path.home() / ".config"
    return config / "edgetl" / "authority"


def list_names() -> tuple[str | Address, ...]:
    """The names and addresses of this machine, as they are now."""
    host = find_host_name()
    return tuple(dict.fromkeys((f"{host}.local", host, "localhost", *list_addresses())))


def open_authority(folder: Path) -> Authority:
    """The authority of a folder, made where there is none.

    Raises:
        ServiceError: If the extra is missing, or the file is damaged, others can read it or it is
            not valid today; with the remedy.
        StorageError: If it cannot be written.
    """
    try:
        import cryptography.x509  # noqa: F401
    except ImportError as error:
        raise ServiceError(f"{NO_EXTRA} ({error.name} is missing)") from error
    file = folder / FILE
    with _locked(folder):
        _check_private(folder)
        if not os.path.lexists(file):
            write_file(file, _to_pem(*_make()), mode=0o600)
        _check_private(file)
        authority = _read(file)
    try:
        authority.check_dates()
    except ServiceError as error:
        raise ServiceError(f"{error}, or {_renewal(file)}") from error
    return authority


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it: two programs that start at once share one authority."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(
            f"{folder}, for the authority of HTTPS, cannot be used ({error.strerror}); set "
            "XDG_CONFIG_HOME to a folder of yours, or give a --state-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_private(path: Path) -> None:
    found = path.lstat()
    right = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        raise ServiceError(f"{path} is no plain file; remove it")
    if found.st_uid not in (os.geteuid(), 0):
        raise ServiceError(
            f"{path} belongs to another user, who could pose as this machine; remove it"
        )
    if found.st_mode & 0o077:
        raise ServiceError(
            f"others may use {path} (mode {stat.S_IMODE(found.st_mode):o}), and who has the key in "
            f"it can pose as this machine. If nobody has it: chmod {right:o} {path}; otherwise "
            f"{_renewal(path)}"
        )


def _renewal(path: Path) -> str:
    """What to do where the authority cannot stay."""
    return f"delete {path}, start again, and replace the old authority on each phone that trusts it"


def _read(file: Path) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        data = file.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        key = load_pem_private_key(data, None)
        certificate.extensions.get_extension_for_class(x509.NameConstraints)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("its key is of another kind")
        if certificate.public_key() != key.public_key():
            raise ValueError("key and certificate do not belong together")
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise ServiceError(
            f"{file} is damaged: it should hold the key and the certificate of the authority for "
            f"HTTPS ({error}); put back a copy, or {_renewal(file)}"
        ) from error
    return Authority(certificate, key)


def _make() -> "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]":
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if _today() < _WRITTEN:
        raise ServiceError(
            f"the clock of this machine shows {_today():%Y-%m-%d}; set it before the authority for "
            "HTTPS is made, since phones would refuse its dates"
        )
    host = find_host_name()
    key = ec.generate_private_key(ec.SECP256R1())
    start = _today() - _BACKDATED
    # A machine with a public address may vouch for that one, too, but for no neighbour of it.
    own = (ipaddress.ip_network(one) for one in list_addresses() if not _is_local(one))
    permitted: list[x509.GeneralName] = [
        *map(_general_name, dict.fromkeys((*_LOCAL_NAMES, host))),
        *map(x509.IPAddress, (*_LOCAL_NETWORKS, *own)),
    ]
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_key_usage(signs_certificates=True), True),
        # Without it, a phone would believe mail and programs signed with a stolen key.
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.NameConstraints(permitted, None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )
    subject = _subject(f"edgetl authority of {host}")
    dates = (start, start + datetime.timedelta(days=_AUTHORITY_DAYS))
    return _sign(subject, subject, key.public_key(), key, dates, extensions), key


def _sign(
    subject: "x509.Name",
    issuer: "x509.Name",
    public: "ec.EllipticCurvePublicKey",
    signer: "ec.EllipticCurvePrivateKey",
    dates: tuple[datetime.datetime, datetime.datetime],
    extensions: "tuple[tuple[x509.ExtensionType, bool], ...]",
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    start, end = dates
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, SHA256())


def _to_pem(certificate: "x509.Certificate", key: "ec.EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def _key_usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str | Address) -> "x509.GeneralName":
    from cryptography import x509

    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _subject(name: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_NAME])])


def _as_network(found: object) -> Network:
    assert isinstance(found, ipaddress.IPv4Network | ipaddress.IPv6Network)
    return found


def _is_local(address: Address) -> bool:
    return any(address.version == one.version and address in one for one in _LOCAL_NETWORKS)


def _today() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
