"""Whatever a bundle's bytes are, opening it ends in a bundle or in our own error."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EdgetlError
from tests.damaged_bundles import FILES, seal
from tests.forged_manifests import forged_manifests


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def open_and_use(path: Path) -> None:
    """Ends in our own error, or in a classifier that is used; anything else fails the test."""
    try:
        bundle = Bundle.open(path)
        verify(bundle)
        Classifier.open(bundle)
    except EdgetlError:
        return


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(manifest=forged_manifests())
def test_a_forged_and_sealed_manifest_gives_a_bundle_or_our_error(folder, manifest):
    open_and_use(write_zip(folder / "forged.zip", seal(manifest)))


@given(
    name=st.sampled_from(sorted(FILES)),
    place=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
)
def test_a_flipped_byte_is_refused_wherever_it_is(folder, name, place, bits):
    data = bytearray(FILES[name])
    data[int(place * len(data))] ^= bits
    path = write_zip(folder / "flipped.zip", FILES | {name: bytes(data)})
    with pytest.raises(EdgetlError):
        Bundle.open(path)


@given(name=st.sampled_from(sorted(FILES)), keep=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_refused_wherever_it_ends(folder, name, keep):
    cut = FILES[name][: int(keep * len(FILES[name]))]
    path = write_zip(folder / "cut.zip", FILES | {name: cut})
    with pytest.raises(EdgetlError):
        Bundle.open(path)


@given(data=st.data())
def test_a_damaged_zip_gives_a_bundle_or_our_error(folder, data):
    whole = write_zip(folder / "whole.zip", FILES).read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.zip"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(whole)))]))
    open_and_use(path)
