import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError, EngineError, FrameError

ENGINES = ("litert", "onnx")
FRAME = np.full((48, 64, 3), (0, 0, 255), np.uint8)


def fake(bundle, engine):
    return Classifier(bundle, bundle.variant(), engine)


def test_the_engine_gets_the_models_input_in_rgb(bundle, fake_engine):
    engine = fake_engine(0.2, 0.5, 0.3)
    fake(bundle, engine)(FRAME)
    assert engine.pixels[0].shape == (32, 32, 3)
    assert (engine.pixels[0] == (255, 0, 0)).all()


def test_the_prediction_carries_the_labels_of_the_bundle(bundle, fake_engine):
    prediction = fake(bundle, fake_engine(0.1, 0.8, 0.1))(FRAME)
    assert prediction.label == "spring"
    assert prediction.labels == bundle.labels


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(bad, bundle, fake_engine, wording):
    with pytest.raises(EngineError, match=wording):
        fake(bundle, fake_engine(0.2, bad, 0.3))(FRAME)


def test_the_capture_time_is_passed_on(bundle, fake_engine):
    prediction = fake(bundle, fake_engine(0.2, 0.5, 0.3))(FRAME, captured_s=12.5)
    assert prediction.captured_s == 12.5
    assert prediction.age_ms == pytest.approx((prediction.answered_s - 12.5) * 1e3)


def test_the_capture_time_is_now_unless_given(bundle, fake_engine):
    before = time.monotonic()
    prediction = fake(bundle, fake_engine(0.1, 0.8, 0.1))(FRAME)
    assert before <= prediction.captured_s <= prediction.answered_s <= time.monotonic()


def test_the_stages_times_fit_into_the_age(bundle, fake_engine):
    prediction = fake(bundle, fake_engine(0.1, 0.8, 0.1))(FRAME)
    assert 0 < prediction.preprocess_ms + prediction.invoke_ms <= prediction.age_ms


def test_temperature_and_threshold_come_from_the_bundle(edit, fake_engine):
    calibration = {"temperature": 2.0, "reject_threshold": 0.6}
    bundle = Bundle.open(
        edit(lambda manifest: manifest["variants"][0].update(calibration=calibration))
    )
    prediction = fake(bundle, fake_engine(0.04, 0.64, 0.32))(FRAME)
    roots = np.sqrt([0.04, 0.64, 0.32])
    assert prediction.scores == pytest.approx(roots / roots.sum(), abs=1e-6)
    assert prediction.label is None


def test_what_is_no_frame_is_refused(bundle, fake_engine):
    with pytest.raises(FrameError):
        fake(bundle, fake_engine(0.2, 0.5, 0.3))(FRAME.astype(np.float32))


def test_golden_frames_get_the_labels_that_export_recorded(tiny, golden_frames):
    classifier = Classifier.open(tiny)
    expected = np.argmax(classifier.variant.golden_scores, axis=1)
    found = [classifier(frame).label for frame in golden_frames]
    assert found == [classifier.bundle.labels[index] for index in expected]
    assert len(set(found)) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_can_be_chosen(engine, tiny):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    classifier = Classifier.open(str(tiny), engine=engine)
    assert classifier.variant.engine == engine
    assert classifier(FRAME).label in classifier.bundle.labels


def test_the_variant_can_be_chosen(bundle):
    assert Classifier.open(bundle, variant="litert-float32").variant.name == "litert-float32"


def test_an_unknown_variant_lists_those_present(tiny, wording):
    with pytest.raises(BundleError, match=wording):
        Classifier.open(tiny, variant="litert-int4")


def test_only_verified_bytes_reach_the_engine_while_the_file_changes(tiny_copy, monkeypatch):
    """Somebody swaps the file all the time; each load gets the right bytes or is refused."""
    bundle = Bundle.open(tiny_copy)
    variant = bundle.variant()
    path = tiny_copy / variant.file
    sound = path.read_bytes()
    tampered = sound[:-1] + bytes([sound[-1] ^ 1])
    (tiny_copy / "sound").write_bytes(sound)
    ended = threading.Event()

    def swap():
        while not ended.is_set():
            for data in (tampered, sound):
                (tiny_copy / "next").write_bytes(data)
                os.replace(tiny_copy / "next", path)

    loaded: list[bytes] = []

    def load(engine, model, tensors, threads, *hidden):
        loaded.append(model)

    monkeypatch.setattr("edgetl_runtime.bundle.opening.open_engine", load)
    swapping = threading.Thread(target=swap)
    swapping.start()
    refused = 0
    try:
        for _ in range(400):
            try:
                Classifier.open(bundle)
            except BundleError:
                refused += 1
    finally:
        ended.set()
        swapping.join()
    assert refused > 0
    assert set(loaded) == {sound}


def test_the_threads_reach_the_engine(tiny):
    assert Classifier.open(tiny, threads=3).engine.threads == 3


def test_threads_may_share_a_classifier(tiny, golden_frames):
    classifier = Classifier.open(tiny)
    expected = classifier(golden_frames[0]).scores
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(classifier, [golden_frames[0]] * 200))
    assert all(np.array_equal(one.scores, expected) for one in found)
