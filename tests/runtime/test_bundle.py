import json
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest

from edgetl_runtime.bundle import opening
from edgetl_runtime.bundle.manifest import FORMAT_VERSION
from edgetl_runtime.bundle.reader import Bundle, encode_checksum, encode_manifest
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError
from tests import damaged_bundles

FILES = sorted(damaged_bundles.FILES)
OPEN_AS_NOBODY = """
import os, sys
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    Bundle.open(sys.argv[1])
except BundleError as error:
    sys.exit(f"refused: {error}")
"""


def flip_a_bit(path: Path) -> None:
    path.write_bytes(damaged_bundles.flip_a_bit(path.read_bytes()))


def test_the_committed_bundle_opens(tiny):
    bundle = Bundle.open(tiny)
    assert bundle.labels == ("gear", "spring", "washer")
    assert len(bundle.manifest.variants) == 4
    assert {stored.file for stored in bundle.files} == set(FILES) - {
        "bundle.json",
        "bundle.json.sha256",
    }


def test_a_bundle_opens_by_a_relative_path_and_through_a_link(tiny, tmp_path, monkeypatch):
    (tmp_path / "current").symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    assert Bundle.open("current").labels == Bundle.open(tiny).labels


def test_the_format_is_frozen_byte_for_byte(tiny, bundle):
    """But for what format 4 added to the format 3 of the committed bundle."""
    data = (tiny / "bundle.json").read_bytes()
    encoded = json.loads(encode_manifest(bundle.manifest))
    assert encoded.pop("unknown_label") == ""
    for variant in encoded["variants"]:
        assert (variant.pop("hidden"), variant.pop("memory")) == (None, None)
        calibration = variant["calibration"]
        assert calibration.pop("held_out_accept_rate") is None
        assert calibration.pop("view_reject_rate") is None
    written = msgspec.json.format(msgspec.json.encode(encoded, order="sorted"), indent=2) + b"\n"
    assert written == data
    assert encode_checksum(data) == (tiny / "bundle.json.sha256").read_bytes()


def test_labels_txt_lists_the_labels(bundle):
    assert bundle.read(bundle.manifest.labels_file).decode().split() == list(bundle.labels)


@pytest.mark.parametrize("file", FILES)
def test_a_bundle_with_a_flipped_bit_is_refused(file, tiny_copy, wording):
    flip_a_bit(tiny_copy / file)
    with pytest.raises(BundleError, match=wording):
        Bundle.open(tiny_copy)


@pytest.mark.parametrize("file", FILES)
def test_a_bundle_with_a_cut_file_is_refused(file, tiny_copy, wording):
    data = (tiny_copy / file).read_bytes()
    (tiny_copy / file).write_bytes(data[:-1])
    with pytest.raises(BundleError, match=wording):
        Bundle.open(tiny_copy)


@pytest.mark.parametrize("file", FILES)
def test_a_bundle_with_a_missing_file_is_refused_and_the_file_is_named(file, tiny_copy):
    (tiny_copy / file).unlink()
    with pytest.raises(BundleError, match=Path(file).name):
        Bundle.open(tiny_copy)


@pytest.mark.parametrize("file", FILES)
def test_bad_bytes_never_reach_an_engine(file, tiny_copy, monkeypatch):
    monkeypatch.setattr(opening, "open_engine", lambda *_: pytest.fail("was called"))
    flip_a_bit(tiny_copy / file)
    with pytest.raises(BundleError):
        Classifier.open(tiny_copy)


def test_a_file_changed_after_the_bundle_was_opened_never_reaches_an_engine(tiny_copy, wording):
    bundle = Bundle.open(tiny_copy)
    flip_a_bit(tiny_copy / "litert-int8.tflite")
    with pytest.raises(BundleError, match=wording):
        Classifier.open(bundle, variant="litert-int8")


@pytest.mark.parametrize("path", ["missing", "file", "folder"])
def test_what_is_no_bundle_is_refused_with_the_remedy(path, tmp_path, wording):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match=wording):
        Bundle.open(tmp_path / path)


@pytest.mark.parametrize(("version", "remedy"), damaged_bundles.OTHER_FORMATS)
def test_another_format_is_refused_with_the_remedy(version, remedy, edit):
    with pytest.raises(BundleError, match=f"format {version}, .*{remedy}"):
        Bundle.open(edit(lambda manifest: manifest.update(format_version=version)))


def test_a_newer_format_with_unknown_keys_still_says_upgrade(edit, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(
            edit(lambda manifest: manifest.update(format_version=FORMAT_VERSION + 1, sound="yes"))
        )


@pytest.mark.parametrize(("change", "reason"), damaged_bundles.MISFITS)
def test_a_sealed_manifest_that_does_not_fit_is_refused(change, reason, edit):
    with pytest.raises(BundleError, match=reason):
        Bundle.open(edit(change))


@pytest.mark.parametrize("labels", damaged_bundles.MISNUMBERED_LABELS)
def test_a_wrong_number_of_labels_is_refused(labels, edit):
    with pytest.raises(BundleError, match=f"{len(labels)} labels, but .* has 3 outputs"):
        Bundle.open(edit(lambda manifest: manifest.update(labels=labels)))


@pytest.mark.parametrize(("label", "taken"), [("ä" * 127, True), ("ä" * 128, False)])
def test_a_label_has_a_longest_length(label, taken, edit):
    bundle = edit(lambda manifest: manifest.update(labels=["gear", label, "nut"]))
    expected = "recall|labels" if taken else "has 256 bytes, allowed are 255"
    with pytest.raises(BundleError, match=expected):
        Bundle.open(bundle)


@pytest.mark.parametrize("labels", damaged_bundles.NAMELESS_LABELS)
def test_labels_that_name_nothing_are_refused(labels, edit, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(edit(lambda manifest: manifest.update(labels=labels)))


@pytest.mark.parametrize("path", damaged_bundles.UNSAFE_PATHS)
def test_an_unsafe_path_is_refused(path, edit, tiny_copy, wording):
    # The file is there, and its hash is right.
    shutil.copy(tiny_copy / "labels.txt", tiny_copy.parent)
    with pytest.raises(BundleError, match=wording):
        Bundle.open(edit(lambda manifest: manifest["labels_file"].update(file=path)))


@pytest.mark.parametrize("name", ["labels.txt", "golden"])
def test_a_link_out_of_the_bundle_is_refused(name, tiny_copy, wording):
    outside = (tiny_copy / name).rename(tiny_copy.parent / name)
    (tiny_copy / name).symlink_to(outside)
    with pytest.raises(BundleError, match=wording):
        Bundle.open(tiny_copy)


@pytest.mark.parametrize("name", ["labels.txt", "bundle.json", "bundle.json.sha256"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(name, tiny_copy, wording):
    (tiny_copy / name).unlink()
    os.mkfifo(tiny_copy / name)
    with pytest.raises(BundleError, match=wording):
        Bundle.open(tiny_copy)


def test_a_file_that_may_not_be_read_is_refused(tiny, run_python):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = Path(shutil.copytree(tiny, Path(folder) / "copy.bundle"))
        (copy / "labels.txt").chmod(0)
        done = run_python(OPEN_AS_NOBODY, copy)
    assert "refused: " in done.stderr
    assert "labels.txt cannot be read (Permission denied)" in done.stderr


def test_invalid_utf8_is_refused(write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(damaged_bundles.break_utf8()))


@pytest.mark.parametrize("data", damaged_bundles.NO_MANIFESTS)
def test_json_that_is_no_manifest_is_refused(data, write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(data))


def test_a_deeply_nested_unknown_key_is_refused(write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(damaged_bundles.nest_deeply()))


def test_a_manifest_of_20_megabytes_is_refused(write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(damaged_bundles.bloat()))


@pytest.mark.parametrize(
    "data", [pytest.param(data, id=name) for name, data in damaged_bundles.list_rewritten()]
)
def test_json_that_is_not_quite_json_is_refused(data, write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(data))


@pytest.mark.parametrize("label", damaged_bundles.ODD_LABELS)
def test_a_label_that_cannot_be_written_on_a_line_is_refused(label, write_checksummed, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(write_checksummed(damaged_bundles.rename_label(label)))


def test_a_forged_size_is_refused(edit, wording):
    with pytest.raises(BundleError, match=wording):
        Bundle.open(edit(lambda manifest: manifest["labels_file"].update(bytes=20)))


def test_the_first_variant_is_the_default(bundle):
    assert bundle.variant() == bundle.manifest.variants[0]


def test_a_variant_is_found_by_name_and_by_engine(bundle):
    assert bundle.variant("onnx-float32").name == "onnx-float32"
    assert bundle.variant(engine="onnx").engine == "onnx"
    assert bundle.variant("litert-float32", engine="litert").precision == "float32"


@pytest.mark.parametrize(("name", "engine"), [("litert-int4", None), (None, "tensorrt")])
def test_an_unknown_variant_is_refused_and_those_present_are_listed(name, engine, bundle, wording):
    with pytest.raises(BundleError, match=wording) as error:
        bundle.variant(name, engine=engine)
    assert all(variant.name in str(error.value) for variant in bundle.manifest.variants)


def test_an_opened_bundle_cannot_be_changed(bundle):
    with pytest.raises(AttributeError):
        bundle.manifest.labels = ("a", "b")


def test_the_manifest_is_plain_json_with_sorted_keys(tiny):
    text = (tiny / "bundle.json").read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
