"""Whatever a bundle's bytes are, opening it ends in a bundle or in our own error."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EdgetlError

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"
FILES = {
    str(file.relative_to(TINY)): file.read_bytes()
    for file in sorted(TINY.rglob("*"))
    if file.is_file()
}
MANIFEST = json.loads(FILES["bundle.json"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc/passwd", "a\x00b", "litert", "int8", "x" * 5000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def list_places(value, path=()):
    """The path of every value within a JSON document, the document itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from list_places(inner, (*path, key))


PLACES = list(list_places(MANIFEST))


@st.composite
def forged_manifests(draw) -> bytes:
    """bundle.json with one to three values exchanged or left out."""
    document = json.loads(FILES["bundle.json"])
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        change(document, path, draw(st.one_of(st.just(...), VALUES)))
    return json.dumps(document).encode("utf-8", "surrogatepass")


def change(document, path, value) -> None:
    """Sets or, with `...`, removes what is there, unless an earlier change took it away."""
    *way, last = path
    for key in way:
        if not has(document, key):
            return
        document = document[key]
    if not has(document, last):
        return
    if value is ...:
        del document[last]
    else:
        document[last] = value


def has(document, key) -> bool:
    if isinstance(document, list):
        return isinstance(key, int) and key < len(document)
    return isinstance(document, dict) and key in document


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
    seal = f"{hashlib.sha256(manifest).hexdigest()}  bundle.json\n".encode()
    changed = FILES | {"bundle.json": manifest, "bundle.json.sha256": seal}
    open_and_use(write_zip(folder / "forged.zip", changed))


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
