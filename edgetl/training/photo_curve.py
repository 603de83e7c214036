"""The learning curve over training photos: heads on parts of them, all fitted at once."""

from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl.learning_curve.draws import choose_fractions, draw_parts, find_hindrance
from edgetl.learning_curve.extrapolation import fit_power_law
from edgetl.learning_curve.record import Change, ClassRise, CurvePoint, Forecast, PhotoCurve
from edgetl.learning_curve.resampling import (
    Shares,
    bound_unseen,
    draw_again,
    estimate_accuracy,
    measure_luck,
    measure_step,
    resample,
)
from edgetl.training.cross_validation import (
    HeadStack,
    LabelledRows,
    choose_epochs,
    choose_l2,
    sample_groups,
    standardize,
)

Hits = NDArray[np.bool_]
# Beyond these the curve would take more than a few seconds of a training, and much memory.
MOST_PHOTOS = 10_000
# More draws of few classes: together they are one dense layer, and its width is what costs.
_MOST_DRAWS, _LEAST_DRAWS, _OUTPUTS = 6, 3, 40
# Of the bootstrap.
_REPEATS = 1000
_CROSS_VALIDATION_ROWS = 6000
# The last part of the curve begins with the largest part that holds at most half of the photos.
_SINCE = 0.5
_SURE = 0.95


class MeasuredCurve(msgspec.Struct, frozen=True, eq=False):
    """A curve, and what the head that learned from all photos says.

    Attributes:
        curve: The record.
        predicted: int64 (validation photos,): index of the label.
    """

    curve: PhotoCurve
    predicted: NDArray[np.int64]


def measure_curve(
    labels: Sequence[str],
    train: LabelledRows,
    val: LabelledRows,
    *,
    l2: float | None = None,
    seed: int = 0,
) -> MeasuredCurve:
    """Fits linear heads to 10, 20, 40, 70 and 100 % of the training photos.

    All heads share the standardization of all training photos, and the L2 strength that suits
    them: on TrashNet, strengths that grow as photos get fewer change no point by more than one
    standard deviation of its draws.

    Args:
        labels: All classes.
        train: Features of the training photos; see `draws.find_hindrance` for how many it takes.
        val: Features of the validation photos.
        l2: L2 strength; None: chosen by cross-validation.
        seed: Of draws, order, and what is drawn again.
    """
    if l2 is None:
        l2 = choose_l2(_sample(train, seed), len(labels), seed=seed)
    fractions = choose_fractions(train.classes, train.groups)
    draws = max(_LEAST_DRAWS, min(_MOST_DRAWS, _OUTPUTS // len(labels)))
    parts = draw_parts(train.classes, train.groups, fractions, draws=draws, seed=seed)
    predicted = _predict(len(labels), train, val, parts, l2, seed)
    hits = predicted == val.classes
    since = max((n for n, part in enumerate(fractions) if part <= _SINCE), default=0)
    repeated = _Repeated(hits, val.groups, since, seed)
    scenes = len(np.unique(val.groups))
    curve = PhotoCurve(
        l2=l2,
        seed=seed,
        examples=len(val.classes),
        scenes=scenes,
        points=tuple(_tell_points(labels, fractions, parts, hits, val, scenes)),
        since=fractions[since],
        rise=repeated.bound(repeated.rise, repeated.rises),
        forecast=_forecast(fractions, repeated, len(train.classes)),
        classes=tuple(_rank_classes(labels, train, val, hits, since, seed)),
    )
    return MeasuredCurve(curve, predicted[0, -1])


def find_curve_hindrance(manifest: DatasetManifest, features: NDArray[np.float32] | None) -> str:
    """Why a training leaves the curve out; empty if it does not.

    Args:
        manifest: The photos.
        features: Of the frozen backbone; None where there are none.
    """
    if len(manifest.examples) > MOST_PHOTOS:
        return (
            f"with more than {MOST_PHOTOS:,} photos it takes minutes; `edgetl data curve` measures "
            "the curve and draws the map of the photos"
        )
    if features is None:
        return (
            "the network was trained from random weights, so no frozen backbone has features; "
            "`edgetl data curve` measures the curve on a pretrained one"
        )
    return find_hindrance(manifest)


def select_rows(
    manifest: DatasetManifest, features: NDArray[np.float32], split: Split
) -> LabelledRows:
    """The rows of one split.

    Args:
        manifest: The photos.
        features: float32 (photos, features), in the order of the manifest.
        split: Of them.
    """
    chosen = [n for n, one in enumerate(manifest.examples) if one.split == split]
    examples = [manifest.examples[n] for n in chosen]
    place = {label: n for n, label in enumerate(manifest.labels)}
    number = {name: n for n, name in enumerate(dict.fromkeys(one.group for one in examples))}
    return LabelledRows(
        features=features[chosen],
        classes=np.array([place[one.label] for one in examples], np.int64),
        groups=np.array([number[one.group] for one in examples], np.int64),
        judged=np.ones(len(chosen), np.bool_),
    )


def _sample(rows: LabelledRows, seed: int) -> LabelledRows:
    kept = sample_groups(rows.groups, _CROSS_VALIDATION_ROWS, seed=seed)
    parts = (getattr(rows, name)[kept] for name in rows.__struct_fields__)
    return LabelledRows(*parts)


def _predict(
    count: int, train: LabelledRows, val: LabelledRows, parts: Hits, l2: float, seed: int
) -> NDArray[np.int64]:
    """Indices of labels, int64 (draws, fractions, validation photos)."""
    mean, scale = standardize([train.features])
    # All photos are the same in each draw: one head for them.
    drawn = parts[:, :-1].reshape(-1, parts.shape[-1])
    masks = np.concatenate([drawn, parts[:1, -1]]).T.astype(np.float32)
    decays = np.full(masks.shape[1], l2, np.float32)
    stack = HeadStack(train.features.shape[1], count, decays, seed)
    standard = (train.features - mean) / scale
    epochs = choose_epochs(len(standard))
    stack.fit(standard, train.classes, masks, epochs, "fitting heads to parts of the photos")
    named = stack.logits((val.features - mean) / scale).argmax(axis=-1).T
    shape = (len(parts), parts.shape[1] - 1, len(val.classes))
    whole = np.broadcast_to(named[-1], (len(parts), 1, len(val.classes)))
    return np.concatenate([named[:-1].reshape(shape), whole], axis=1)


class _Repeated:
    """Accuracies, and what they would be with other photos and draws."""

    def __init__(self, hits: Hits, groups: NDArray[np.int64], since: int, seed: int) -> None:
        draws, points, photos = hits.shape
        single = hits.mean(axis=2)
        self.accuracies: Shares = single.mean(axis=0)
        random = np.random.default_rng(seed)
        shares = resample(hits.reshape(-1, photos), groups, repeats=_REPEATS, random=random)
        self.shares = draw_again(shares.reshape(-1, draws, points), random)
        self.rise = float(self.accuracies[-1] - self.accuracies[since])
        # Of all photos there is one draw; how lucky it may be, the other steps tell.
        spread = measure_step(single[:, :-1]) ** 0.5
        self.luck: Shares = random.normal(0.0, spread, _REPEATS)
        # A step has two ends; of these, the mean of several draws varies little.
        self.rises: Shares = self.shares[:, -1] - self.shares[:, since] + self.luck / 2**0.5
        # Photos that every head gets right, or every head wrong, make no spread however few.
        self._unmoved = bool((hits == hits[0, 0]).all())
        self._scenes = len(np.unique(groups))

    def bound(self, value: float, repeated: Shares) -> Change:
        """A change with the percentile interval of its repeats."""
        if self._unmoved:
            return self._bound_unmoved(value, 1 - _SURE)
        lower, upper = np.quantile(repeated, [(1 - _SURE) / 2, (1 + _SURE) / 2])
        return Change(float(value), float(lower), float(upper))

    def bound_rise(self, classes: int) -> Change:
        """The rise of one of several classes; their intervals hold at once (Bonferroni)."""
        error = (1 - _SURE) / classes
        if self._unmoved:
            return self._bound_unmoved(self.rise, error)
        # From the spread: a thousand repeats do not reach the far quantiles that many classes take.
        spread = NormalDist().inv_cdf(1 - error / 2) * float(self.rises.std())
        return Change(self.rise, self.rise - spread, self.rise + spread)

    def _bound_unmoved(self, value: float, error: float) -> Change:
        unseen = bound_unseen(self._scenes, error)
        return Change(value, value - unseen, value + unseen)


def _tell_points(
    labels: Sequence[str],
    fractions: Sequence[float],
    parts: Hits,
    hits: Hits,
    val: LabelledRows,
    scenes: int,
) -> list[CurvePoint]:
    examples = hits.shape[-1]
    luck = _share_luck(fractions, hits, scenes)
    points = []
    for n, fraction in enumerate(fractions):
        draws = hits[:, n].mean(axis=1)
        of_all = fraction == 1.0
        accuracy = float(draws.mean())
        points.append(
            CurvePoint(
                fraction=fraction,
                photos=round(float(parts[:, n].sum(axis=1).mean())),
                accuracies=tuple(map(float, draws[:1] if of_all else draws)),
                accuracy=accuracy,
                interval=estimate_accuracy(
                    accuracy, luck / fraction, examples=examples, scenes=scenes
                ),
                recalls={
                    label: _recall(hits[:, n][:, val.classes == index])
                    for index, label in enumerate(labels)
                },
            )
        )
    return points


def _share_luck(fractions: Sequence[float], hits: Hits, scenes: int) -> float:
    """Variance that the draw of all photos makes: for a part it is that over its fraction.

    Draws that share photos differ less than new ones would, by the fraction that each leaves
    out (the finite population correction, Cochran 1977).
    """
    found = [
        measure_luck(hits[:, n], scenes) * fraction / (1 - fraction)
        for n, fraction in enumerate(fractions[:-1])
    ]
    return float(np.mean(found))


def _recall(hits: Hits) -> float | None:
    return float(hits.mean()) if hits.size else None


def _forecast(fractions: Sequence[float], repeated: _Repeated, photos: int) -> Forecast:
    law = fit_power_law(fractions, 1 - repeated.accuracies[np.newaxis])
    gain, gains = float(law.gain(2.0)[0]), fit_power_law(fractions, 1 - repeated.shares).gain(2.0)
    return Forecast(
        photos=2 * photos,
        gain=repeated.bound(gain, gains),
        seen=repeated.bound(gain, gains + repeated.luck),
        limit=float(law.limit[0]),
        scale=float(law.scale[0]),
        exponent=float(law.exponent[0]),
    )


def _rank_classes(
    labels: Sequence[str],
    train: LabelledRows,
    val: LabelledRows,
    hits: Hits,
    since: int,
    seed: int,
) -> list[ClassRise]:
    present = np.unique(val.classes)
    rises = []
    for index in present:
        own = val.classes == index
        repeated = _Repeated(hits[:, :, own], val.groups[own], since, seed)
        photos = int((train.classes == index).sum())
        rises.append(ClassRise(labels[index], photos, repeated.bound_rise(len(present))))
    return sorted(rises, key=lambda one: (-one.rise.value, one.label))
