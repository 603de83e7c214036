"""McNemar's exact test: which of two models is better, on the same photos."""

from typing import Literal

from scipy.stats import binomtest


def compute_mcnemar_p(
    only_first: int,
    only_second: int,
    alternative: Literal["two-sided", "greater"] = "two-sided",
) -> float:
    """Can a fair coin explain who is right where just one is?

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages". It fits two models that were trained once and judged on the same photos
    (Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised Classification
    Learning Algorithms").

    Args:
        only_first: Photos that only the first classifies correctly.
        only_second: Photos that only the second classifies correctly.
        alternative: What else than chance it may be: `two-sided`, either is better; `greater`,
            the first is.

    Returns:
        The p-value, 0..1: for X ~ Binomial(sum, 1/2), P(X >= only_first), or twice the smaller
        tail. 1 where they are right on the same photos.
    """
    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5, alternative).pvalue) if total else 1.0
