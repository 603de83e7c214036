"""The authority is made once, stays its owner's, and vouches for this machine only."""

import datetime
import fcntl
import ipaddress
import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgetl_runtime.errors import ServiceError, StorageError
from edgetl_runtime.serving import authority as authority_module
from edgetl_runtime.serving.authority import (
    FILE,
    LEAF_DAYS,
    Authority,
    find_folder,
    list_names,
    open_authority,
)
from edgetl_runtime.system.network import find_host_name

NO_EXTRA = """
import sys
sys.modules["cryptography"] = None
from pathlib import Path
from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.authority import open_authority
try:
    open_authority(Path("authority"))
except ServiceError as error:
    print(error)
"""
NAMES = ("board.local", "localhost", ipaddress.ip_address("192.168.1.7"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config" / "authority"


@pytest.fixture
def authority(folder: Path) -> Authority:
    return open_authority(folder)


@pytest.fixture
def openssl(tmp_path, authority):
    """Judges a certificate by the openssl program, with the authority as its only trust."""
    trust = tmp_path / "trust.pem"
    trust.write_bytes(x509.load_der_x509_certificate(authority.der).public_bytes(Encoding.PEM))

    def verify(pem: bytes, *options: str) -> str:
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(pem)
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
        command += ["-no-CApath", "-no-CAstore", "-CAfile", str(trust), *options, str(leaf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.rpartition(": ")[2].strip() if done.returncode == 0 else done.stderr

    return verify


def read_leaf(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_an_authority_is_made_once_and_found_again(folder):
    first, second = open_authority(folder), open_authority(folder)
    assert (first.der, first.fingerprint) == (second.der, second.fingerprint)
    assert open_authority(folder.with_name("other")).der != first.der


def test_nobody_else_can_read_it(folder, authority):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in folder.iterdir()] == [FILE]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600


def test_programs_that_start_at_once_share_one_authority(folder):
    folder.mkdir(mode=0o700, parents=True)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(open_authority, folder) for _ in range(2)]
        time.sleep(0.3)
        # Another program makes one now: nobody else may.
        assert list(folder.iterdir()) == []
        os.close(held)
    assert len({one.result().fingerprint for one in asked}) == 1


def test_openssl_accepts_this_machine_under_all_its_names(authority, openssl):
    pem = authority.issue(list_names())
    assert openssl(pem) == "OK"
    for name in (f"{find_host_name()}.local", find_host_name(), "localhost"):
        assert openssl(pem, "-verify_hostname", name) == "OK"
    for address in ("127.0.0.1", "::1"):
        assert openssl(pem, "-verify_ip", address) == "OK"
    assert "mismatch" in openssl(pem, "-verify_hostname", "other.local")


def test_a_certificate_is_what_browsers_demand(authority):
    leaf = read_leaf(authority.issue(NAMES))
    extensions = leaf.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["board.local", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.168.1.7")]
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(leaf.public_key().curve, ec.SECP256R1)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    assert (end - start).days == LEAF_DAYS == 397
    now = datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(0) < now - start <= datetime.timedelta(days=1, minutes=1)


def test_each_certificate_has_a_key_and_a_number_of_its_own(authority):
    one, other = (read_leaf(authority.issue(NAMES)) for _ in range(2))
    assert one.serial_number != other.serial_number
    assert one.public_key() != other.public_key()


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("board.local", True),
        ("localhost", True),
        ("example.com", False),
        ("notlocal", False),
        ("xlocal", False),
        ("192.168.1.1", True),
        ("10.200.3.4", True),
        ("fd12::1", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_only_the_local_network_is_covered(authority, name, covered):
    try:
        asked = ipaddress.ip_address(name)
    except ValueError:
        asked = name
    assert authority.covers(asked) is covered
    listed = read_leaf(authority.issue(("here.local", asked))).extensions
    names = listed.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(names) == 1 + covered


@pytest.mark.parametrize("name", ["DNS:bank.example", "IP:8.8.8.8", "DNS:board.local.evil.example"])
def test_what_a_thief_signs_for_the_rest_of_the_world_is_refused(folder, openssl, tmp_path, name):
    request, signed = tmp_path / "request.pem", tmp_path / "signed.pem"
    key, stolen = tmp_path / "key.pem", folder / FILE
    for command in (
        f"req -newkey rsa:2048 -nodes -keyout {key} -subj /CN=x -addext subjectAltName={name} "
        f"-out {request}",
        f"x509 -req -in {request} -CA {stolen} -CAkey {stolen} -copy_extensions copy -days 2 "
        f"-out {signed}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    assert "permitted subtree violation" in openssl(signed.read_bytes())


def test_an_authority_signs_no_other_authority_and_no_mail(authority):
    extensions = x509.load_der_x509_certificate(authority.der).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extensions.get_extension_for_class(x509.NameConstraints).critical


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(folder, authority, mode):
    (folder / FILE).chmod(mode)
    with pytest.raises(ServiceError, match=rf"mode {mode:o}.*chmod 600 {folder / FILE}; otherwise"):
        open_authority(folder)


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_can_use_is_refused(folder, authority, mode):
    folder.chmod(mode)
    with pytest.raises(ServiceError, match=f"chmod 700 {folder}; otherwise delete"):
        open_authority(folder)


def test_a_link_is_not_followed(folder, authority, tmp_path):
    (folder / FILE).rename(tmp_path / FILE)
    (folder / FILE).symlink_to(tmp_path / FILE)
    with pytest.raises(ServiceError, match="no plain file"):
        open_authority(folder)


def other_key(pem: bytes) -> bytes:
    new = ec.generate_private_key(ec.SECP256R1())
    private = new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + pem[pem.index(b"-----BEGIN CERTIFICATE") :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem[: len(pem) // 2],
        lambda pem: pem[: pem.index(b"-----BEGIN CERTIFICATE")],
        lambda pem: pem[pem.index(b"-----BEGIN CERTIFICATE") :],
        lambda pem: pem.replace(b"M", b"N", 9),
        lambda pem: b"",
        other_key,
    ],
    ids=["half", "key only", "certificate only", "flipped", "empty", "other key"],
)
def test_a_damaged_authority_is_refused_and_left_as_it_is(folder, authority, spoil):
    spoiled = spoil((folder / FILE).read_bytes())
    (folder / FILE).write_bytes(spoiled)
    with pytest.raises(ServiceError, match=f"is damaged.*delete {folder / FILE}, start again"):
        open_authority(folder)
    assert (folder / FILE).read_bytes() == spoiled


@pytest.mark.parametrize(("year", "day"), [(2025, 6), (2040, 6)])
def test_an_authority_that_is_not_valid_today_is_refused(folder, authority, monkeypatch, year, day):
    then = datetime.datetime(year, 1, day, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr(authority_module, "_today", lambda: then)
    with pytest.raises(ServiceError, match=f"clock shows {year}-01-06; set the clock, or delete"):
        open_authority(folder)


def test_no_authority_is_made_by_a_clock_that_was_never_set(folder, monkeypatch):
    then = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr(authority_module, "_today", lambda: then)
    with pytest.raises(ServiceError, match="shows 1970-01-01; set it"):
        open_authority(folder)
    assert list(folder.iterdir()) == []


def test_no_certificate_outlives_its_authority(folder, authority, monkeypatch):
    end = x509.load_der_x509_certificate(authority.der).not_valid_after_utc
    monkeypatch.setattr(authority_module, "_today", lambda: end - datetime.timedelta(days=30))
    assert read_leaf(authority.issue(NAMES)).not_valid_after_utc == end


def test_a_place_that_is_no_folder_is_named_with_what_to_do(tmp_path):
    (tmp_path / "config").touch()
    with pytest.raises(StorageError, match=r"cannot be used .*XDG_CONFIG_HOME"):
        open_authority(tmp_path / "config" / "authority")


def test_the_authority_lives_in_the_users_settings_or_the_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert find_folder() == tmp_path / "edgetl" / "authority"
    assert find_folder("/var/lib/edgetl/door") == Path("/var/lib/edgetl/door/authority")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert find_folder() == tmp_path / "home" / ".config" / "edgetl" / "authority"


def test_a_missing_extra_is_named(run_python):
    done = run_python(NO_EXTRA)
    assert "pip install 'edgetl-runtime[tls]'" in done.stdout, done.stderr
