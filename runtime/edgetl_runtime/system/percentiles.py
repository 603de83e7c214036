"""Percentiles of times."""

from collections.abc import Sequence

import msgspec
import numpy as np


class Percentiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds.

    Attributes:
        p50: The median.
        p90: Of ten samples, nine are at most as long.
        p95: The same of 95 in a hundred.
        p99: The same of 99 in a hundred.
        mean: The arithmetic mean.
    """

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float


def compute_percentiles(samples_ms: Sequence[float]) -> Percentiles:
    """The percentiles, linear between samples, and the mean of at least one sample, in ms."""
    p50, p90, p95, p99 = map(float, np.percentile(samples_ms, (50, 90, 95, 99)))
    return Percentiles(p50, p90, p95, p99, float(np.mean(samples_ms)))
