"""Collecting and event pictures: which frames, whole files, and a quota that always holds."""

import json
import os
import time

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.device import Device
from edgetl_runtime.errors import OutputError, UndeliveredError
from edgetl_runtime.outputs import frame_clock
from edgetl_runtime.outputs.collect import Collect, CollectedFrame
from edgetl_runtime.outputs.quota import QuotaFolder
from edgetl_runtime.outputs.snapshots import Snapshots
from edgetl_runtime.outputs.worker import QUEUED
from edgetl_runtime.settings.sections import (
    CollectSettings,
    ModelSettings,
    OutputSettings,
    Settings,
    SourceSettings,
)

UNSURE, SURE, LOW = (0.5, 0.4, 0.1), (0.9, 0.06, 0.04), (0.4, 0.35, 0.25)


@pytest.fixture
def open_collect(tmp_path):
    def open_collect(*what, every_s=1000.0, folder=None, **options):
        folder = folder or tmp_path / "collected"
        settings = CollectSettings(what=what, folder=str(folder), every_s=every_s, **options)
        return Collect(settings, lambda: "ab" * 32)

    return open_collect


@pytest.fixture
def offer(make_answer, picture):
    def offer(collect, scores=UNSURE, **changes):
        answer = make_answer(scores=scores, **{"picture": picture, **changes})
        if accepted := collect.accepts(answer):
            collect.write(answer)
        return accepted

    return offer


@pytest.mark.parametrize(
    ("kind", "taken", "left"),
    [("unsure", UNSURE, SURE), ("rejected", LOW, SURE), ("sampled", SURE, None)],
)
def test_frames_of_a_kind_are_kept(open_collect, offer, tmp_path, kind, taken, left):
    collect = open_collect(kind)
    assert left is None or not offer(collect, left)
    assert offer(collect, taken)
    record, jpeg = (tmp_path / "collected").glob("*.json"), (tmp_path / "collected").glob("*.jpg")
    frame = msgspec.json.decode(next(record).read_bytes(), type=CollectedFrame)
    assert frame.kinds == (kind,)
    assert frame.bundle_sha256 == "ab" * 32
    assert frame.answer.frame_score == pytest.approx(max(taken))
    assert cv2.imread(str(next(jpeg))).shape == (48, 64, 3)


def test_a_file_waits_for_every_frame_that_is_to_be_kept(
    open_collect, start_worker, make_answer, picture, tmp_path
):
    worker = start_worker(open_collect("sampled", every_s=1e-9), live=False)
    for index in range(5 * QUEUED):
        assert worker.wants_picture()
        worker.publish(make_answer(index, picture=picture))
    worker.close(60)
    assert worker.status().dropped == 0
    assert len(list((tmp_path / "collected").glob("*.jpg"))) == 5 * QUEUED


def test_picture_and_record_have_one_name_that_says_what_they_are(open_collect, offer, tmp_path):
    collect = open_collect("rejected", "unsure", every_s=1e-9)
    for label in ("../gear", "Mutter \U0001f529", "x" * 300):
        offer(collect, UNSURE, labels=(label, "b", "c"), threshold=0.3)
    offer(collect, LOW)
    assert sorted(os.listdir(tmp_path / "collected")) == [
        f"{stem}.{suffix}"
        for stem in (
            "000000001_unsure_gear",
            "000000002_unsure_Mutter",
            f"000000003_unsure_{'x' * 40}",
            "000000004_rejected_none",
        )
        for suffix in ("jpg", "json")
    ]


def test_a_kept_picture_is_nearly_the_frame(open_collect, offer, tmp_path, picture):
    offer(open_collect("sampled"))
    (path,) = (tmp_path / "collected").glob("*.jpg")
    difference = np.abs(cv2.imread(str(path)).astype(int) - picture)
    assert difference.mean() < 3


@pytest.mark.parametrize("changes", [{"stale": True}, {"low_information": True}, {"picture": None}])
def test_frames_of_no_use_are_not_kept(open_collect, offer, changes):
    assert not offer(open_collect("sampled", "unsure"), **changes)


def test_a_kind_adds_one_frame_in_its_time_and_asks_for_no_other(open_collect, offer, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(frame_clock.time, "monotonic", lambda: now[0])
    collect = open_collect("sampled", "unsure", every_s=5.0)
    assert collect.wants_picture()
    assert offer(collect, SURE)
    assert collect.wants_picture()  # unsure is still due
    assert not offer(collect, SURE)
    assert offer(collect, UNSURE)
    assert not collect.wants_picture()
    now[0] += 4.9
    assert not offer(collect, UNSURE)
    now[0] += 0.2
    assert collect.wants_picture()
    assert offer(collect, UNSURE)


def test_in_a_video_the_time_between_frames_is_its_own(open_collect, offer, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(frame_clock.time, "monotonic", lambda: now[0])
    collect = open_collect("sampled", every_s=5.0)
    kept = []
    for n in range(40):
        now[0] += 0.001
        # Twice the same film: where it begins again, its time goes on.
        if offer(collect, SURE, index=n, file="film.avi", position_s=float(n % 20)):
            kept.append(n)
    assert kept == [0, 5, 10, 15, 21, 26, 31, 36]
    now[0] += 1000
    assert not offer(collect, SURE, index=40, file="film.avi", position_s=20.0)
    now[0] += 1000
    assert offer(collect, SURE, index=41, file="photo.jpg")


def test_photos_of_a_folder_do_not_wait_for_one_another(open_collect, offer):
    collect = open_collect("sampled", every_s=1000.0)
    for n in range(5):
        assert collect.wants_picture()
        assert offer(collect, SURE, index=n, file=f"{n}.jpg")


def test_a_frame_that_is_due_soon_is_asked_for_since_some_are_under_way(open_collect, offer):
    collect = open_collect("sampled", every_s=60.0)
    asked = []
    for n in range(8):
        asked.append(collect.wants_picture())
        offer(collect, SURE, index=n, file="film.avi", position_s=10.0 * n, picture=None)
        if n == 0:
            offer(collect, SURE, index=n, file="film.avi", position_s=10.0 * n)
    assert asked == [True, False, False, False, True, True, True, True]


def test_at_the_end_it_says_how_many_frames_of_each_kind_were_kept(tmp_path, offer, open_collect):
    said = []
    settings = CollectSettings(
        what=("sampled", "unsure", "rejected"), folder=str(tmp_path / "kept"), every_s=1e-9
    )
    for scores in ((SURE, UNSURE, UNSURE), ()):
        collect = Collect(settings, lambda: "ab" * 32, note=said.append)
        for one in scores:
            offer(collect, one)
        collect.close()
    assert said == [
        f"3 frames kept in {tmp_path / 'kept'} (0 rejected, 2 unsure, 3 sampled)",
        f"0 frames kept in {tmp_path / 'kept'} (0 rejected, 0 unsure, 0 sampled), which has 3 now",
    ]


def test_of_a_video_as_many_frames_are_kept_as_of_a_camera_that_sees_the_same(tmp_path, tiny):
    film, folder, said = tmp_path / "film.avi", tmp_path / "kept", []
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (72, 72))
    random = np.random.default_rng(0)
    for _ in range(300):
        writer.write(random.integers(0, 255, (72, 72, 3), dtype=np.uint8))
    writer.release()
    settings = Settings(
        model=ModelSettings(bundle=str(tiny), threads=1),
        source=SourceSettings(address=str(film)),
        output=OutputSettings(terminal="none"),
        collect=CollectSettings(what=("sampled",), folder=str(folder)),
    )
    Device(settings, warn=said.append).run()
    frames = [json.loads(path.read_bytes())["answer"] for path in sorted(folder.glob("*.json"))]
    positions = [one["position_s"] for one in frames]
    assert positions == pytest.approx([0, 5, 10, 15, 20, 25], abs=0.6)
    assert f"6 frames kept in {folder} (6 sampled)" in said


def test_the_folder_stays_within_its_quota_and_the_oldest_go(tmp_path):
    folder = QuotaFolder(tmp_path, 10_000)
    for _ in range(50):
        folder.store(("event", "gear"), {".jpg": bytes(1500), ".json": bytes(100)})
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    numbers = sorted({int(path.name[:9]) for path in tmp_path.iterdir()})
    assert numbers == list(range(45, 51))
    assert len(list(tmp_path.iterdir())) == 12


def test_a_picture_and_its_record_go_together(tmp_path):
    folder = QuotaFolder(tmp_path, 5_000)
    for _ in range(20):
        folder.store(("a",), {".jpg": bytes(1000), ".json": bytes(10)})
        stems = [path.stem for path in tmp_path.iterdir()]
        assert all(stems.count(stem) == 2 for stem in stems)


def test_where_a_record_cannot_be_written_its_picture_does_not_stay(small_disk):
    (small_disk / "ballast").write_bytes(bytes(240 * 1024))
    with pytest.raises(UndeliveredError):
        QuotaFolder(small_disk, 10**6).store(("a",), {".jpg": bytes(100), ".json": bytes(60_000)})
    assert os.listdir(small_disk) == ["ballast"]


def test_after_a_restart_the_quota_holds_and_numbers_go_on(tmp_path):
    for _ in range(20):
        QuotaFolder(tmp_path, 5_000).store(("a",), {".jpg": bytes(1000)})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"0000000{n}_a.jpg" for n in range(16, 21)
    ]


def test_a_smaller_quota_empties_the_folder(tmp_path):
    for _ in range(10):
        QuotaFolder(tmp_path, 50_000).store(("a",), {".jpg": bytes(1000)})
    QuotaFolder(tmp_path, 2_000).store(("a",), {".jpg": bytes(1000)})
    assert len(list(tmp_path.iterdir())) == 2


def test_files_of_others_count_but_stay(tmp_path, wording):
    (tmp_path / "holiday.jpg").write_bytes(bytes(3000))
    (tmp_path / "000000001_mine.txt").write_bytes(bytes(1000))
    folder = QuotaFolder(tmp_path, 6_000)
    for _ in range(5):
        folder.store(("a",), {".jpg": bytes(1000)})
    assert (tmp_path / "holiday.jpg").exists()
    assert (tmp_path / "000000001_mine.txt").exists()
    assert len(list(tmp_path.glob("*_a.jpg"))) == 2
    (tmp_path / "holiday.jpg").write_bytes(bytes(6000))
    with pytest.raises(OutputError, match=wording):
        folder.store(("a",), {".jpg": bytes(1000)})
    assert len(list(tmp_path.glob("*_a.jpg"))) == 2


def test_what_a_power_cut_left_half_written_is_removed(tmp_path):
    (tmp_path / ".000000007_unsure_gear.jpg.x81h2").write_bytes(bytes(500))
    (tmp_path / ".hidden").write_bytes(bytes(500))
    QuotaFolder(tmp_path, 5_000).store(("a",), {".jpg": bytes(1000)})
    assert sorted(os.listdir(tmp_path)) == [".hidden", "000000001_a.jpg"]


def test_a_full_disk_is_an_error_and_leaves_nothing_half(small_disk, make_answer, wording):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    settings = CollectSettings(what=("sampled",), folder=str(small_disk), every_s=1e-9)
    collect = Collect(settings, lambda: "")
    answer = make_answer(picture=noise)
    with pytest.raises(UndeliveredError, match=wording):
        for _ in range(100):
            collect.write(answer)
    assert not [name for name in os.listdir(small_disk) if name.startswith(".")]
    for path in small_disk.glob("*.jpg"):
        assert cv2.imread(str(path)) is not None
    for path in small_disk.iterdir():
        path.unlink()
    collect.write(answer)


def test_a_read_only_folder_is_an_error_with_its_path(
    read_only_folder, open_collect, make_answer, wording
):
    collect = open_collect("sampled", folder=read_only_folder)
    with pytest.raises(UndeliveredError, match=wording):
        collect.write(make_answer(picture=np.zeros((8, 8, 3), np.uint8)))


def test_a_full_disk_never_slows_the_pipeline(small_disk, start_worker, make_answer, wait_until):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    settings = CollectSettings(what=("sampled",), folder=str(small_disk), every_s=1e-9)
    worker = start_worker(Collect(settings, lambda: ""))
    assert worker.wants_picture()
    start_s = time.monotonic()
    for _ in range(2000):
        worker.publish(make_answer(picture=noise))
    assert time.monotonic() - start_s < 20
    wait_until(lambda: "No space left" in worker.status().error)


def test_each_event_gets_a_picture_with_the_answer_in_it(tmp_path, make_answer, picture):
    snapshots = Snapshots(tmp_path / "events", 10**6, 3)
    large = cv2.resize(picture, (320, 240))
    assert snapshots.wants_picture()
    assert not snapshots.accepts(make_answer(picture=large))
    snapshots.write(make_answer(previous=None, picture=large))
    (path,) = (tmp_path / "events").iterdir()
    assert path.name == "000000001_event_gear.jpg"
    drawn = cv2.imread(str(path))
    assert np.abs(drawn[200:].astype(int) - large[200:]).mean() > 20
    assert np.abs(drawn[60:120].astype(int) - large[60:120]).mean() < 3


def test_a_record_can_be_read_by_any_program(open_collect, offer, tmp_path):
    offer(open_collect("unsure"))
    (path,) = (tmp_path / "collected").glob("*.json")
    (line,) = path.read_text("utf-8").splitlines()
    assert json.loads(line)["answer"]["label"] == "gear"


def test_a_record_ranks_what_the_frame_alone_was_taken_for(open_collect, offer, tmp_path):
    smoothed = np.array([0.1, 0.8, 0.1], np.float32)
    offer(open_collect("unsure"), UNSURE, smoothed=smoothed)
    (path,) = (tmp_path / "collected").glob("*.json")
    assert json.loads(path.read_text())["answer"]["top"][0] == {"label": "gear", "score": 0.5}
