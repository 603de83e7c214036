"""The page's reader of bundles refuses what the device's refuses."""

import base64
import json
import shutil
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given

from edgetl_runtime.bundle.reader import Bundle, describe_schema
from edgetl_runtime.errors import BundleError
from tests import damaged_bundles
from tests.damaged_bundles import FILES, TINY, Files, flip_a_bit, seal
from tests.forged_manifests import PLACES, forged_manifests
from tests.phone.twin import PHONE, Call

VARIANT = "litert-int8"
MANIFEST = json.loads(FILES["bundle.json"])
CARRIED = [
    name
    for name in FILES
    if name in ("bundle.json", "bundle.json.sha256", "labels.txt", f"{VARIANT}.tflite")
    or name.startswith("golden/")
]


def open_on_page(node: Call, files: Files) -> str:
    """Why the page refuses a bundle; "" if it does not."""
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    reason: str = node(
        "open", {name: encoded[name] for name in CARRIED if name in encoded}, VARIANT
    )
    return reason


def open_on_device(folder: Path, files: Files) -> str:
    """Why the device refuses a bundle; "" if it does not."""
    for name in ("bundle.json", "bundle.json.sha256"):
        (folder / name).write_bytes(files[name])
    try:
        Bundle.open(folder)
    except BundleError as error:
        return str(error)
    return ""


def test_the_committed_bundle_opens(node):
    assert open_on_page(node, FILES) == ""


@pytest.mark.parametrize("name", damaged_bundles.SOUND)
def test_a_sound_bundle_of_format_4_opens_on_both(name, node, tiny_copy):
    files = seal(damaged_bundles.edit(damaged_bundles.SOUND[name]))
    assert open_on_device(tiny_copy, files) == ""
    assert open_on_page(node, files) == ""


@pytest.mark.parametrize(
    "manifest", [pytest.param(data, id=name) for name, data in damaged_bundles.list_manifests()]
)
def test_a_damaged_manifest_is_refused_by_both_readers(manifest, node, tiny_copy):
    assert open_on_device(tiny_copy, seal(manifest))
    assert open_on_page(node, seal(manifest))


@pytest.mark.parametrize("file", CARRIED)
@pytest.mark.parametrize("damage", [flip_a_bit, lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_damaged_file_is_refused(file, damage, node):
    assert open_on_page(node, FILES | {file: damage(FILES[file])})


@pytest.mark.parametrize("file", CARRIED)
def test_a_missing_file_is_refused(file, node):
    assert file in open_on_page(node, {name: FILES[name] for name in FILES if name != file})


@pytest.mark.parametrize(("version", "remedy"), damaged_bundles.OTHER_FORMATS)
def test_another_format_is_refused_with_the_remedy(version, remedy, node):
    manifest = damaged_bundles.edit(lambda m: m.update(format_version=version, sound="yes"))
    assert f"format {version}, " in open_on_page(node, seal(manifest))
    assert remedy.removesuffix("-runtime") in open_on_page(node, seal(manifest))


def is_carried(place: tuple[str | int, ...]) -> bool:
    """Whether the page can judge it: size and hash of a file that it lacks it cannot compare."""
    if place[-1] not in ("file", "bytes", "sha256"):
        return True
    stored = MANIFEST
    for key in place[:-1]:
        stored = stored[key]
    return stored["file"] in CARRIED


@hypothesis.settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@given(manifest=forged_manifests([place for place in PLACES if is_carried(place)]))
def test_a_forged_and_sealed_manifest_gets_the_same_verdict(node, tiny_copy, manifest):
    # A page is written for one variant, and asks for it by name; a device takes the first.
    hypothesis.assume(b'"litert-int8"' in manifest)
    on_device = open_on_device(tiny_copy, seal(manifest))
    on_page = open_on_page(node, seal(manifest))
    assert bool(on_device) == bool(on_page), (on_device, on_page)


def test_the_schema_is_that_of_the_records():
    schema = PHONE / "src" / "bundle" / "bundle.schema.json"
    assert schema.read_bytes() == describe_schema(), "make schema writes it again"


@pytest.fixture
def tiny_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "copy.bundle"))
