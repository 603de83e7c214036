"""Lessons through the real engine: what is learned, what is refused, and why."""

import re

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import LessonError
from edgetl_runtime.learning.head import soften
from edgetl_runtime.learning.learned import Taught
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.student import Student
from edgetl_runtime.teaching.lesson import take_lesson

BLACK = np.zeros((72, 72, 3), np.uint8)


def draw_stripes(number):
    """Stripes of another width, direction and colour for each number."""
    across, along = np.mgrid[:72, :72]
    wave = np.sin((across * np.cos(number) + along * np.sin(number)) / (1 + number**2 / 6))
    color = np.random.default_rng(number).integers(0, 256, 3)
    return ((wave[..., np.newaxis] + 1) / 2 * color).astype(np.uint8)


def name_all(path, frames, **options):
    classifier = Classifier.open(path, **options)
    assert classifier.fault == ""
    return [classifier(frame).labels[classifier(frame).index] for frame in frames]


def test_a_thing_that_was_taught_is_named_and_the_classes_are_kept(
    student, take, crosses, others, tiny_copy
):
    before = name_all(tiny_copy, others)
    report = take_lesson(student, take(crosses), "teach", "cross")
    assert report.stored, report.refused
    assert (report.number, report.is_new, report.frames) == (1, True, 20)
    assert report.kept.after >= report.kept.before - report.kept.may_lose
    assert "cross" not in before
    assert name_all(tiny_copy, others).count("cross") >= 14
    assert name_all(tiny_copy, others, overlay=False) == before


def test_frames_that_look_little_alike_are_taught_with_a_warning(student, take, crosses):
    unlike = [draw_stripes(n) for n in range(12)]
    alike = take_lesson(student, take(crosses), "teach", "cross")
    assert not any("little alike" in note for note in alike.notes)
    strange = take_lesson(student, take(unlike), "teach", "stripes")
    assert any("may be called stripes, too" in note for note in strange.notes)


def test_frames_that_look_nearly_the_same_are_taught_with_a_warning(student, take, crosses):
    still = [cv2.convertScaleAbs(crosses[0], alpha=1 - 0.015 * n) for n in range(12)]
    report = take_lesson(student, take(still), "teach", "cross")
    assert any("look nearly the same" in note for note in report.notes)


def test_another_variant_learns_from_the_photos_of_a_lesson(
    student, take, crosses, others, tiny_copy
):
    take_lesson(student, take(crosses), "teach", "cross")
    assert name_all(tiny_copy, others, variant="onnx-float32").count("cross") >= 14


def test_an_empty_scene_becomes_unknown(student, take, scene, tiny_copy):
    report = take_lesson(student, take(scene, alike=True), "scene", None)
    assert report.stored, report.refused
    classifier = Classifier.open(tiny_copy)
    found = classifier(scene[0])
    assert (found.labels[-1], found.unknown, found.label) == ("unknown", 3, None)


def test_a_label_of_a_class_gets_more_examples(student, take, crosses, tiny_copy):
    report = take_lesson(student, take(crosses), "teach", "spring")
    assert report.stored, report.refused
    assert not report.is_new
    classifier = Classifier.open(tiny_copy)
    assert classifier.labels == classifier.bundle.manifest.outputs


def test_the_same_label_twice_is_one_output(student, take, crosses, others, tiny_copy):
    first = take_lesson(student, take(crosses), "teach", "cross")
    second = take_lesson(student, take(others), "teach", "cross")
    assert (first.is_new, second.is_new, second.number) == (True, False, 2)
    assert Classifier.open(tiny_copy).labels.count("cross") == 1


def test_what_would_cost_the_classes_accuracy_is_refused_with_the_figures(
    student, take, crosses, tiny_copy, wording
):
    # As if crosses were the validation photos, and the file named all of them rightly.
    memory = student.memory
    held = np.flatnonzero(memory.held_out)
    rows, classes = memory.rows.copy(), memory.classes.copy()
    rows[held] = student.look(take(crosses).inputs)[np.arange(held.size) % len(crosses)]
    said = (rows[held].astype(np.float32) @ memory.kernel + memory.bias).argmax(axis=1)
    classes[held] = said
    strict = msgspec.structs.replace(
        student, memory=msgspec.structs.replace(memory, rows=rows, classes=classes)
    )
    rarest = int(np.bincount(said, minlength=3).argmin())
    report = take_lesson(strict, take(crosses), "teach", student.bundle.labels[rarest])
    assert not report.stored
    assert re.search(wording, report.refused), report.refused
    assert report.kept.before == held.size
    assert not Overlay.open(Bundle.open(tiny_copy)).path.exists()


def test_what_would_not_be_recognized_is_refused(student, take, golden_frames, tiny_copy, wording):
    # One of each class: they are known as what they are.
    report = take_lesson(student, take(golden_frames), "teach", "anything")
    assert not report.stored
    assert wording in report.refused
    assert not Overlay.open(Bundle.open(tiny_copy)).path.exists()


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_a_few_frames_are_too_few(frames, take, crosses, wording):
    with pytest.raises(LessonError, match=wording):
        take(crosses[:frames])


def test_one_frame_over_and_over_is_one_frame(take, crosses, wording):
    with pytest.raises(LessonError, match=wording):
        take(crosses[:1] * 50)


def test_frames_of_nothing_teach_nothing(take, wording):
    with pytest.raises(LessonError, match=wording):
        take([BLACK] * 50, alike=True)


def test_frames_of_nothing_among_others_are_left_out(take, crosses):
    found = take([BLACK, *crosses, BLACK])
    assert len(found.photos) == 20
    assert found.notes == ("2 frames of nearly one color left out",)


def test_of_a_thousand_frames_two_hundred_are_used_all_over_the_take(take):
    gradient = np.linspace(20, 235, 72).astype(np.uint8)
    frames = [np.roll(np.tile(gradient, (72, 1)), n, axis=1) for n in range(72)]
    colored = [np.dstack([f, f, np.full_like(f, 15 * n)]) for n in range(14) for f in frames]
    found = take(colored[:1000], alike=True)
    assert (len(found.inputs), len(found.photos)) == (200, 200)
    assert found.notes == ("of 1,000 frames 200 are used, evenly spaced",)
    reds = [int(pixels[..., 0].mean()) for pixels in found.inputs]
    assert (reds[0], reds[-1] >= 13 * 15 - 1) == (0, True)


def test_a_photo_is_kept_small(student, take):
    random = np.random.default_rng(0)
    large = [
        cv2.resize(random.integers(0, 255, (9, 12, 3), np.uint8), (2000, 1500)) for _ in "12345"
    ]
    kept = [cv2.imdecode(np.frombuffer(one, np.uint8), 1).shape for one in take(large).photos]
    assert kept == [(480, 640, 3)] * 5


@pytest.mark.parametrize("label", ["unknown", "_unknown_", "", " gear", "a/b", ".hidden", "a\nb"])
def test_what_cannot_be_a_label_is_refused(label, student, take, crosses, wording):
    with pytest.raises(LessonError, match=wording):
        take_lesson(student, take(crosses), "teach", label)


def test_the_scene_has_only_what_was_taught(student, take, crosses, wording):
    with pytest.raises(LessonError, match=wording):
        take_lesson(student, take(crosses), "scene", "moon")


def test_a_variant_without_a_memory_cannot_learn(edit, wording):
    def forget(manifest):
        for variant in manifest["variants"]:
            variant["memory"] = None

    with pytest.raises(LessonError, match=wording):
        Student.open(edit(forget))


def test_features_of_an_engine_are_what_its_memory_holds(student, golden_frames):
    inputs = [student.bundle.manifest.preprocessing.apply(frame) for frame in golden_frames]
    features = student.look(inputs)
    own = student.fit([]).own
    scores = soften(features @ own.kernel + own.bias, 1.0)
    for row, pixels in zip(scores, inputs, strict=True):
        assert np.abs(row - student.engine.look(pixels).scores).max() < 0.05


def test_a_lesson_of_all_frames_is_weighed_as_one_output(student, take, crosses):
    features = student.look(take(crosses).inputs)
    many = np.repeat(features, 30, axis=0)
    learned = student.fit([Taught("cross", many)])
    assert learned.kept.ok
