"""What was learned within a pipeline: answers, labels of the state, and a damaged overlay."""

from itertools import islice

import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.learning.overlay import find_overlay
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.teaching.lesson import take_lesson


@pytest.fixture
def observe(tiny_copy):
    """The state after a few answers to the test pattern."""

    def run():
        settings = Settings()
        feed = Camera("pattern", settings.source)
        pipeline = Pipeline(Classifier.open(tiny_copy), feed, settings=settings)
        answers = pipeline.answers()
        list(islice(answers, 3))
        status = pipeline.status()
        answers.close()
        return status

    return run


def test_the_state_lists_what_was_taught_as_a_label(observe, student, take, crosses, scene):
    assert take_lesson(student, take(crosses), "teach", "cross").stored
    assert take_lesson(student, take(scene, alike=True), "scene", None).stored
    status = observe()
    assert status.labels == ("gear", "spring", "washer", "cross")
    assert status.state == "ok"


def test_a_service_with_a_damaged_overlay_answers_and_is_degraded(
    observe, student, take, crosses, tiny_copy, wording
):
    take_lesson(student, take(crosses), "teach", "cross")
    (find_overlay(tiny_copy) / "lesson-0001.npz").write_bytes(b"damaged")
    status = observe()
    assert status.answered >= 3
    assert (status.state, status.labels) == ("degraded", ("gear", "spring", "washer"))
    assert wording in status.reason


def test_predictions_of_a_taught_classifier_carry_features_if_asked(
    tiny_copy, student, take, crosses
):
    assert take_lesson(student, take(crosses), "teach", "cross").stored
    told = Classifier.open(tiny_copy, features=True)(crosses[0])
    assert told.label == "cross"
    assert told.features.size == student.memory.rows.shape[1]
    assert Classifier.open(tiny_copy)(crosses[0]).features is None
