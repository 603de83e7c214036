"""Other views of a photo, for training only: chosen by names and strengths in one place.

A view follows from the photo's hash, the view's number and the strengths, and from nothing else,
so that a run repeats, and so that what is computed from a view can be kept.
"""

from edgetl.augmentation.parsing import describe, parse_augmentation
from edgetl.augmentation.strengths import (
    BATCH_STRENGTHS,
    LIGHT,
    NONE,
    PRESETS,
    VERSION,
    Augmentation,
    digest,
)
from edgetl.augmentation.views import make_view

__all__ = [
    "BATCH_STRENGTHS",
    "LIGHT",
    "NONE",
    "PRESETS",
    "VERSION",
    "Augmentation",
    "describe",
    "digest",
    "make_view",
    "parse_augmentation",
]
