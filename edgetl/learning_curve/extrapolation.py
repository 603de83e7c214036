"""The power law that a learning curve follows, and what it says of twice as many photos.

error(n) = limit + scale * n ** -exponent (Cortes, Jackel, Solla, Vapnik & Denker 1993, "Learning
Curves: Asymptotic Values and Rate of Convergence"; Hestness et al. 2017, "Deep Learning Scaling is
Predictable, Empirically"). Exponents from 0.1 to 1, the rate of a parametric model that fits, are
allowed: a steeper curve within the noise would promise that all is learned.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_EXPONENTS = np.linspace(0.1, 1.0, 19)


class PowerLaw(NamedTuple):
    """Fitted laws, float64 (curves,) each; see `Forecast`."""

    limit: Numbers
    scale: Numbers
    exponent: Numbers

    def gain(self, times: float) -> Numbers:
        """Drop of the error from all photos to so many times of them."""
        return self.scale * (1 - times**-self.exponent)


def fit_power_law(fractions: Sequence[float], errors: Numbers) -> PowerLaw:
    """Fits a law to each curve by least squares; more photos weigh more, as they vary less.

    Args:
        fractions: (points,): shares of all photos.
        errors: float64 (curves, points), 0..1.
    """
    weights = np.array(fractions) / np.sum(fractions)
    best = PowerLaw(*np.zeros((3, len(errors))))
    lowest = np.full(len(errors), np.inf)
    for exponent in _EXPONENTS:
        basis = np.array(fractions) ** -exponent
        limit, scale = _fit_line(basis, errors, weights)
        missed = errors - limit[:, np.newaxis] - scale[:, np.newaxis] * basis
        squares = np.square(missed) @ weights
        better = squares < lowest
        lowest = np.where(better, squares, lowest)
        found = PowerLaw(limit, scale, np.full(len(errors), exponent))
        best = PowerLaw(*(np.where(better, new, old) for new, old in zip(found, best, strict=True)))
    return best


def _fit_line(basis: Numbers, errors: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Limit and scale, neither below 0."""
    mean, means = basis @ weights, errors @ weights
    slope = (errors * (basis - mean)) @ weights / (np.square(basis - mean) @ weights)
    scale = np.maximum(slope, 0.0)
    limit = means - scale * mean
    through_zero = (errors * basis) @ weights / (np.square(basis) @ weights)
    negative = limit < 0
    return np.where(negative, 0.0, limit), np.where(negative, through_zero, scale)
