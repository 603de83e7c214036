"""What was learned, on the disk: whole or not there, and never of another bundle."""

import hashlib
import json
import os
import re
import shutil
import signal
import threading

import numpy as np
import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError, LockedError, StorageError
from edgetl_runtime.learning.overlay import (
    Overlay,
    clear_overlay,
    digest_overlay,
    find_overlay,
    locked,
)

# Argument 1 is the bundle, 2 the call that is the last one, 3 how many of it are made before.
KILLED = """
import os, sys
import numpy as np
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.learning import overlay as module
from edgetl_runtime.learning.overlay import NewLesson, Overlay
from edgetl_runtime.system import storage

name, left = sys.argv[2], int(sys.argv[3])
owner = storage if name.startswith("_") else os
real = getattr(owner, name)

def die(*arguments, **options):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    return real(*arguments, **options)

setattr(owner, name, die)
photos = tuple(b"other %d" % n for n in range(7))
new = NewLesson("teach", "star", "litert-int8", "2026-01-02T03:04:05.678Z",
                np.zeros((7, 16), np.float32), photos)
Overlay.open(Bundle.open(sys.argv[1])).add(new)
"""


@pytest.fixture
def overlay(tiny_copy, make_lesson):
    """Of one lesson."""
    return Overlay.open(Bundle.open(tiny_copy)).add(make_lesson())


@pytest.fixture
def seal(overlay):
    """Changes overlay.json and its checksum, as a forger would."""

    def change(**fields):
        file = overlay.path / "overlay.json"
        data = json.dumps(json.loads(file.read_bytes()) | fields).encode()
        file.write_bytes(data)
        checksum = f"{hashlib.sha256(data).hexdigest()}  overlay.json\n"
        (overlay.path / "overlay.json.sha256").write_text(checksum)

    return change


def test_a_bundle_that_learned_nothing_has_no_folder(tiny_copy):
    overlay = Overlay.open(Bundle.open(tiny_copy))
    assert overlay.lessons == ()
    assert not overlay.path.exists()


def test_a_lesson_is_read_as_it_was_written(overlay, tiny_copy, make_lesson):
    read = Overlay.open(Bundle.open(tiny_copy))
    assert read.lessons == overlay.lessons
    assert read.path == tiny_copy.with_name("copy.bundle.overlay")
    (lesson,) = read.lessons
    assert (lesson.number, lesson.kind, lesson.label, lesson.frames) == (1, "teach", "cross", 5)
    np.testing.assert_array_equal(read.read_features(lesson), make_lesson().features)
    assert [read.read(photo) for photo in lesson.photos] == list(make_lesson().photos)
    assert not read.find_damage()


def test_undo_forgets_the_last_lesson_and_with_the_first_the_folder(overlay, make_lesson):
    both = overlay.add(make_lesson(None))
    assert [one.label for one in both.lessons] == ["cross", None]
    one = both.undo()
    assert one.lessons == overlay.lessons
    assert not (overlay.path / "lesson-0002.npz").exists()
    assert one.undo().lessons == ()
    assert not overlay.path.exists()


@pytest.mark.parametrize(
    ("call", "before", "learned"),
    [
        ("link", 0, 1),
        ("link", 3, 1),
        ("fsync", 0, 1),
        ("fsync", 9, 1),
        ("_swap", 0, 1),
        ("_exchange_at_once", 0, 1),
        # The new folder is in place, and the old one not yet removed.
        ("_remove", 0, 2),
    ],
)
def test_a_power_cut_leaves_the_old_lessons_or_the_new_ones(
    call, before, learned, overlay, tiny_copy, run_python, make_lesson
):
    done = run_python(KILLED, tiny_copy, call, before)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = Overlay.open(Bundle.open(tiny_copy))
    assert not found.find_damage()
    assert len(found.lessons) == learned
    # The next lesson clears away what was left.
    found.add(make_lesson("moon"))
    assert [path.name for path in tiny_copy.parent.glob(".copy.bundle.overlay.*")] == []


def test_a_full_disk_leaves_the_old_lessons(overlay, tiny_copy, make_lesson, monkeypatch, wording):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(StorageError, match=wording):
            overlay.add(make_lesson("star"))
    assert Overlay.open(Bundle.open(tiny_copy)).lessons == overlay.lessons


def test_lessons_of_another_bundle_are_refused(overlay, seal, tiny_copy, wording):
    seal(bundle_sha256="0" * 64)
    with pytest.raises(BundleError, match=wording):
        Overlay.open(Bundle.open(tiny_copy))


def test_a_newer_format_is_refused(overlay, seal, tiny_copy, wording):
    seal(format_version=2, news=True)
    with pytest.raises(BundleError, match=wording):
        Overlay.open(Bundle.open(tiny_copy))


def test_a_file_that_is_not_listed_is_named(overlay, tiny_copy, wording):
    (overlay.path / "lesson-0002.npz").write_bytes(b"stray")
    with pytest.raises(BundleError, match=wording):
        Overlay.open(Bundle.open(tiny_copy))


@pytest.mark.parametrize("name", ["overlay.json", "overlay.json.sha256"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_manifest_is_refused(name, damage, overlay, tiny_copy, wording):
    spoil(overlay.path / name, damage)
    with pytest.raises(BundleError, match=wording):
        Overlay.open(Bundle.open(tiny_copy))


@pytest.mark.parametrize("name", ["lesson-0001.npz", "lesson-0001/0003.jpg"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_of_a_lesson_is_found(name, damage, overlay, tiny_copy, wording):
    spoil(overlay.path / name, damage)
    found = Overlay.open(Bundle.open(tiny_copy)).find_damage()
    assert len(found) == 1
    assert name in found[0]
    assert re.search(wording, found[0])


def test_features_that_are_no_numbers_are_refused(tiny_copy, make_lesson, wording):
    lesson = make_lesson()
    lesson.features[2, 3] = np.nan
    overlay = Overlay.open(Bundle.open(tiny_copy)).add(lesson)
    with pytest.raises(BundleError, match=wording):
        overlay.read_features(overlay.lessons[0])


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_classifier_answers_without_a_damaged_overlay_and_says_so(
    damage, overlay, tiny_copy, golden_frames, wording
):
    spoil(overlay.path / "overlay.json", damage)
    classifier = Classifier.open(tiny_copy)
    assert re.search(wording, classifier.fault)
    assert classifier(golden_frames[0]).labels == classifier.bundle.manifest.outputs


def test_clearing_removes_a_damaged_overlay(overlay):
    spoil(overlay.path / "overlay.json", "cut")
    clear_overlay(overlay.path)
    assert not overlay.path.exists()


def test_clearing_leaves_a_folder_that_is_no_overlay(tiny_copy, wording):
    folder = find_overlay(tiny_copy)
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(StorageError, match=wording):
        clear_overlay(folder)
    assert (folder / "diary.txt").read_text() == "mine"


def test_two_programs_do_not_learn_at_once(tiny_copy, wording):
    with locked(tiny_copy), pytest.raises(LockedError, match=wording), locked(tiny_copy):
        pass
    with locked(tiny_copy):
        pass


def test_two_programs_may_learn_for_two_bundles_in_one_folder(tiny_copy):
    other = tiny_copy.with_name("other.bundle")
    shutil.copytree(tiny_copy, other)
    with locked(tiny_copy), locked(other):
        pass


def test_an_overlay_beside_a_zip_has_its_name(tiny_copy):
    zipped = shutil.make_archive(str(tiny_copy.with_name("parts")), "zip", tiny_copy)
    overlay = Overlay.open(Bundle.open(zipped))
    assert overlay.path.name == "parts.zip.overlay"


def spoil(path, damage):
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])


def test_a_pipe_in_place_of_the_manifest_is_damage_and_no_hang(overlay, tiny_copy):
    before = digest_overlay(tiny_copy)
    (overlay.path / "overlay.json").unlink()
    os.mkfifo(overlay.path / "overlay.json")
    assert digest_overlay(tiny_copy) != before
    with pytest.raises(BundleError, match=r"too large, a link or a device.*--clear"):
        Overlay.open(Bundle.open(tiny_copy))


def test_a_huge_manifest_is_not_read(overlay, tiny_copy):
    os.truncate(overlay.path / "overlay.json", 10**12)
    assert digest_overlay(tiny_copy) == ""
    with pytest.raises(BundleError, match="too large"):
        Overlay.open(Bundle.open(tiny_copy))


def test_damage_to_features_is_seen_in_the_digest(overlay, tiny_copy):
    before = digest_overlay(tiny_copy)
    spoil(overlay.path / "lesson-0001.npz", "cut")
    assert digest_overlay(tiny_copy) != before


@pytest.mark.parametrize("kept", [0, 1])
def test_a_reader_that_meets_a_writer_finds_the_old_lessons_or_the_new_ones(
    kept, tiny_copy, make_lesson
):
    bundle = Bundle.open(tiny_copy)
    first = Overlay.open(bundle)
    for _ in range(kept):
        first = first.add(make_lesson())
    ends = threading.Event()

    def write():
        overlay = first
        while not ends.is_set():
            overlay = overlay.add(make_lesson()).undo()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert len(Overlay.open(bundle).lessons) in (kept, kept + 1)
        for _ in range(10):
            assert Classifier.open(bundle).fault == ""
    finally:
        ends.set()
        writer.join()
