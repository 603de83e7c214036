"""Percentiles of times."""

from collections.abc import Sequence

import msgspec
import numpy as np


class Percentiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds."""

    p50: float
    p90: float
    p99: float


def compute_percentiles(samples_ms: Sequence[float]) -> Percentiles:
    """The percentiles of at least one sample, in milliseconds, linear between samples."""
    return Percentiles(*(float(p) for p in np.percentile(samples_ms, (50, 90, 99))))
