"""Fitting a head, in numbers."""

import numpy as np
import pytest

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.learning.head import fit_head
from edgetl_runtime.learning.learned import Taught, learn, recall

FEATURES, CLASSES = 24, ("gear", "spring")


def make_rows(center, count, seed):
    random = np.random.default_rng(seed)
    rows = random.normal(0, 0.3, (count, FEATURES))
    rows[:, center] += 3
    return rows.astype(np.float32)


@pytest.fixture
def memory():
    """Two classes, told apart by a feature each; one photo in two is held out."""
    kernel = np.zeros((FEATURES, 2), np.float32)
    kernel[0, 0] = kernel[1, 1] = 2.0
    rows = np.concatenate([make_rows(0, 40, 0), make_rows(1, 40, 1)])
    return Memory(
        kernel=kernel,
        bias=np.zeros(2, np.float32),
        rows=rows.astype(np.float16),
        classes=np.repeat([0, 1], 40).astype(np.int16),
        held_out=np.tile([False, True], 40),
    )


def answer(learned, rows):
    return [learned.labels[n] for n in (rows @ learned.head.kernel + learned.head.bias).argmax(1)]


def test_without_lessons_the_head_answers_as_the_files_own(memory):
    learned = learn(memory, CLASSES, [])
    assert learned.labels == CLASSES
    assert (learned.kept.before, learned.kept.after) == (40, 40)


@pytest.mark.parametrize("frames", [5, 20, 200])
def test_a_new_thing_gets_its_label_and_the_classes_keep_theirs(memory, frames):
    learned = learn(memory, CLASSES, [Taught("cross", make_rows(2, frames, 2))])
    assert learned.labels == (*CLASSES, "cross")
    assert answer(learned, make_rows(2, 30, 3)).count("cross") >= 24
    assert set(answer(learned, make_rows(0, 30, 4))) == {"gear"}
    assert set(answer(learned, make_rows(1, 30, 5))) == {"spring"}
    assert learned.kept.ok


def test_outputs_that_nothing_is_taught_of_keep_their_weights(memory):
    learned = learn(memory, CLASSES, [Taught("cross", make_rows(2, 20, 2))])
    np.testing.assert_array_equal(learned.head.kernel[:, :2], memory.kernel)
    np.testing.assert_array_equal(learned.head.bias[:2], memory.bias)


def test_frames_of_a_class_make_its_other_looks_known(memory):
    looks = make_rows(5, 40, 6)
    before = learn(memory, CLASSES, [])
    after = learn(memory, CLASSES, [Taught("gear", looks[:20])])
    assert after.labels == CLASSES
    assert answer(before, looks[20:]).count("gear") < 18
    assert answer(after, looks[20:]).count("gear") == 20


def test_the_empty_scene_is_one_more_output_the_last_one(memory):
    scene = Taught(None, make_rows(3, 20, 7))
    learned = learn(memory, CLASSES, [scene, Taught("cross", make_rows(2, 20, 2))])
    assert learned.labels == (*CLASSES, "cross", "unknown")
    assert learned.unknown == 3
    assert set(answer(learned, make_rows(3, 20, 8))) == {"unknown"}
    assert set(answer(learned, make_rows(2, 20, 9))) == {"cross"}


def test_what_looks_like_a_class_is_held_back_for_its_sake(memory):
    alike = learn(memory, CLASSES, [Taught("cog", make_rows(0, 60, 10))])
    assert alike.held_back > 0
    assert alike.kept.ok
    assert recall(memory, CLASSES, [Taught("cog", make_rows(0, 60, 10))])[0].is_lost


def test_looks_of_a_class_that_another_has_change_the_head_less_for_its_sake(memory):
    looks = 0.9 * make_rows(1, 60, 12) + 0.1 * make_rows(5, 60, 13)
    learned = learn(memory, CLASSES, [Taught("gear", looks)])
    assert learned.kept.ok
    assert 0 < answer(learned, looks).count("gear") < 40


def test_what_a_head_did_not_see_is_what_recall_counts(memory):
    random = np.random.default_rng(11)
    noise = random.normal(0, 0.3, (12, FEATURES)).astype(np.float32)
    # Each frame has a mark of its own, by which it could be learned by heart.
    noise[np.arange(12), np.arange(12) + 8] += 9
    noise[:, 0] += 3
    by_heart = learn(memory, CLASSES, [Taught("odd", noise)])
    assert answer(by_heart, noise).count("odd") == 12
    assert recall(memory, CLASSES, [Taught("odd", noise)])[0].correct <= 6


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_a_shift_of_all_logits_changes_nothing(memory, shift):
    own = Head(memory.kernel, memory.bias + np.float32(shift))
    rows = np.concatenate([memory.rows.astype(np.float32), make_rows(2, 9, 2)])
    truth = np.append(memory.classes, [2] * 9)
    fitted = fit_head(own, rows, truth, 3, stored=80)
    expected = fit_head(Head(memory.kernel, memory.bias), rows, truth, 3, stored=80)
    for one in (fitted, expected):
        logits = rows @ one.kernel + one.bias
        np.testing.assert_array_equal(logits.argmax(1), truth)


def test_features_that_never_change_do_no_harm(memory):
    rows = np.zeros((10, FEATURES), np.float32)
    fitted = fit_head(Head(memory.kernel, memory.bias), rows, np.arange(10) % 3, 3)
    assert np.isfinite(fitted.kernel).all()
    assert np.isfinite(fitted.bias).all()
