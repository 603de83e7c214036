"""Frames in, stable labels out, and what happens when something on the way is wrong."""

import hashlib

import msgspec
import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import CameraError, ModelOutputError, ServiceError
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.settings.sections import PaceSettings, Settings, SmoothingSettings, ViewSettings

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
PLAIN = SmoothingSettings(method="none")


def one_hot(index: int, classes: int, top: float = 0.97) -> list[float]:
    rest = (1 - top) / (classes - 1)
    return [top if n == index else rest for n in range(classes)]


@pytest.fixture
def classes(bundle) -> int:
    return len(bundle.labels)


@pytest.fixture
def labels(bundle) -> tuple[str, ...]:
    return bundle.labels


def test_every_frame_of_a_file_is_answered_as_the_classifier_alone_does(
    tiny, golden_frames, file_feed, keeping_output
):
    output = keeping_output()
    for frame in golden_frames:
        file_feed.put(frame)
    file_feed.end()
    classifier = Classifier.open(tiny)
    answered = Pipeline(classifier, file_feed, [output], Settings(smoothing=PLAIN)).run()
    assert answered == len(golden_frames)
    for answer, frame in zip(output.answers, golden_frames, strict=True):
        assert np.array_equal(answer.prediction.scores, classifier(frame).scores)
        assert answer.label == classifier(frame).label
    assert [answer.index for answer in output.answers] == list(range(answered))
    assert (file_feed.closed, output.closed) == (1, 1)


def test_frames_of_a_video_are_as_far_apart_as_their_places_in_it(
    scripted, classes, file_feed, keeping_output
):
    for _ in range(2):
        file_feed.put(NOISE)
    for place, frame in enumerate(file_feed.frames):
        # By their numbers, they would be 1/30 s apart.
        at_s = 60.0 * place
        file_feed.frames[place] = msgspec.structs.replace(frame, position_s=at_s, file="film")
    file_feed.end()
    output = keeping_output()
    rows = [one_hot(0, classes), one_hot(1, classes)]
    Pipeline(scripted(*rows), file_feed, [output], Settings()).run()
    assert [(answer.position_s, answer.file) for answer in output.answers] == [
        (0.0, "film"),
        (60.0, "film"),
    ]
    last = output.answers[1]
    assert last.smoothed == pytest.approx(last.prediction.scores, abs=1e-3)


def test_an_event_tells_that_the_stable_label_changed(
    scripted, classes, labels, file_feed, keeping_output
):
    rows = [one_hot(0, classes)] * 3 + [one_hot(1, classes)] * 3
    for _ in rows:
        file_feed.put(NOISE)
    file_feed.end()
    output = keeping_output()
    Pipeline(scripted(*rows), file_feed, [output], Settings(smoothing=PLAIN)).run()
    events = [answer.event for answer in output.answers if answer.event]
    assert [(e.number, e.previous, e.label) for e in events] == [
        (1, None, labels[0]),
        (2, labels[0], labels[1]),
    ]


def test_an_old_frame_gets_no_label(scripted, classes, feed, keeping_output, start, until):
    output = keeping_output()
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed, [output], Settings(smoothing=PLAIN))
    finish = start(pipeline)
    feed.put(NOISE)
    until(lambda: len(output.answers) == 1)
    feed.put(NOISE, age_s=3.0)
    until(lambda: len(output.answers) == 2)
    young, old = output.answers
    assert (young.stale, old.stale) == (False, True)
    assert young.label is not None
    assert old.label is None
    assert old.prediction.age_ms >= 3000
    assert pipeline.status().withheld == 1
    pipeline.stop()
    assert finish() == 2


@pytest.mark.parametrize("trouble", ["lost", "frozen"])
def test_a_camera_that_goes_away_takes_its_label_along(
    trouble, scripted, classes, labels, feed, keeping_output, start, until
):
    pings = []
    settings = Settings(smoothing=PLAIN)
    output = keeping_output()
    classifier = scripted(one_hot(0, classes))
    pipeline = Pipeline(classifier, feed, [output], settings, on_progress=lambda: pings.append(1))
    start(pipeline)
    feed.put(NOISE)
    until(lambda: pipeline.status().label == labels[0])
    feed.state, feed.reason = trouble, "gone"
    until(lambda: pipeline.status().events == 2)
    status = pipeline.status()
    assert status.state == {"lost": "no_camera", "frozen": "stale"}[trouble]
    assert (status.label, status.reason) == (None, "gone")
    assert status.recent_events[-1].label is None
    until(lambda: len(output.answers) == 2)
    taken_back = output.answers[-1]
    assert (taken_back.label, taken_back.stale) == (None, True)
    assert taken_back.event == status.recent_events[-1]
    seen = len(pings)
    until(lambda: len(pings) > seen + 2)
    feed.state = "delivering"
    feed.put(NOISE)
    until(lambda: pipeline.status().label == labels[0])
    assert pipeline.status().state == "ok"


def test_frames_of_a_frozen_camera_get_no_label(
    scripted, classes, feed, keeping_output, start, until
):
    output = keeping_output()
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed, [output], Settings(smoothing=PLAIN))
    start(pipeline)
    feed.state = "frozen"
    until(lambda: pipeline.status().state == "stale")
    while len(output.answers) < 40 and not (output.answers and output.answers[-1].stale):
        feed.put(NOISE)
        until(lambda: not feed.frames)
    assert output.answers[-1].stale
    assert output.answers[-1].label is None


def test_a_frame_that_is_none_costs_itself_only(scripted, classes, file_feed, keeping_output):
    output = keeping_output()
    file_feed.put(NOISE)
    file_feed.put(NOISE.astype(np.float32))
    file_feed.put(np.zeros((0, 0, 3), np.uint8))
    file_feed.put(NOISE)
    file_feed.end()
    pipeline = Pipeline(scripted(one_hot(0, classes)), file_feed, [output])
    assert pipeline.run() == 2
    assert pipeline.status().frame_failures == 2
    assert [answer.index for answer in output.answers] == [0, 3]


def test_frames_may_change_their_size(scripted, classes, file_feed, keeping_output):
    output = keeping_output()
    for shape in [(48, 64, 3), (480, 640, 3), (64, 48, 3), (48, 64)]:
        file_feed.put(RNG.integers(0, 256, shape, dtype=np.uint8))
    file_feed.end()
    assert Pipeline(scripted(one_hot(0, classes)), file_feed, [output]).run() == 4
    assert [answer.size_px for answer in output.answers] == [
        (64, 48),
        (640, 480),
        (48, 64),
        (64, 48),
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 2.0, 0.0])
def test_an_output_that_is_no_probability_gives_no_answer(
    bad, scripted, classes, file_feed, keeping_output
):
    output = keeping_output()
    for _ in range(4):
        file_feed.put(NOISE)
    file_feed.end()
    good = one_hot(0, classes)
    pipeline = Pipeline(scripted(good, [bad] * classes, good, good), file_feed, [output])
    assert pipeline.run() == 3
    assert [answer.index for answer in output.answers] == [0, 2, 3]
    assert pipeline.status().model_failures == 1
    assert pipeline.status().state == "ok"


def test_a_model_that_fails_again_and_again_ends_the_run(scripted, classes, file_feed, wording):
    for _ in range(20):
        file_feed.put(NOISE)
    pipeline = Pipeline(scripted([np.nan] * classes), file_feed)
    with pytest.raises(ModelOutputError, match=wording):
        pipeline.run()
    assert pipeline.status().state == "failed"
    assert file_feed.closed == 1


def test_who_asked_is_told_of_a_failed_model_and_can_take_another_one(
    scripted, classes, labels, feed, keeping_output, start, until
):
    output = keeping_output()
    pipeline: Pipeline

    def repair():
        assert pipeline.status().state == "failed"
        pipeline.swap(scripted(one_hot(1, classes)))

    pipeline = Pipeline(
        scripted([np.nan] * classes),
        feed,
        [output],
        Settings(smoothing=PLAIN),
        on_model_failure=repair,
    )
    start(pipeline)
    for _ in range(8):
        feed.put(NOISE)
    until(lambda: output.answers)
    assert output.answers[0].label == labels[1]
    assert pipeline.status().state == "ok"
    assert pipeline.status().reloads == 1


def test_a_model_can_be_exchanged_for_one_of_another_size_while_frames_come(
    tiny, edit, scripted, classes, feed, keeping_output, start, until
):
    output = keeping_output()
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed, [output], Settings(smoothing=PLAIN))
    start(pipeline)
    feed.put(NOISE)
    until(lambda: len(output.answers) == 1)
    pipeline.swap(scripted(one_hot(2, classes)))
    for _ in range(3):
        feed.put(NOISE)
    until(lambda: len(output.answers) == 4)
    assert output.answers[-1].prediction.index == 2


def test_a_camera_that_can_never_deliver_ends_the_run(scripted, classes, feed, wording):
    feed.fail(CameraError("there is no camera 7"))
    with pytest.raises(CameraError, match=wording):
        Pipeline(scripted(one_hot(0, classes)), feed).run()
    assert feed.closed == 1


def test_a_picture_is_copied_only_for_those_who_ask(scripted, classes, file_feed, keeping_output):
    with_picture = keeping_output(pictures=True)
    image = NOISE.copy()
    file_feed.put(image)
    file_feed.end()
    settings = Settings(view=ViewSettings(region="0.5,0,0.5,1"))
    Pipeline(scripted(one_hot(0, classes)), file_feed, [with_picture], settings).run()
    (answer,) = with_picture.answers
    image[:] = 0
    assert np.array_equal(answer.picture, NOISE[:, 32:])


def test_without_a_taker_no_picture_is_copied(scripted, classes, file_feed, keeping_output):
    output = keeping_output()
    file_feed.put(NOISE)
    file_feed.end()
    Pipeline(scripted(one_hot(0, classes)), file_feed, [output]).run()
    assert output.answers[0].picture is None


@pytest.mark.parametrize(("level", "flagged"), [(0, True), (255, True), (None, False)])
def test_a_covered_lens_is_flagged(level, flagged, scripted, classes, file_feed, keeping_output):
    output = keeping_output()
    file_feed.put(NOISE if level is None else np.full((48, 64, 3), level, np.uint8))
    file_feed.end()
    Pipeline(scripted(one_hot(0, classes)), file_feed, [output]).run()
    assert output.answers[0].low_information is flagged


def test_it_stops_after_so_many_answers(scripted, classes, file_feed):
    for _ in range(10):
        file_feed.put(NOISE)
    settings = Settings(pace=PaceSettings(max_frames=4))
    assert Pipeline(scripted(one_hot(0, classes)), file_feed, (), settings).run() == 4


def test_a_picture_from_elsewhere_is_classified_between_frames(
    tiny, golden_frames, feed, start, until
):
    classifier = Classifier.open(tiny)
    pipeline = Pipeline(classifier, feed)
    start(pipeline)
    for _ in range(5):
        feed.put(golden_frames[0])
        prediction = pipeline.classify(golden_frames[1])
        assert np.array_equal(prediction.scores, classifier(golden_frames[1]).scores)


def test_a_stopped_pipeline_ends_though_no_frame_comes(scripted, classes, feed, start):
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed)
    finish = start(pipeline)
    pipeline.stop()
    assert finish() == 0
    assert feed.closed == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_feed_with_a_mistake_in_it_ends_the_run_instead_of_waiting_for_ever(
    scripted, classes, feed, start, wording
):
    feed.fail(ZeroDivisionError("a mistake"))
    finish = start(Pipeline(scripted(one_hot(0, classes)), feed))
    with pytest.raises(ServiceError, match=wording):
        finish()


def test_answers_count_for_drift(scripted, classes, labels, file_feed):
    file_feed.put(NOISE)
    file_feed.end()
    pipeline = Pipeline(scripted(one_hot(0, classes)), file_feed)
    pipeline.run()
    drift = pipeline.status().drift
    assert (drift.answers, drift.label_shares) == (1, {labels[0]: 1.0})


def test_what_is_wrong_around_a_pipeline_shows_in_its_state(scripted, classes, feed, start, until):
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed)
    start(pipeline)
    feed.put(NOISE)
    until(lambda: pipeline.status().state == "ok")
    pipeline.problem = "the new bundle is damaged"
    assert (pipeline.status().state, pipeline.status().reason) == ("degraded", pipeline.problem)


def answer_all(pipeline):
    return [answer.label for answer in pipeline.answers()]


def test_a_video_is_smoothed_by_its_own_time_however_fast_it_is_read(
    scripted, classes, labels, file_feed
):
    for _ in range(60):
        file_feed.put(NOISE)
    file_feed.end()
    rows = [one_hot(0, classes)] * 30 + [one_hot(1, classes)] * 30
    found = answer_all(Pipeline(scripted(*rows), file_feed))
    # Half a second after the change the new label is stable, though all were read in less.
    assert (found[20], found[31], found[45]) == (labels[0], labels[0], labels[1])


def test_pictures_of_a_folder_are_not_smoothed(scripted, classes, labels, file_feed):
    file_feed.fps = None
    for _ in range(3):
        file_feed.put(NOISE)
    file_feed.end()
    rows = [one_hot(0, classes), one_hot(1, classes), one_hot(0, classes)]
    found = answer_all(Pipeline(scripted(*rows), file_feed))
    assert found == [labels[0], labels[1], labels[0]]


def test_a_label_does_not_outlive_the_greatest_age(
    scripted, classes, labels, feed, keeping_output, start, until
):
    output = keeping_output()
    settings = Settings(smoothing=PLAIN, pace=PaceSettings(max_age_s=0.6))
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed, [output], settings)
    start(pipeline)
    feed.put(NOISE)
    until(lambda: len(output.answers) == 2)
    # The feed never said that it is lost, and no frame came.
    assert [answer.label for answer in output.answers] == [labels[0], None]
    assert output.answers[-1].stale
    assert pipeline.status().state == "stale"
    feed.put(NOISE)
    until(lambda: len(output.answers) == 3)
    assert output.answers[-1].label == labels[0]


def rename_labels(manifest, folder):
    """Makes every label of a bundle another one."""
    labels = [f"other {label}" for label in manifest["labels"]]
    data = "".join(f"{label}\n" for label in labels).encode()
    (folder / "labels.txt").write_bytes(data)
    manifest["labels"] = labels
    manifest["labels_file"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for variant in manifest["variants"]:
        metrics = variant["metrics"]
        metrics["recall"] = {f"other {k}": v for k, v in metrics["recall"].items()}
        metrics["label_shares"] = None


@pytest.mark.parametrize("method", ["average", "majority", "none"])
def test_a_model_with_other_labels_takes_over(
    method, edit, scripted, classes, labels, feed, start, until
):
    folder = edit(lambda manifest: None)
    edit(lambda manifest: rename_labels(manifest, folder))
    other = Classifier.open(folder)
    settings = Settings(smoothing=SmoothingSettings(method=method, hold=2, frames=3))
    pipeline = Pipeline(scripted(one_hot(0, classes)), feed, settings=settings)
    start(pipeline)

    def show(label):
        for _ in range(40):
            feed.put(NOISE)
            until(lambda: not feed.frames)
        until(lambda: pipeline.status().label == label)

    show(labels[0])
    pipeline.swap(other)
    show(other(NOISE).label)
    assert pipeline.status().labels == other.bundle.labels
