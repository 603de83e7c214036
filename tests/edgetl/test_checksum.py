"""Checksummed files: not one bit may differ from what was written."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgetl.checksum import Damaged, map_checksummed, write_checksummed
from edgetl_runtime.errors import StorageError


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str


HEADER = Header("größe", 3)
PAYLOAD = bytes(range(40))


@pytest.fixture
def checksummed(tmp_path: Path) -> Path:
    write_checksummed(tmp_path / "file", HEADER, PAYLOAD)
    return tmp_path / "file"


def test_header_and_payload_come_back(checksummed: Path) -> None:
    header, payload = map_checksummed(checksummed, Header)
    assert header == HEADER
    assert payload.tobytes() == PAYLOAD


def test_an_empty_payload_comes_back(tmp_path: Path) -> None:
    write_checksummed(tmp_path / "file", HEADER, b"")
    assert map_checksummed(tmp_path / "file", Header)[1].size == 0


def test_every_flipped_bit_is_noticed(checksummed: Path) -> None:
    content = checksummed.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            checksummed.write_bytes(damaged)
            with pytest.raises(Damaged):
                map_checksummed(checksummed, Header)


def test_every_length_but_the_right_one_is_noticed(checksummed: Path) -> None:
    content = checksummed.read_bytes()
    for length in range(len(content)):
        checksummed.write_bytes(content[:length])
        with pytest.raises(Damaged):
            map_checksummed(checksummed, Header)
    checksummed.write_bytes(content + b"\0")
    with pytest.raises(Damaged):
        map_checksummed(checksummed, Header)


def test_a_header_of_another_kind_is_noticed(checksummed: Path, wording: str) -> None:
    with pytest.raises(Damaged, match=wording):
        map_checksummed(checksummed, Other)


def test_noise_without_a_line_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(np.random.default_rng(0).bytes(1 << 16))
    with pytest.raises(Damaged):
        map_checksummed(tmp_path / "file", Header)


def test_the_payload_is_mapped_where_numbers_may_start(checksummed: Path) -> None:
    _, payload = map_checksummed(checksummed, Header)
    assert payload.ctypes.data % 64 == 0
    assert not payload.flags.writeable
    with checksummed.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x99")
    # Read from the disk as it is used, not copied into memory.
    assert payload[-1] == 0x99


def test_the_payload_outlives_its_file(checksummed: Path) -> None:
    _, payload = map_checksummed(checksummed, Header)
    checksummed.unlink()
    assert payload.tobytes() == PAYLOAD


def test_a_folder_that_is_not_there_is_our_error(tmp_path: Path, wording: str) -> None:
    with pytest.raises(StorageError, match=wording):
        write_checksummed(tmp_path / "no" / "file", HEADER, PAYLOAD)


def test_rewriting_leaves_one_whole_file(checksummed: Path) -> None:
    write_checksummed(checksummed, Header("new", 1), b"new")
    assert map_checksummed(checksummed, Header)[0].name == "new"
    assert list(checksummed.parent.iterdir()) == [checksummed]
