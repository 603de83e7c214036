"""The file's own opinion on unknown things, where there are lessons."""

import numpy as np
import pytest

from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.learning.learned import Taught, learn
from edgetl_runtime.learning.unknown import find_unknown_logit

CLASSES = ("gear", "spring")
WIDTH = 12


def make_rows(center, count, seed):
    rows = np.random.default_rng(seed).normal(0, 0.3, (count, WIDTH))
    rows[:, center] += 3
    return rows.astype(np.float32)


@pytest.fixture
def memory():
    kernel = np.zeros((WIDTH, 2), np.float32)
    kernel[0, 0] = kernel[1, 1] = 2.0
    rows = np.concatenate([make_rows(0, 40, 0), make_rows(1, 40, 1)])
    classes = np.repeat([0, 1], 40).astype(np.int16)
    held_out = np.tile([False, True], 40)
    return Memory(kernel, np.zeros(2, np.float32), rows.astype(np.float16), classes, held_out)


def ask(learned, features, unknown):
    """The label, where the file itself says with this probability that it is unknown."""
    scores = np.array([0.9, 0.1, 0]) * (1 - unknown) + np.array([0, 0, unknown])
    found = learned.score(Seen(scores.astype(np.float32), features, []), 1.0)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    return learned.labels[int(found.argmax())]


def test_what_was_taught_is_known_though_the_file_calls_it_unknown(memory):
    learned = learn(memory, CLASSES, [Taught("cross", make_rows(2, 40, 2))], "unknown")
    named = [ask(learned, row, 0.99) for row in make_rows(2, 40, 3)]
    assert named.count("cross") >= 32


def test_what_was_never_shown_stays_unknown(memory):
    learned = learn(memory, CLASSES, [Taught("cross", make_rows(2, 40, 2))], "unknown")
    assert {ask(learned, row, 0.99) for row in make_rows(7, 40, 4)} == {"unknown"}


def test_what_the_head_takes_for_a_taught_thing_but_looks_like_no_frame_of_it_is_unknown(memory):
    learned = learn(memory, CLASSES, [Taught("cross", make_rows(2, 40, 2))], "unknown")
    strange = make_rows(7, 40, 4) + 0.4 * make_rows(2, 40, 5)
    by_the_head = (strange @ learned.head.kernel + learned.head.bias).argmax(axis=1)
    assert (by_the_head == 2).sum() >= 32
    assert [ask(learned, row, 0.01) for row in strange].count("unknown") >= 32


def test_a_thing_shown_for_some_seconds_is_known_from_other_sides_later(memory):
    chance = np.random.default_rng(6)
    thing = make_rows(2, 1, 2)
    shown = (thing + chance.normal(0, 0.01, (40, WIDTH))).astype(np.float32)
    later = (thing + chance.normal(0, 0.2, (40, WIDTH))).astype(np.float32)
    learned = learn(memory, CLASSES, [Taught("cross", shown)], "unknown")
    assert [ask(learned, row, 0.99) for row in later].count("cross") >= 36


def test_a_frame_of_the_scene_makes_a_class_known_there(memory):
    there = make_rows(0, 80, 5)
    there[:, 8] += 4
    before = learn(memory, CLASSES, [], "unknown")
    after = learn(memory, CLASSES, [Taught("gear", there[:40])], "unknown")
    assert {ask(before, row, 0.99) for row in there[40:]} == {"unknown"}
    assert [ask(after, row, 0.99) for row in there[40:]].count("gear") >= 32


def test_the_logit_of_unknown_gives_its_probability_again():
    logits = np.array([2.0, -1.0, 0.5], np.float32)
    unknown = find_unknown_logit(0.3, logits)
    powers = np.exp([*logits, unknown])
    assert powers[-1] / powers.sum() == pytest.approx(0.3)
