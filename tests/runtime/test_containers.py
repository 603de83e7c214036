"""A bundle in one zip: read as a folder is, never unpacked, and refused if it is bad."""

import json
import os
import stat
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError


def zip_folder(folder, path, method=zipfile.ZIP_STORED, change=None):
    """Zips a bundle as a user's tool would; `change` gets each member before it is written."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            member = zipfile.ZipInfo.from_file(file, file.relative_to(folder).as_posix())
            member.compress_type = method
            if change:
                change(member)
            archive.writestr(member, b"" if file.is_dir() else file.read_bytes())
    return path


@pytest.fixture
def tiny_zip(tiny, tmp_path):
    return zip_folder(tiny, tmp_path / "tiny.zip")


@pytest.fixture
def add(tiny_zip):
    """Adds a member to the zip."""

    def add_member(name, data=b"", **fields):
        with warnings.catch_warnings(), zipfile.ZipFile(tiny_zip, "a") as archive:
            warnings.simplefilter("ignore")
            member = zipfile.ZipInfo(name)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.writestr(member, data)
        return tiny_zip

    return add_member


def forge_count(path):
    """Lets the end of a zip say that there is one member."""
    data = bytearray(path.read_bytes())
    data[-14:-10] = struct.pack("<2H", 1, 1)
    path.write_bytes(data)


def refusal(path):
    with pytest.raises(BundleError) as error:
        Bundle.open(path)
    return str(error.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_the_same_bundle_as_its_folder(method, tiny, tmp_path):
    folder, packed = Bundle.open(tiny), Bundle.open(zip_folder(tiny, tmp_path / "a.zip", method))
    assert packed.manifest == folder.manifest
    for stored in folder.files:
        assert packed.read(stored) == folder.read(stored)
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_zip_needs_no_ending_in_its_name(tiny_zip):
    assert Bundle.open(tiny_zip.rename(tiny_zip.with_name("current"))).labels


def test_classifier_verification_and_benchmark_take_a_zip(tiny, tiny_zip, golden_frames):
    ours, theirs = Classifier.open(tiny_zip), Classifier.open(tiny)
    for frame in golden_frames:
        assert np.array_equal(ours(frame).scores, theirs(frame).scores)
    assert verify(Bundle.open(tiny_zip)).ok
    assert benchmark(tiny_zip, rules=make_rules(1, None)).variant == "litert-int8"


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--json"),
        ("classify", "{picture}", "--json"),
        ("bench", "--runs", "1", "--json"),
        ("camera", "--source", "{video}", "--max-frames", "1", "--json"),
    ],
)
def test_each_command_of_the_device_takes_a_zip(arguments, tiny, tiny_zip, edgetl_run, make_video):
    names = {"picture": tiny / "golden" / "0.png", "video": make_video(3)}
    command, *more = (argument.format(**names) for argument in arguments)
    done = edgetl_run(command, tiny_zip, *more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])


def test_files_that_belong_to_nothing_are_found_in_both(tiny_copy, add):
    assert Bundle.open(tiny_copy).find_unlisted() == []
    (tiny_copy / "golden" / "9.png").touch()
    (tiny_copy / "link").symlink_to("nowhere")
    assert Bundle.open(tiny_copy).find_unlisted() == ["golden/9.png", "link"]
    assert Bundle.open(add("notes.txt")).find_unlisted() == ["notes.txt"]


@pytest.mark.parametrize(
    "name", ["../labels.txt", "/etc/passwd", "a/../../b", "C:/b", "a\\b", "a\0b", "./a", ""]
)
def test_an_unsafe_name_is_refused_even_if_nothing_lists_it(name, add):
    # zipfile itself would write another name than some of these.
    assert "unsafe path" in refusal(add("x", orig_filename="x", filename=name))


def test_a_name_that_is_there_twice_is_refused(add):
    assert "holds labels.txt twice" in refusal(add("labels.txt", b"other"))


def test_a_link_is_refused(tiny, tmp_path):
    def make_link(member):
        if member.filename == "labels.txt":
            member.external_attr = (stat.S_IFLNK | 0o777) << 16

    path = zip_folder(tiny, tmp_path / "a.zip", change=make_link)
    assert "holds the link labels.txt" in refusal(path)


def test_an_encrypted_zip_is_refused(tiny_zip):
    data = bytearray(tiny_zip.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.rindex(signature) + offset] |= 1
    tiny_zip.write_bytes(data)
    assert "is encrypted, which edgetl does not read" in refusal(tiny_zip)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_method_than_deflate_is_refused(method, tiny, tmp_path):
    assert "not compressed with deflate" in refusal(zip_folder(tiny, tmp_path / "a.zip", method))


@pytest.mark.parametrize("honest", [True, False])
def test_many_members_are_refused_before_their_list_is_read(honest, tiny_zip):
    with zipfile.ZipFile(tiny_zip, "a") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:0200}", b"")
    if not honest:
        forge_count(tiny_zip)
    tracemalloc.start()
    says = refusal(tiny_zip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 256 files" in says
    assert peak < 2**20


def test_members_more_than_the_end_of_the_zip_admits_are_refused(tiny_zip):
    with zipfile.ZipFile(tiny_zip, "a") as archive:
        for number in range(300):
            archive.writestr(str(number), b"")
    forge_count(tiny_zip)
    assert "more than 256 files" in refusal(tiny_zip)


def test_a_zip64_is_refused(tiny_zip):
    data = tiny_zip.read_bytes()
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
    tiny_zip.write_bytes(data[:-22] + locator + data[-22:])
    assert "more than 256 files" in refusal(tiny_zip)


@pytest.mark.parametrize("name", ["labels.txt", "bundle.json"])
@pytest.mark.parametrize("honest", [True, False])
def test_a_zip_bomb_is_refused_and_hardly_unpacked(name, honest, tiny_copy, tmp_path):
    size, bomb = (tiny_copy / name).stat().st_size, bytes(200_000_000)
    (tiny_copy / name).write_bytes(bomb)
    path = zip_folder(tiny_copy, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    if not honest:
        # The headers claim the size that the manifest expects.
        data = path.read_bytes().replace(struct.pack("<I", len(bomb)), struct.pack("<I", size))
        path.write_bytes(data)
    del bomb
    tracemalloc.start()
    says = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ("at most" if honest else "damaged") in says
    assert peak < 2**20


def test_a_folder_zipped_with_its_own_name_says_what_to_do(tiny_copy, tmp_path):
    holder = tmp_path / "holder"
    holder.mkdir()
    tiny_copy.rename(holder / "tiny.bundle")
    assert "bundle.json at its top" in refusal(zip_folder(holder, tmp_path / "a.zip"))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06", b"TFL3" * 50, bytes(100)])
def test_a_file_that_is_no_zip_is_refused_with_the_remedy(data, tmp_path):
    (tmp_path / "a.zip").write_bytes(data)
    assert "give a folder or .zip that `edgetl export` wrote" in refusal(tmp_path / "a.zip")


def test_a_zip_that_was_cut_anywhere_is_refused(tiny_zip):
    data = tiny_zip.read_bytes()
    for length in np.linspace(0, len(data) - 1, 50).astype(int):
        tiny_zip.write_bytes(data[:length])
        refusal(tiny_zip)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_with_random_damage_never_shows_other_content(method, tiny, tmp_path):
    """Any of 1,500 damaged zips is refused in our words, or is still the same bundle."""
    path = zip_folder(tiny, tmp_path / "a.zip", method)
    random, good = np.random.default_rng(0), path.read_bytes()
    manifest, refused = Bundle.open(tiny).manifest, 0
    (directory,) = struct.unpack("<I", good[-6:-2])
    for trial in range(1500):
        data = bytearray(good)
        # Half of them in the directory, which is small but decides what is read.
        start = directory if trial % 2 else 0
        for position in random.integers(start, len(data), random.integers(1, 6)):
            data[position] = random.integers(256)
        path.write_bytes(data)
        try:
            assert Bundle.open(path).manifest == manifest
        except BundleError:
            refused += 1
    assert refused > 1000


def test_a_zip_that_changed_after_it_was_opened_never_reaches_an_engine(tiny_zip, wording):
    bundle = Bundle.open(tiny_zip)
    with zipfile.ZipFile(tiny_zip) as archive:
        start = archive.getinfo("litert-int8.tflite").header_offset
    data = bytearray(tiny_zip.read_bytes())
    data[start + 1000] ^= 1
    tiny_zip.write_bytes(data)
    with pytest.raises(BundleError, match=wording):
        Classifier.open(bundle, variant="litert-int8")


def test_a_zip_whose_end_leads_nowhere_is_told_as_damaged(tiny_zip):
    whole = tiny_zip.read_bytes()
    end = whole.rindex(b"PK\5\6")
    for at, value in ((16, 2 * len(whole)), (16, 0), (12, 5)):
        data = bytearray(whole)
        data[end + at : end + at + 4] = struct.pack("<I", value)
        tiny_zip.write_bytes(data)
        assert "is damaged" in refusal(tiny_zip)
        assert "Invalid argument" not in refusal(tiny_zip)
    tiny_zip.write_bytes(whole + b"junk")
    assert "its end was cut off or overwritten" in refusal(tiny_zip)


def test_a_device_is_no_bundle():
    assert "/dev/zero is not a bundle but a device; give a folder or .zip" in refusal("/dev/zero")


def test_a_pipe_is_no_bundle_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is not a bundle but a named pipe" in refusal(tmp_path / "pipe")
