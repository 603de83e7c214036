"""The gate: what is too much is refused, what chance explains is only named."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from edgetl_export.evaluate.gate import GateVerdict, check, make_gate
from edgetl_export.options import ExportOptions

LABELS = ("bolt", "gear")


def judge(
    lost: int, won: int, count: int = 1000, other: int = 1000, **limits: float
) -> GateVerdict:
    """A file that loses and wins so many of the first class's photos."""
    truth = np.repeat([0, 1], [count, other])
    trained, exported = truth.copy(), truth.copy()
    exported[:lost] = 1
    trained[lost : lost + won] = 1
    return check(
        make_gate(ExportOptions(**limits)),
        truth=truth,
        trained=trained,
        exported=exported,
        labels=LABELS,
    )


def test_a_file_that_names_the_same_passes() -> None:
    assert judge(0, 0) == GateVerdict((), ())
    assert judge(0, 0).sure


@pytest.mark.parametrize(("lost", "passes"), [(19, True), (20, True), (21, False)])
def test_the_limit_itself_is_allowed(lost: int, passes: bool) -> None:
    assert judge(lost, 0, max_drop=1.0).passed == passes


def test_what_is_won_makes_up_for_what_is_lost() -> None:
    assert judge(60, 50, max_drop=1.0).passed
    assert not judge(60, 20, max_drop=1.0).passed


@pytest.mark.parametrize(("lost", "won"), [(1, 0), (4, 0), (5, 0), (4, 3), (9, 3), (12, 4)])
def test_a_drop_that_chance_explains_is_only_named(lost: int, won: int) -> None:
    verdict = judge(lost, won, count=50, other=50, max_drop=0.5, max_class_drop=100.0)
    chance = binom.sf(lost - 1, lost + won, 0.5)
    found = (verdict.passed, verdict.sure, len(verdict.failures), len(verdict.unsure))
    assert found == ((True, False, 0, 1) if chance >= 0.05 else (False, False, 1, 0))


@pytest.mark.parametrize(
    ("photos", "lost", "won", "passes"),
    [
        (9, 1, 0, True),
        (9, 2, 0, False),
        (40, 2, 0, True),
        (40, 3, 0, False),
        (100, 9, 4, True),
        (100, 9, 3, False),
    ],
)
def test_chance_excuses_one_photo_or_what_a_class_may_lose(
    photos: int, lost: int, won: int, passes: bool
) -> None:
    verdict = judge(lost, won, count=photos, other=0)
    assert (verdict.passed, verdict.sure) == (passes, False)
    if not passes:
        chance = binom.sf(lost - 1, lost + won, 0.5)
        assert (
            f"allowed are 1, or {max(5, 100 / photos):.3g} where chance explains it"
            in (verdict.failures[0])
        )
        assert verdict.failures[0].endswith(f"(p = {chance:.2g})")


def test_the_sentence_names_drop_limit_photos_and_chance() -> None:
    (refused,) = judge(8, 0, max_drop=0.1).failures
    assert refused == (
        "0.4 points below the trained model on 2,000 photos (8 lost, 0 won), allowed are 0.1 "
        "(p = 0.0039)"
    )
    (excused,) = judge(5, 1, max_drop=0.1).unsure
    assert excused == (
        "0.2 points below the trained model on 2,000 photos (5 lost, 1 won), allowed are 0.1; "
        "chance explains it (p = 0.11)"
    )
    (sentence,) = judge(50, 0).failures
    assert sentence.endswith("(p < 0.0001)")


def test_a_class_that_lost_too_much_is_refused_though_the_whole_did_not() -> None:
    verdict = judge(7, 0, count=70, max_class_drop=5.0)
    (sentence,) = verdict.failures
    assert sentence.startswith("bolt lost 10.0 points of recall on 70 photos (7 lost, 0 won)")
    assert verdict.unsure == ()


def test_a_class_of_few_photos_is_named_but_not_refused() -> None:
    verdict = judge(2, 0, count=12, max_class_drop=5.0)
    assert verdict.passed
    (sentence,) = verdict.unsure
    assert "bolt lost 16.7 points" in sentence
    assert "chance explains it (p = 0.25)" in sentence


@pytest.mark.parametrize(("lost", "won"), [(4, 0), (5, 0), (8, 1), (7, 1), (12, 4), (9, 4)])
def test_chance_is_that_of_the_exact_test(lost: int, won: int) -> None:
    chance = binom.sf(lost - 1, lost + won, 0.5)
    assert judge(lost, won, count=40, max_class_drop=5.0).passed == (chance >= 0.05)


def test_a_file_over_its_budget_is_refused() -> None:
    gate = make_gate(ExportOptions(max_bytes=1000))
    assert gate.refuse_size(1000) == ""
    assert gate.refuse_size(1001) == "1,001 bytes, allowed are 1,000"
    assert make_gate(ExportOptions()).refuse_size(10**9) == ""


def test_a_class_without_photos_is_not_judged() -> None:
    assert judge(0, 0, other=0) == GateVerdict((), ())


def find_least_refused(photos: int, lost_for_one_won: int) -> tuple[int, int]:
    """The fewest lost photos, and the won ones, with which a file is refused."""
    for lost in range(1, photos):
        won, rest = divmod(lost, lost_for_one_won) if lost_for_one_won else (0, 0)
        if not rest and not judge(lost, won, count=photos, other=0).passed:
            return lost, won
    raise AssertionError


def test_the_readme_says_what_the_rule_means() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    options = ExportOptions()
    for flag, limit in (("drop", options.max_drop), ("class-drop", options.max_class_drop)):
        assert f"`--max-{flag}` points ({limit})" in " ".join(readme.split())
    for photos in (100, 350, 5000):
        cells = [f"{photos:,}"]
        for lost_for_one_won in (0, 3):
            lost, won = find_least_refused(photos, lost_for_one_won)
            points = 100 * (lost - won) / photos
            cells.append(f"{points:.2f} points ({lost} lost, {won} won)")
        assert f"| {' | '.join(cells)} |" in readme
