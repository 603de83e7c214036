"""The README's page on the bundle: its example is read as strictly as a bundle is."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgetl_runtime.bundle import manifest as format_module
from edgetl_runtime.bundle.manifest import FORMAT_VERSION, READ_VERSIONS, BundleManifest
from edgetl_runtime.bundle.reader import Bundle, encode_checksum
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.errors import BundleError
from edgetl_runtime.image.preprocessing import Preprocessing
from edgetl_runtime.system import containers

README = Path(__file__).parents[2] / "README.md"
STRUCTS = [
    *(Preprocessing, TensorSpec, HiddenOutputs),
    *(format_module.BundleManifest, format_module.Variant, format_module.VariantMetrics),
    *(format_module.Calibration, format_module.Provenance, format_module.StoredFile),
    *(format_module.GoldenFrame, format_module.LeftOut, format_module.Attempted),
]


@pytest.fixture(scope="module")
def page() -> str:
    (found,) = re.findall(
        r"^## The bundle, on one page\n(.*?)^## ", README.read_text(), re.M | re.S
    )
    return found


@pytest.fixture
def example(page: str) -> dict[str, Any]:
    (block,) = re.findall(r"```json\n(.*?)```", page, re.S)
    return json.loads(block)


def test_the_example_is_a_manifest_and_shows_every_field(example):
    manifest = msgspec.json.decode(json.dumps(example), type=BundleManifest)
    assert json.loads(msgspec.json.encode(manifest)) == example
    assert manifest.format_version == FORMAT_VERSION


def test_the_example_opens_as_a_bundle(example, tmp_path):
    """With files of its sizes: whatever a reader checks but the content of the files is right."""
    stored = [*example["variants"], *example["golden"], example["labels_file"], example["card"]]
    stored += [variant["memory"] for variant in example["variants"]]
    for one in stored:
        data = bytes(one["bytes"])
        one["sha256"] = hashlib.sha256(data).hexdigest()
        (tmp_path / one["file"]).parent.mkdir(exist_ok=True)
        (tmp_path / one["file"]).write_bytes(data)
    data = json.dumps(example).encode()
    (tmp_path / "bundle.json").write_bytes(data)
    (tmp_path / "bundle.json.sha256").write_bytes(encode_checksum(data))
    assert Bundle.open(tmp_path).find_unlisted() == []


def test_the_page_names_every_field_with_what_it_means(page):
    prose = re.sub(r"```json\n.*?```", "", page, flags=re.S)
    fields = {name for struct in STRUCTS for name in struct.__struct_fields__}
    missing = {name for name in fields if not re.search(rf"`{name}`", prose)}
    assert not missing


def test_the_page_names_every_struct_of_the_format():
    """A struct that is new in the format is added to this test, and so to the page."""
    own = [
        struct
        for struct in vars(format_module).values()
        if isinstance(struct, type) and issubclass(struct, format_module._Strict)
    ]
    assert {one.__name__ for one in own} <= {one.__name__ for one in STRUCTS} | {"_Strict"}


def test_the_page_names_every_file_and_every_limit(tiny, page):
    for file in tiny.iterdir():
        assert file.name in page
    assert f"{containers.MOST_MEMBERS} members" in page
    assert f"format version {FORMAT_VERSION}" in page


def test_an_example_with_another_key_is_refused(example, wording):
    with pytest.raises(msgspec.ValidationError, match=wording):
        msgspec.json.decode(json.dumps({**example, "sound": 1}), type=BundleManifest)


def test_what_the_page_says_of_the_seal_is_so(tiny):
    digest = hashlib.sha256((tiny / "bundle.json").read_bytes()).hexdigest()
    assert (tiny / "bundle.json.sha256").read_text() == f"{digest}  bundle.json\n"


def test_a_bundle_of_a_format_before_those_that_are_read_is_refused_with_the_remedy(edit, wording):
    older = min(READ_VERSIONS) - 1
    with pytest.raises(BundleError, match=wording):
        Bundle.open(edit(lambda manifest: manifest.update(format_version=older)))
