"""Examination: whether labels and scaling fit what a model trained elsewhere says of photos."""

import msgspec

from edgetl_export.wording import percent
from edgetl_runtime.text.wording import count_noun


class Alternative(msgspec.Struct, frozen=True):
    """Another meaning of the model's numbers, and what it would be worth.

    Attributes:
        meaning: Such as `--scaling 0..1`.
        photos: That were looked at.
        top1: Accuracy on them with it, 0..1.
        top1_as_given: Share of the same photos classified correctly with what was given, 0..1.
    """

    meaning: str
    photos: int
    top1: float
    top1_as_given: float


class Doubt(msgspec.Struct, frozen=True):
    """One thing that speaks against labels or scaling.

    Attributes:
        sentence: With figures, and what to do.
        refuses: True if it is plain enough to write no bundle.
    """

    sentence: str
    refuses: bool


class Examination(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        photos: Number of labelled photos that were looked at.
        top1: Accuracy on them, 0..1.
        guessing: Share that the same answers would get if they had nothing to do with the photos.
        guessing_low: Lower end of the range that 95 of 100 such guesses lie in.
        guessing_high: Upper end.
        alternatives: All that was tried, the best first.
        doubts: None: nothing speaks against what was given.
    """

    photos: int
    top1: float
    guessing: float
    guessing_low: float
    guessing_high: float
    alternatives: tuple[Alternative, ...]
    doubts: tuple[Doubt, ...]

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.doubts:
            return " ".join(f"{one.sentence}." for one in self.doubts)
        photos, others = count_noun(self.photos, "photo"), len(self.alternatives)
        none = f"none of {others} other meanings is" if others > 1 else "no other meaning is"
        return (
            f"labels and scaling fit the photos: top-1 is {percent(self.top1)} of {photos}, "
            f"guessing would give {percent(self.guessing)}, and {none} plainly better"
        )
