"""Metrics against an example worked out by hand."""

import numpy as np
import pytest

from edgetl.metrics import measure

LABELS = ("bolt", "gear", "nut", "washer")
# washer: no photo, named once; nut: two photos, never named.
TRUTH = np.array([0, 0, 0, 1, 1, 2, 2])
NAMED = np.array([0, 0, 1, 1, 3, 0, 1])


def test_confusion_has_a_row_for_each_true_label() -> None:
    assert measure(LABELS, TRUTH, NAMED).confusion == [
        [2, 1, 0, 0],
        [0, 1, 0, 1],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
    ]


def test_top1_is_the_share_named_right() -> None:
    metrics = measure(LABELS, TRUTH, NAMED)
    assert metrics.examples == 7
    assert metrics.top1 == pytest.approx(3 / 7)


def test_a_class_is_judged_against_all_others() -> None:
    bolt = measure(LABELS, TRUTH, NAMED).classes["bolt"]
    assert bolt.support == 3
    assert bolt.recall == pytest.approx(2 / 3)
    assert bolt.precision == pytest.approx(2 / 3)
    assert bolt.specificity == pytest.approx(3 / 4)


def test_precision_of_a_label_never_named_is_none() -> None:
    nut = measure(LABELS, TRUTH, NAMED).classes["nut"]
    assert nut.precision is None
    assert (nut.recall, nut.specificity, nut.support) == (0, 1, 2)


def test_recall_of_a_label_without_photos_is_none() -> None:
    washer = measure(LABELS, TRUTH, NAMED).classes["washer"]
    assert washer.recall is None
    assert washer.precision == 0
    assert washer.specificity == pytest.approx(6 / 7)


def test_specificity_without_other_photos_is_none() -> None:
    only_bolts = measure(LABELS, np.array([0, 0]), np.array([0, 1]))
    assert only_bolts.classes["bolt"].specificity is None


def test_no_photos_at_all_is_no_division_by_zero() -> None:
    nothing = measure(LABELS, np.array([], np.int64), np.array([], np.int64))
    assert (nothing.top1, nothing.examples) == (0, 0)
