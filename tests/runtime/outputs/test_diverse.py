"""Diverse frames: unlike what is known and one another, within the quota, also after a restart."""

import json
import os
import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.device import Device
from edgetl_runtime.outputs import frame_clock
from edgetl_runtime.outputs.collect import Collect, CollectedFrame
from edgetl_runtime.outputs.diverse import Known, decode_features, encode_features, find_doubt
from edgetl_runtime.outputs.diversity import MOST, Diversity
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import (
    CollectSettings,
    ModelSettings,
    OutputSettings,
    Settings,
    SourceSettings,
)

FEATURES = 64
LEARNING = Path(__file__).parents[2] / "data" / "learning.bundle"
UNSURE, SURE = (0.5, 0.4, 0.1), (0.9, 0.06, 0.04)


def point(*weights: float) -> np.ndarray:
    """Features with these weights; the others are 0."""
    return np.array([*weights, *[0.0] * (FEATURES - len(weights))], np.float32)


def point_alone(n: int) -> np.ndarray:
    """As far as can be from any other such features."""
    return np.eye(FEATURES, dtype=np.float32)[n]


def know(*rows: np.ndarray, sha256: str = "ab" * 32, variant: str = "litert-int8") -> Known:
    return Known(sha256, variant, lambda: np.array(rows) if rows else None)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "collected"


@pytest.fixture
def open_collect(folder):
    def open_collect(*known, what=("diverse",), every_s=1e-9, quota_mb=256, model=None):
        settings = CollectSettings(
            what=what, folder=str(folder), every_s=every_s, quota_mb=quota_mb
        )
        return Collect(settings, lambda: "ab" * 32, lambda: model or know(*known))

    return open_collect


@pytest.fixture
def offer(make_answer, picture):
    """Offers a frame; returns whether it was stored."""
    count = iter(range(10**6))

    def offer(collect, features, image=picture, **changes):
        answer = make_answer(next(count), picture=image, **changes)
        prediction = msgspec.structs.replace(answer.prediction, features=features)
        answer = msgspec.structs.replace(answer, prediction=prediction)
        before = set(os.listdir(collect._folder.path)) if collect._folder.path.exists() else set()
        if collect.accepts(answer):
            collect.write(answer)
        after = set(os.listdir(collect._folder.path)) if collect._folder.path.exists() else set()
        return bool(after - before)

    return offer


@pytest.fixture
def large_picture():
    """A picture of more than 100 kB as a JPEG, so that nine fill a quota of 1 MB."""
    noise = np.random.default_rng(0).integers(0, 255, (260, 340, 3), dtype=np.uint8)
    assert 100_000 < len(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]) < 200_000
    return noise


def list_features(folder):
    """Index of the largest feature of each kept frame, by number."""
    records = [
        msgspec.json.decode(path.read_bytes(), type=CollectedFrame)
        for path in sorted(folder.glob("*.json"))
    ]
    return [int(decode_features(one.features).argmax()) for one in records]


def test_what_looks_like_a_known_photo_or_a_kept_frame_is_not_kept(open_collect, offer, folder):
    collect = open_collect(point(1.0))
    assert not offer(collect, point(5.0, 0.1))
    assert offer(collect, point(0.0, 1.0))
    assert not offer(collect, point(0.0, 3.0, 0.2))
    assert offer(collect, point(0.0, 1.0, 1.0))
    assert sorted(path.name for path in folder.glob("*.jpg")) == [
        "000000001_diverse_gear.jpg",
        "000000002_diverse_gear.jpg",
    ]


def test_the_record_says_diverse_and_holds_the_features_and_their_variant(
    open_collect, offer, folder
):
    features = np.random.default_rng(1).random(FEATURES).astype(np.float32)
    offer(open_collect(), features)
    (path,) = folder.glob("*.json")
    record = msgspec.json.decode(path.read_bytes(), type=CollectedFrame)
    assert (record.format_version, record.kinds, record.variant) == (4, ("diverse",), "litert-int8")
    assert np.array_equal(decode_features(record.features), features.astype(np.float16))


def test_features_too_large_for_a_record_stay_finite():
    assert np.isfinite(decode_features(encode_features(np.array([1e30, -1e30, 1.0])))).all()
    assert decode_features(b"\0") is None
    assert decode_features(np.array([np.nan], "<f2").tobytes()) is None


def test_how_alike_is_alike_the_known_photos_say():
    random = np.random.default_rng(2)
    apart = Diversity(random.random((40, FEATURES)))
    alike = Diversity(1 + 0.01 * random.random((40, FEATURES)))
    assert apart.least > 10 * alike.least > 0


def test_without_features_no_frame_is_diverse_and_others_are_kept_as_before(
    open_collect, offer, folder
):
    assert not offer(open_collect(), None)
    assert offer(open_collect(what=("unsure", "diverse")), None, scores=UNSURE)
    (path,) = folder.glob("*.json")
    assert json.loads(path.read_bytes())["features"] is None


def test_an_unsure_frame_that_is_not_diverse_is_kept_as_unsure(open_collect, offer, folder):
    collect = open_collect(point(1.0), what=("unsure", "diverse"))
    assert offer(collect, point(1.0), scores=UNSURE)
    assert offer(collect, point(0.0, 1.0), scores=UNSURE)
    kinds = [json.loads(path.read_bytes())["kinds"] for path in sorted(folder.glob("*.json"))]
    assert kinds == [["unsure"], ["unsure", "diverse"]]


def test_a_frame_that_was_offered_as_diverse_only_is_not_kept_as_sampled(
    open_collect, offer, monkeypatch
):
    now = [100.0]
    monkeypatch.setattr(frame_clock.time, "monotonic", lambda: now[0])
    collect = open_collect(point(1.0), what=("sampled", "diverse"), every_s=60.0)
    assert offer(collect, point(1.0))  # as sampled; not diverse, so diverse is tried again soon
    now[0] += 2.0
    assert not offer(collect, point(1.0))
    now[0] += 2.0
    assert offer(collect, point(0.0, 1.0))
    now[0] += 2.0
    assert not collect.wants_picture()


def test_when_the_quota_is_full_the_least_diverse_goes_and_not_the_oldest(
    open_collect, offer, folder, large_picture
):
    collect = open_collect(quota_mb=1)
    offer(collect, point_alone(0), large_picture)
    offer(collect, point_alone(1), large_picture)
    # Between the second one and the third there is half a right angle.
    alike = point(0.0, 1.0, 1.0)
    offer(collect, alike, large_picture)
    full, n = False, 10
    while not full:
        before = list_features(folder)
        assert offer(collect, point_alone(n), large_picture)
        full = len(list_features(folder)) == len(before)
        n += 1
    kept = list_features(folder)
    assert kept[0] == 0
    assert kept.count(1) == 1  # one of the two that are alike is gone
    assert kept[-1] == n - 1
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10**6
    assert len(list(folder.glob("*.jpg"))) == len(list(folder.glob("*.json")))


def test_an_unsure_frame_that_is_not_diverse_enough_is_kept_as_unsure(
    open_collect, offer, folder, monkeypatch
):
    monkeypatch.setattr("edgetl_runtime.outputs.diverse.MOST", 2)
    collect = open_collect(what=("unsure", "diverse"))
    for n in range(2):
        offer(collect, point_alone(n), scores=UNSURE)
    assert offer(collect, point(1.0, 1.0), scores=UNSURE)
    kinds = [json.loads(path.read_bytes())["kinds"] for path in sorted(folder.glob("*.json"))]
    assert kinds == [["unsure", "diverse"], ["unsure", "diverse"], ["unsure"]]


def test_when_the_quota_is_full_a_frame_less_diverse_than_all_pushes_none_out(
    open_collect, offer, folder, large_picture
):
    collect = open_collect(quota_mb=1)
    for n in range(12):
        offer(collect, point_alone(n), large_picture)
    before = sorted(os.listdir(folder))
    assert not offer(collect, point(0.0, 1.0, 1.0), large_picture)
    assert sorted(os.listdir(folder)) == before


def test_of_frames_as_far_away_the_one_that_the_model_is_surest_of_goes(
    open_collect, offer, folder, large_picture
):
    for n in range(14):
        # Opened anew each time: how sure the model was, the records tell.
        collect = open_collect(quota_mb=1)
        offer(collect, point_alone(n), large_picture, scores=SURE if n in (2, 4) else UNSURE)
    kept = list_features(folder)
    assert 8 <= len(kept) < 12
    assert not {2, 4} & set(kept)
    assert {0, 1, 3, 5} <= set(kept)


def test_of_a_rejected_frame_the_model_is_in_doubt_whatever_its_scores():
    scores = np.array([0.05, 0.05, 0.9], np.float32)
    labels = ("gear", "washer", "unknown")
    prediction = Prediction(labels, scores, 0.0, 0.0, 0.0, 0.0, 0.0, unknown=2)
    assert find_doubt(prediction) == 1
    sure = msgspec.structs.replace(prediction, unknown=None)
    assert find_doubt(sure) == pytest.approx(0.15)


def test_a_long_run_keeps_more_diverse_frames_than_the_last_ones(
    open_collect, offer, folder, large_picture
):
    random = np.random.default_rng(3)
    scenes = [point_alone(n) for n in range(6)]
    frames = [scenes[0] + 0.02 * random.random(FEATURES) for _ in range(60)]
    # Each other scene is seen once, early on.
    frames[5:10] = scenes[1:]
    collect = open_collect(quota_mb=1)
    for features in frames:
        offer(collect, features.astype(np.float32), large_picture)
    assert set(list_features(folder)) == set(range(6))


def test_after_a_restart_it_knows_what_it_kept(open_collect, offer, folder, large_picture):
    for n in range(3):
        offer(open_collect(quota_mb=1), point_alone(n), large_picture)
    collect = open_collect(quota_mb=1)
    for n in range(3):
        assert not offer(collect, point_alone(n) + 0.01, large_picture)
    assert offer(collect, point_alone(3), large_picture)
    assert list_features(folder) == [0, 1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"{", b'{"kinds": ["diverse"], "features": 3}', b"\0"])
def test_a_damaged_record_of_an_earlier_run_is_passed_over(open_collect, offer, folder, content):
    offer(open_collect(), point_alone(0))
    (record,) = folder.glob("*.json")
    record.write_bytes(content)
    assert offer(open_collect(), point_alone(1))


def test_frames_that_a_person_took_away_may_be_collected_again(open_collect, offer, folder):
    collect = open_collect()
    assert offer(collect, point_alone(0))
    shutil.rmtree(folder)
    assert offer(collect, point_alone(1))
    assert offer(collect, point_alone(0))


def test_frames_of_another_model_are_not_compared_and_go_first(
    open_collect, offer, folder, large_picture
):
    for n in range(5):
        offer(open_collect(quota_mb=1), point_alone(n), large_picture)
    other = know(point_alone(0)[:32], sha256="cd" * 32)
    collect = open_collect(quota_mb=1, model=other)
    collect._find_digest = lambda: "cd" * 32
    for n in range(1, 12):
        offer(collect, point_alone(n)[:32], large_picture)
    records = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    assert {one["bundle_sha256"] for one in records} == {"cd" * 32}


def test_diverse_frames_and_others_share_the_quota(open_collect, offer, folder, large_picture):
    collect = open_collect(point_alone(60), what=("sampled", "diverse"), quota_mb=1)
    for _ in range(12):
        offer(collect, point_alone(60), large_picture)
    for n in range(12):
        offer(collect, point_alone(n), large_picture)
    for _ in range(12):
        offer(collect, point_alone(60), large_picture)
    kinds = [json.loads(path.read_bytes())["kinds"][0] for path in folder.glob("*.json")]
    assert kinds.count("diverse") >= 2
    assert kinds.count("sampled") >= 2


def test_what_is_in_memory_is_bounded(open_collect, offer, folder, monkeypatch):
    monkeypatch.setattr("edgetl_runtime.outputs.diverse.MOST", 5)
    collect = open_collect()
    for n in range(9):
        offer(collect, point_alone(n))
    assert len(collect._diverse._diversity) == 5
    assert MOST * 2048 * 4 < 5e6


def test_removing_a_frame_makes_its_twin_diverse_again():
    diversity = Diversity(np.empty((0, FEATURES)))
    diversity.add(1, point_alone(0))
    diversity.add(2, point(1.0, 0.3))
    diversity.add(3, point_alone(2))
    (least, number), *_ = diversity.rank()
    assert (number, least < 0.1) == (1, True)
    diversity.keep_only({2, 3})
    assert diversity.rank()[0][0] == pytest.approx(1.0)


def test_predictions_carry_features_only_if_asked(golden_frames):
    plain, told = Classifier.open(LEARNING), Classifier.open(LEARNING, features=True)
    first, second = plain(golden_frames[0]), told(golden_frames[0])
    assert first.features is None
    assert second.features.dtype == np.float32
    assert second.features.size == Known.of(told.bundle, told.variant).read_rows().shape[1]
    assert np.array_equal(first.scores, second.scores)


def test_a_bundle_without_features_still_opens(tiny, golden_frames):
    classifier = Classifier.open(tiny, features=True)
    assert not classifier.has_features
    assert classifier(golden_frames[0]).features is None


def run_device(folder, bundle, photos):
    warnings: list[str] = []
    settings = Settings(
        model=ModelSettings(bundle=str(bundle), threads=1),
        source=SourceSettings(address=str(photos)),
        output=OutputSettings(terminal="none"),
        collect=CollectSettings(what=("diverse",), folder=str(folder), every_s=1e-9),
    )
    Device(settings, warn=warnings.append).run()
    return warnings


def test_a_device_keeps_one_of_many_copies_and_nothing_that_it_knows(folder, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(5)
    strange = random.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for n in range(6):
        cv2.imwrite(str(photos / f"{n}.png"), cv2.convertScaleAbs(strange, alpha=1 - 0.001 * n))
    said = [one for one in run_device(folder, LEARNING, photos) if "diverse" in one]
    assert said == [f"1 frame kept in {folder} (1 diverse)"]
    assert len(list(folder.glob("*.jpg"))) == 1
    (path,) = folder.glob("*.json")
    record = msgspec.json.decode(path.read_bytes(), type=CollectedFrame)
    assert record.bundle_sha256 == Bundle.open(LEARNING).sha256
    assert record.kinds == ("diverse",)


def test_a_device_whose_model_shows_no_features_says_so(folder, tmp_path, tiny, golden_frames):
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "0.png"), golden_frames[0])
    warning, kept, *_ = run_device(folder, tiny, photos)
    assert "no frames will be kept as diverse" in warning
    assert kept == f"0 frames kept in {folder} (0 diverse)"
    assert not folder.exists()
