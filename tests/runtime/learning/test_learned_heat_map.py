"""What was taught has a heat map, too, and the scores are those that answer."""

import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.teaching.lesson import take_lesson


@pytest.fixture
def taught(student, take, crosses, scene, tiny_copy) -> Classifier:
    assert take_lesson(student, take(crosses), "teach", "cross").stored
    assert take_lesson(student, take(scene, alike=True), "scene", None).stored
    return Classifier.open(tiny_copy)


def test_a_thing_that_was_taught_is_explained_by_the_head_that_answers(taught, crosses):
    frame = next(one for one in crosses if taught(one).label == "cross")
    heat = taught.explain(frame)
    assert heat.label == "cross"
    assert heat.score == pytest.approx(taught(frame).score, abs=1e-5)
    features = taught.engine.look(taught.prepare(frame)).features
    head = taught.learned.head
    index = taught.labels.index("cross")
    logit = float(features @ head.kernel[:, index] + head.bias[index])
    # The features of an int8 file are rounded means of its maps.
    reach = float(np.abs(head.kernel[:, index]).sum()) * float(features.max()) / 64
    assert heat.logit == pytest.approx(logit, abs=reach)


def test_what_is_unknown_is_explained_as_what_it_looks_like_most(taught, scene):
    assert taught(scene[0]).label is None
    assert taught.classes == ("gear", "spring", "washer", "cross")
    assert taught.explain(scene[0]).label in taught.classes


def test_without_lessons_the_file_s_own_head_explains(tiny_copy, crosses):
    classifier = Classifier.open(tiny_copy)
    assert (classifier.lessons, classifier.has_heat_maps) == (0, True)
    assert classifier.explain(crosses[0]).label in classifier.labels
