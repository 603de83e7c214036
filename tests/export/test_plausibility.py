"""Plausibility: photos speak against numbers of another meaning, and not against weak models."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from edgetl_export.examination import Examination
from edgetl_export.load.orders import fit_order, list_orders
from edgetl_export.load.plausibility import examine, list_scalings
from edgetl_export.load.scaling import SCALINGS, Scaling, find_scaling

GIVEN = find_scaling("0..1")
LETTERS = "washer bolt gear nut screw spring pin ring clip disc hook".split()


def answer(
    truth: np.ndarray, classes: int, right: float, seed: int, order: Sequence[int] | None = None
) -> np.ndarray:
    """Probabilities of a model that is right so often, and else guesses, (photos, classes).

    With an order, output k stands for label `order[k]`.
    """
    random = np.random.default_rng(seed)
    known = random.random(len(truth)) < right
    said = np.where(known, truth, random.integers(0, classes, len(truth)))
    outputs = said if order is None else np.argsort(order)[said]
    logits = random.normal(size=(len(truth), classes))
    logits[np.arange(len(truth)), outputs] = logits.max(axis=1) + random.exponential(
        size=len(truth)
    )
    shares = np.exp(logits)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def look_at(
    truth: np.ndarray,
    labels: Sequence[str],
    right: float,
    *,
    seed: int = 0,
    order: Sequence[int] | None = None,
    others: dict[str, float] | None = None,
    given: Scaling = GIVEN,
) -> Examination:
    """Examines a model; with another scaling it is right as often as `others` says, else never."""

    def rescore(scaling: Scaling, part: slice) -> np.ndarray:
        found = (others or {}).get(scaling.name, 0.0)
        return answer(truth[part], len(labels), found, seed + 1)

    return examine(answer(truth, len(labels), right, seed, order), truth, labels, given, rescore)


def mix(classes: Sequence[int], photos: int) -> np.ndarray:
    return np.resize(np.array(classes), photos)


def test_two_labels_exchanged_are_told_by_a_dozen_photos() -> None:
    found = look_at(mix([0, 1], 12), ["washer", "bolt"], 1.0, order=[1, 0])
    (doubt,) = found.doubts
    assert doubt.refuses
    assert "top-1 is 0.0% of 12 photos" in doubt.sentence
    assert "with the labels in alphabetical order it would be 100.0%" in doubt.sentence
    assert "line 1 bolt, line 2 washer" in doubt.sentence


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LETTERS, "in alphabetical order"),
        (["Washer", "bolt", "Gear", "nut"], "in alphabetical order, ignoring case"),
        (["b", "a", "d", "c", "f"], "in reverse"),
        ([f"part {n}" for n in range(12)], "in alphabetical order"),
        (["part 1", "part 10", "part 11", "part 2"], "in the order of their numbers"),
        (LETTERS, "in the order 0, 1, 10, 11, ..., 2"),
        (LETTERS, "in the order 1, 10, 11, ..., 2"),
        (LETTERS, "taken out of the order 1, 10, 11, ..., 2"),
        (LETTERS, "one line later, after one for the background"),
        (LETTERS, "one line earlier, without the first line"),
    ],
)
def test_an_order_that_people_and_programs_make_is_named(labels: list[str], words: str) -> None:
    (order,) = [one.places for one in list_orders(labels) if one.words == words]
    truth = mix(range(len(labels)), 60)
    found = look_at(truth, labels, 0.9, order=order)
    assert f"with the labels {words} it would be" in found.doubts[0].sentence
    assert found.doubts[0].refuses
    assert found.alternatives[0].top1 > 0.85


def test_two_of_ten_labels_exchanged_are_named() -> None:
    order = [0, 1, 2, 7, 4, 5, 6, 3, 8, 9]
    found = look_at(mix(range(10), 240), LETTERS[:10], 0.9, order=order)
    assert "with 2 labels in other places" in found.doubts[0].sentence
    assert "line 4 ring, line 8 nut" in found.doubts[0].sentence


def test_two_labels_of_a_weak_model_exchanged_are_refused() -> None:
    order = [0, 3, 2, 1]
    found = look_at(mix(range(4), 240), LETTERS[:4], 0.5, order=order)
    assert "line 2 nut, line 4 bolt" in found.doubts[0].sentence
    assert found.doubts[0].refuses


def test_an_order_that_no_habit_makes_is_found() -> None:
    order = np.random.default_rng(4).permutation(10)
    found = look_at(mix(range(10), 120), LETTERS[:10], 0.8, order=order)
    assert "labels in other places it would be" in found.doubts[0].sentence
    assert found.doubts[0].refuses


def test_labels_whose_photos_are_missing_stay_where_they_are() -> None:
    truth = mix([2, 5], 40)
    places = fit_order(np.where(truth == 2, 5, 2), truth, 8).places
    assert places == (0, 1, 5, 3, 4, 2, 6, 7)


def test_photos_that_all_get_a_label_without_photos_speak_against_the_order() -> None:
    labels = [f"thing {n:03d}" for n in range(300)]
    order = np.random.default_rng(4).permutation(300)
    found = look_at(mix([3, 40, 77, 150], 40), labels, 0.9, order=order)
    (doubt,) = found.doubts
    assert doubt.refuses
    assert "photos of one class get one label: thing" in doubt.sentence


def test_one_class_whose_photos_all_get_a_label_without_photos_is_told() -> None:
    # Labels 0 and 2 are exchanged, and there are photos of 1 and 2 only.
    found = look_at(mix([1, 2], 40), LETTERS[:4], 0.9, order=[2, 1, 0, 3])
    (doubt,) = found.doubts
    assert "gear gets washer (" in doubt.sentence
    assert not doubt.refuses


def test_another_scaling_that_is_plainly_better_is_named_with_its_flag() -> None:
    truth = mix(range(9), 240)
    found = look_at(truth, LETTERS[:9], 0.0, others={"-1..1": 0.75, "imagenet": 0.5})
    (doubt,) = found.doubts
    assert doubt.refuses
    assert "give --scaling -1..1" in doubt.sentence
    best = found.alternatives[0]
    assert (best.meaning, best.photos) == ("--scaling -1..1", 240)
    # All others are looked at on a part only.
    assert {one.photos for one in found.alternatives if "bgr" in one.meaning} <= {48, 240}


def test_two_scalings_that_are_as_good_are_both_named() -> None:
    # The same answers, since the draw is the same.
    found = look_at(mix(range(4), 100), LETTERS[:4], 0.0, others={"-1..1": 0.9, "imagenet": 0.9})
    assert "as likely: --scaling" in found.doubts[0].sentence
    assert all(one in found.doubts[0].sentence for one in ("-1..1", "imagenet"))


def test_a_scaling_that_chance_alone_made_a_little_worse_is_named_as_well() -> None:
    """As with `bgr 0..255` and `caffe`, 88 and 93 of 100: one of them is the right one."""
    truth = mix(range(4), 100)
    found = look_at(truth, LETTERS[:4], 0.0, others={"bgr 0..1": 0.85, "caffe": 0.9})
    (doubt,) = found.doubts
    assert 'give --scaling caffe; as likely: --scaling "bgr 0..1" (' in doubt.sentence
    best, other = found.alternatives[:2]
    assert best.top1 - other.top1 > 0.02
    found = look_at(truth, LETTERS[:4], 0.0, others={"bgr 0..1": 0.5, "caffe": 0.9})
    assert "as likely" not in found.doubts[0].sentence


def test_another_scaling_that_is_somewhat_better_is_told_but_not_refused() -> None:
    # Odd photos can favour a neighbour of the right one: of 0.45 of errors 0.26 are left.
    found = look_at(mix(range(4), 240), LETTERS[:4], 0.4, others={"imagenet": 0.65})
    (doubt,) = found.doubts
    assert "give --scaling imagenet" in doubt.sentence
    assert not doubt.refuses


def test_blue_first_is_named_as_it_must_be_given() -> None:
    found = look_at(mix(range(4), 100), LETTERS[:4], 0.3, others={"bgr 0..1": 0.9})
    assert 'give --scaling "bgr 0..1"' in found.doubts[0].sentence


def test_answers_worse_than_guessing_are_refused() -> None:
    truth = mix(range(3), 60)
    # Never right, and not in one other order either.
    outputs = (truth + np.random.default_rng(0).integers(1, 3, 60)) % 3
    found = look_at(outputs, LETTERS[:3], 1.0)
    assert not found.doubts
    scores = answer(outputs, 3, 1.0, 0)
    found = examine(scores, truth, LETTERS[:3], GIVEN, lambda _, part: scores[part])
    assert found.doubts[0].refuses


def test_one_answer_to_all_photos_is_refused() -> None:
    truth = mix(range(4), 80)
    found = look_at(np.full(80, 2), LETTERS[:4], 1.0)
    assert not found.doubts
    scores = answer(np.full(80, 2), 4, 1.0, 0)
    found = examine(scores, truth, LETTERS[:4], GIVEN, lambda _, part: scores[part])
    assert "gear is predicted for 80 of 80 photos, which 20 show" in found.doubts[0].sentence
    assert found.doubts[0].refuses


def test_a_model_that_guesses_is_told_but_not_refused() -> None:
    found = look_at(mix(range(3), 90), LETTERS[:3], 0.0, seed=2)
    (doubt,) = found.doubts
    assert "no better than chance: guessing would give" in doubt.sentence
    assert not doubt.refuses


@pytest.mark.parametrize(
    ("classes", "present", "photos", "right"),
    [
        (10, range(10), 240, 0.33),
        (10, range(10), 30, 0.33),
        (10, [1, 4, 8], 60, 0.4),
        (300, [7, 70, 170, 270], 60, 0.4),
        (300, [7], 20, 0.4),
        (2, [0, 1], 60, 0.3),
        (2, [0, 1], 4, 0.0),
        (2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 50, 0.9),
        (3, range(3), 12, 0.5),
    ],
)
def test_a_weak_but_honest_model_is_refused_in_less_than_one_of_fifty_draws(
    classes: int, present: Sequence[int], photos: int, right: float
) -> None:
    labels = [f"thing {n}" for n in np.random.default_rng(1).permutation(classes)]
    # As hard as it can be: with any other scaling it is just as good.
    equal = {one.name: right for one in (*SCALINGS, *map(Scaling.swap, SCALINGS))}
    truth = mix(list(present), photos)
    refused = [
        any(one.refuses for one in look_at(truth, labels, right, seed=n, others=equal).doubts)
        for n in range(0, 100, 2)
    ]
    assert sum(refused) <= 1


def test_a_good_model_is_not_run_with_other_scalings() -> None:
    def rescore(scaling: Scaling, part: slice) -> np.ndarray:
        raise AssertionError(scaling.name)

    truth = mix(range(3), 60)
    found = examine(answer(truth, 3, 1.0, 0), truth, LETTERS[:3], GIVEN, rescore)
    assert not found.doubts
    assert "labels and scaling fit the photos: top-1 is 100.0% of 60 photos" in found.summary
    one = msgspec.structs.replace(found, alternatives=found.alternatives[:1])
    assert one.summary.endswith(", and no other meaning is plainly better")


def test_other_scalings_are_all_but_the_given_one() -> None:
    names = [one.name for one in list_scalings(find_scaling("imagenet"))]
    assert set(names) == {
        *("0..255", "0..1", "-1..1", "caffe"),
        *("bgr 0..255", "bgr 0..1", "bgr -1..1", "bgr imagenet"),
    }
    grey = list_scalings(find_scaling("0..1").fit_to(1))
    assert [(one.name, one.order) for one in grey] == [("0..255", "grey"), ("-1..1", "grey")]
    own = find_scaling("mean=0.5 std=0.5")
    assert "-1..1" not in [one.name for one in list_scalings(own)]
