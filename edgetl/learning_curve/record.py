"""The record of a learning curve: `curve.json` of a run, and `--json` of `edgetl data curve`."""

from typing import Literal

import msgspec

from edgetl.metrics import Interval

Verdict = Literal["rising", "flat", "unclear"]
# A gain that is worth the work of as many photos again, and one that is more than nothing.
_WORTH, _LITTLE = 0.01, 0.005
# A last part that may rise by more than this is not known to be flat, whatever is fitted to it.
_STEEPEST = 0.03


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A difference of two shares with its 95 % interval, each -1..1."""

    value: float
    lower: float
    upper: float


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heads that learned from one share of the training photos.

    Attributes:
        fraction: Of the training photos, 0..1.
        photos: Number of photos, rounded mean of the draws.
        accuracies: Of each draw, on the validation photos, 0..1.
        accuracy: Their mean.
        interval: 95 % interval of the accuracy on new photos of a head that learned from so many
            new photos: it covers the draw as well as the validation photos.
        recalls: Mean recall by label, 0..1; None for a class without validation photos.
    """

    fraction: float
    photos: int
    accuracies: tuple[float, ...]
    accuracy: float
    interval: Interval
    recalls: dict[str, float | None]


class ClassRise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the recall of a class grew over the last part of the curve.

    Attributes:
        label: The class.
        photos: Its number of training photos.
        rise: Of its recall; the intervals of all classes hold at once (Bonferroni).
    """

    label: str
    photos: int
    rise: Change


class Forecast(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What twice as many photos would bring if the curve went on as it goes.

    Attributes:
        photos: Twice the training photos.
        gain: Of accuracy on new photos, in the mean of all draws of so many photos.
        seen: 95 % interval of the gain that one training shows on the same validation photos; it
            covers the luck of the photos that are added.
        limit: Error that no number of photos would remove, 0..1; photos tell little about it.
        scale: Error of all photos beyond `limit`, 0..1.
        exponent: Of the power law.
    """

    photos: int
    gain: Change
    seen: Change
    limit: float
    scale: float
    exponent: float

    def error(self, fraction: float) -> float:
        """Error at a multiple of all photos, 0..1: limit + scale * fraction ** -exponent."""
        return float(self.limit + self.scale * fraction**-self.exponent)


class PhotoCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accuracy of heads on the frozen backbone over the number of photos that they learned from.

    Attributes:
        l2: L2 strength of all heads.
        seed: Of the draws.
        examples: Number of validation photos.
        scenes: Number of different things that they show.
        points: By fraction, ascending; the last one is all photos.
        since: Fraction at which the last part of the curve begins.
        rise: Of accuracy over the last part.
        forecast: Of twice as many photos.
        classes: Those with validation photos, largest rise first.
    """

    l2: float
    seed: int
    examples: int
    scenes: int
    points: tuple[CurvePoint, ...]
    since: float
    rise: Change
    forecast: Forecast
    classes: tuple[ClassRise, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether more photos are likely to help; `unclear` where the intervals allow both."""
        gain = self.forecast.gain
        if self.rise.lower > 0 and gain.lower >= _LITTLE:
            return "rising"
        certain = gain.upper <= _WORTH and self.rise.upper <= _STEEPEST
        return "flat" if certain else "unclear"

    @property
    def rising_classes(self) -> tuple[ClassRise, ...]:
        """The classes whose recall rose by more than chance."""
        return tuple(one for one in self.classes if one.rise.lower > 0)
