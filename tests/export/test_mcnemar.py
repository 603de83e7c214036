"""McNemar's exact test: the p-value of a fair coin."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from edgetl_export.evaluate.mcnemar import compute_mcnemar_p


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (1, 0, 1.0),
        (0, 5, 2 / 32),
        (6, 0, 2 / 64),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
    ],
)
def test_p_is_that_of_a_fair_coin(only_first: int, only_second: int, p: float) -> None:
    assert compute_mcnemar_p(only_first, only_second) == pytest.approx(p)
    assert compute_mcnemar_p(only_second, only_first) == pytest.approx(p)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (3, 0, 1 / 8), (0, 3, 1.0), (3, 1, 5 / 16), (2, 2, 11 / 16)],
)
def test_a_one_sided_p_asks_whether_the_first_is_better(
    only_first: int, only_second: int, p: float
) -> None:
    assert compute_mcnemar_p(only_first, only_second, "greater") == pytest.approx(p)


@pytest.mark.parametrize(("first", "second"), [(23, 10), (120, 91), (4000, 4100), (1, 900)])
def test_p_is_exact_however_many_photos_there_are(first: int, second: int) -> None:
    total = first + second
    ways = sum(comb(total, n) for n in range(min(first, second) + 1))
    exact = float(min(Fraction(1), Fraction(2 * ways, 2**total)))
    assert compute_mcnemar_p(first, second) == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_p_holds_where_chance_is_all_there_is() -> None:
    random = np.random.default_rng(0)
    wins = random.binomial(40, 0.5, 2000)
    claimed = np.mean([compute_mcnemar_p(int(n), 40 - int(n)) < 0.05 for n in wins])
    assert 0.02 < claimed <= 0.05
