"""Plausibility: labelled photos tell whether a model's numbers mean what somebody says.

A model trained elsewhere is compared with itself, so that labels in another order or a wrong
scaling lose nothing on the way. Here it is compared with guessing, with the same labels in other
orders, and with other scalings, on the same photos.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.confidence import GREATEST_TEMPERATURE, fit_temperature_of_scores
from edgetl_export.evaluate.mcnemar import compute_mcnemar_p
from edgetl_export.examination import Alternative, Doubt, Examination
from edgetl_export.load.orders import Indices, LabelOrder, find_moved, fit_order, list_orders
from edgetl_export.load.scaling import SCALINGS, Scaling
from edgetl_export.wording import percent
from edgetl_runtime.prediction import Scores
from edgetl_runtime.text.wording import count_noun

Flags = NDArray[np.bool_]
Rescore = Callable[[Scaling, slice], Scores]
# Chance makes so many of all examinations doubt what is right, at most, however much is compared.
_SIGNIFICANCE = 0.005
# What gains less is no reason to refuse a bundle: 5 points.
_LEAST_GAIN = 0.05
# What leaves no more than this of the errors is plain, and no whim of odd photos.
_MUCH = 0.4
# Or so many times as many photos classified correctly, where all labels that are moved have photos.
_MANIFOLD = 3
# Alternatives cannot be told apart that chance makes differ so much more often than this.
_APART = 0.05
# Fewer photos say nothing of guessing and of scores.
_ENOUGH_PHOTOS = 20
# So many photos choose which other scalings are looked at on all of them.
_PILOT, _KEPT = 48, 2
_DRAWS, _SEED = 4000, 0
# How often chance may do as well as the model before that is said.
_UNSURE = 0.05
_NEARLY_ALL, _MOSTLY, _FEW_RIGHT = 0.95, 2 / 3, 0.1
_LEAST_CLASSES, _SHOWN = 3, 4


class _Compared(msgspec.Struct, frozen=True, eq=False):
    alternative: Alternative
    remedy: str
    is_better: bool
    is_much_better: bool
    # Whether each photo would be classified correctly.
    after: Flags


def examine(
    scores: Scores, truth: Indices, labels: Sequence[str], scaling: Scaling, rescore: Rescore
) -> Examination:
    """Looks for what speaks against labels and scaling.

    Args:
        scores: Probabilities of labelled photos, the classes mixed, float32 (photos, classes).
        truth: Index of each one's label, (photos,).
        labels: In the order that was given.
        scaling: That was given.
        rescore: Probabilities of some of the same photos with another scaling.
    """
    named = scores.argmax(axis=1)
    compared = [*_compare_orders(named, truth, labels)]
    if (named == truth).mean() <= 1 - _LEAST_GAIN:
        compared += _compare_scalings(named, truth, scaling, rescore)
    compared.sort(key=lambda one: (one.is_better, one.alternative.top1), reverse=True)
    guessing = _guess(named, truth)
    if compared and compared[0].is_better:
        # Where some labels have no photos, chance and odd photos favour many other orders.
        is_lost = guessing.above > _UNSURE and len(np.unique(truth)) == len(labels)
        doubts = [_doubt(compared, refuses=is_lost or compared[0].is_much_better)]
    else:
        doubts = [*_doubt_guesses(scores, truth, labels, guessing)]
    return Examination(
        photos=len(truth),
        top1=float((named == truth).mean()),
        guessing=guessing.share,
        guessing_low=guessing.low,
        guessing_high=guessing.high,
        alternatives=tuple(one.alternative for one in compared),
        doubts=tuple(doubts),
    )


def list_scalings(given: Scaling) -> tuple[Scaling, ...]:
    """All that have a name, and red and blue exchanged, but for the one that was given."""
    if given.order == "grey":
        others = [one.fit_to(1) for one in SCALINGS if one.is_uniform]
    else:
        swapped = [one.swap() for one in SCALINGS if one.order == "rgb"]
        others = [given.swap(), *SCALINGS, *swapped]
    distinct = {(one.factor, one.offset, one.order): one for one in others}
    distinct.pop((given.factor, given.offset, given.order), None)
    return tuple(distinct.values())


def _compare_orders(named: Indices, truth: Indices, labels: Sequence[str]) -> Iterator[_Compared]:
    known = list_orders(labels)
    for order in known:
        after = order.read(named) == truth
        meaning = f"the labels {order.words}"
        yield _compare_order(order, meaning, labels, truth, named == truth, after, len(known))
    fitted = fit_order(named, truth, len(labels))
    if moved := find_moved(fitted):
        # What was fitted to photos is judged by others.
        after = _fit_across(named, truth, lambda *one: fit_order(one[0], one[1], len(labels)))
        meaning = f"{len(moved)} labels in other places"
        yield _compare_order(fitted, meaning, labels, truth, named == truth, after, 1)


def _compare_order(
    order: LabelOrder,
    meaning: str,
    labels: Sequence[str],
    truth: Indices,
    right: Flags,
    after: Flags,
    tests: int,
) -> _Compared:
    moved = find_moved(order)
    touched = np.isin(truth, moved)
    remedy = f"reorder the lines of --labels: {_show_moved(order, labels)}"
    found = _compare(meaning, remedy, right, after, tests, touched)
    # A weak model leaves many errors in the right order, too.
    if np.isin(moved, truth).all() and _MANIFOLD * right[touched].sum() <= after[touched].sum():
        return msgspec.structs.replace(found, is_much_better=True)
    return found


def _fit_across(
    named: Indices, truth: Indices, fit: Callable[[Indices, Indices], LabelOrder]
) -> Flags:
    """Whether each photo is correct with the order that fits the other half of the photos."""
    half = np.zeros(len(truth), np.int64)
    for one in np.unique(truth):
        half[truth == one] = np.arange((truth == one).sum()) % 2
    right = np.zeros(len(truth), np.bool_)
    for number in (0, 1):
        here, there = half == number, half != number
        if there.any():
            right[here] = fit(named[there], truth[there]).read(named[here]) == truth[here]
    return right


def _compare_scalings(
    named: Indices, truth: Indices, given: Scaling, rescore: Rescore
) -> Iterator[_Compared]:
    others = list_scalings(given)
    pilot = slice(0, _PILOT)
    tried = [rescore(one, pilot).argmax(axis=1) for one in others]
    hits = [int((one == truth[pilot]).sum()) for one in tried]
    kept = sorted(range(len(others)), key=hits.__getitem__, reverse=True)[:_KEPT]
    right = named == truth
    for number, (one, found) in enumerate(zip(others, tried, strict=True)):
        if number in kept and hits[number] > right[pilot].sum() and len(truth) > _PILOT:
            rest = rescore(one, slice(_PILOT, None)).argmax(axis=1)
            found = np.concatenate([found, rest])
        name = f'"{one.name}"' if " " in one.name else one.name
        after = found == truth[: len(found)]
        option = f"--scaling {name}"
        every = np.ones(len(found), np.bool_)
        yield _compare(option, f"give {option}", right[: len(found)], after, len(others), every)


def _compare(
    meaning: str,
    remedy: str,
    right: Flags,
    after: Flags,
    tests: int,
    touched: Flags,
) -> _Compared:
    """Judges by the photos that only one of the two classifies correctly: McNemar's test, exact.

    Args:
        meaning: For people.
        remedy: What to do.
        right: Whether each photo is classified correctly as it is.
        after: Whether it would be.
        tests: How many such tests are made.
        touched: Photos of which something else would be expected.
    """
    won, lost = int((after & ~right).sum()), int((right & ~after).sum())
    chance = compute_mcnemar_p(won, lost, "greater")
    gain = float(after.mean() - right.mean())
    wrong, left = int((touched & ~right).sum()), int((touched & ~after).sum())
    return _Compared(
        Alternative(meaning, len(after), float(after.mean()), float(right.mean())),
        remedy,
        is_better=gain >= _LEAST_GAIN and chance * tests < _SIGNIFICANCE,
        is_much_better=left <= _MUCH * wrong,
        after=after,
    )


def _doubt(compared: Sequence[_Compared], *, refuses: bool) -> Doubt:
    one = compared[0].alternative
    near = [
        f"{other.alternative.meaning} ({percent(other.alternative.top1)})"
        for other in compared[1:]
        if other.is_better and not _are_apart(compared[0].after, other.after)
    ]
    photos = count_noun(one.photos, "photo")
    return Doubt(
        f"top-1 is {percent(one.top1_as_given)} of {photos}; with {one.meaning} it would be "
        f"{percent(one.top1)}: {compared[0].remedy}{'; as likely: ' * bool(near)}{', '.join(near)}",
        refuses,
    )


def _are_apart(best: Flags, other: Flags) -> bool:
    """True if chance alone hardly makes one so much better than the other on the same photos."""
    photos = min(len(best), len(other))
    won = int((best[:photos] & ~other[:photos]).sum())
    lost = int((other[:photos] & ~best[:photos]).sum())
    return compute_mcnemar_p(won, lost) < _APART


class _Guessing(msgspec.Struct, frozen=True):
    """Shares classified correctly by answers that are dealt out anew among the photos.

    Attributes:
        share: On average.
        low: Of 95 of 100 such guesses, the least.
        high: The greatest.
        below: How often chance alone names as few right as the model, or fewer.
        above: As many, or more.
    """

    share: float
    low: float
    high: float
    below: float
    above: float


def _guess(named: Indices, truth: Indices) -> _Guessing:
    dealt = np.tile(truth, (_DRAWS, 1))
    np.random.default_rng(_SEED).permuted(dealt, axis=1, out=dealt)
    hits = (dealt == named).sum(axis=1)
    low, high = np.quantile(hits, (0.025, 0.975)) / len(truth)
    found = int((named == truth).sum())
    return _Guessing(
        share=float(hits.mean() / len(truth)),
        low=float(low),
        high=float(high),
        below=float(((hits <= found).sum() + 1) / (_DRAWS + 1)),
        above=float(((hits >= found).sum() + 1) / (_DRAWS + 1)),
    )


def _doubt_guesses(
    scores: Scores, truth: Indices, labels: Sequence[str], guessing: _Guessing
) -> Iterator[Doubt]:
    """What can be said where nothing that was tried is better."""
    named = scores.argmax(axis=1)
    found = f"top-1 is {percent((named == truth).mean())} of {len(truth)} photos"
    guesses = (
        f"guessing would give {percent(guessing.share)} "
        f"({percent(guessing.low)} to {percent(guessing.high)})"
    )
    strangers = _find_strangers(named, truth)
    if _are_all(strangers, truth):
        yield Doubt(
            f"{found}, but photos of one class get one label: "
            f"{_show_strangers(strangers, labels)}; put the lines of --labels in the order of the "
            "model's outputs",
            refuses=True,
        )
    elif guessing.below < _SIGNIFICANCE:
        yield Doubt(
            f"{found}, less than chance: {guesses}; --labels are in another order than the model's "
            "outputs, or photos are in the wrong folders",
            refuses=True,
        )
    elif not _are_enough(truth):
        return
    elif guessing.above > _UNSURE:
        yield _doubt_chance(named, truth, labels, f"{found}, no better than chance: {guesses}")
    elif _scores_say_nothing(scores, truth):
        yield Doubt(
            f"{found}, but higher scores are not more often correct; check --labels and --scaling",
            refuses=False,
        )
    elif many := [one for one in strangers if one.photos >= _ENOUGH_PHOTOS / 2]:
        yield Doubt(
            f"photos of one class get one other label: {_show_strangers(many, labels)}; check "
            "--labels and the photos in the folder",
            refuses=False,
        )


def _are_enough(truth: Indices) -> bool:
    """True if a good model could be told from guessing by photos of more labels than one."""
    others = len(truth) - np.bincount(truth).max()
    return len(truth) >= _ENOUGH_PHOTOS and bool(others >= _ENOUGH_PHOTOS / 2)


def _doubt_chance(named: Indices, truth: Indices, labels: Sequence[str], found: str) -> Doubt:
    counts = np.bincount(named, minlength=len(labels))
    most = int(counts.argmax())
    told = f"{labels[most]} is predicted for {counts[most]} of {len(truth)} photos"
    if counts[most] >= _NEARLY_ALL * len(truth):
        real = int((truth == most).sum())
        return Doubt(
            f"{found}; {told}, which {real} show; --scaling is wrong, or the model does not suit "
            "these photos",
            refuses=real < _MOSTLY * len(truth),
        )
    return Doubt(f"{found}; check --labels, --scaling and --fit", refuses=False)


class _Stranger(msgspec.Struct, frozen=True):
    """A class whose photos get one label, another one.

    Attributes:
        index: Of its label.
        output: Index of the label that they get.
        hits: How many get it.
        photos: Of how many.
    """

    index: int
    output: int
    hits: int
    photos: int


def _find_strangers(named: Indices, truth: Indices) -> list[_Stranger]:
    found = []
    for one in np.unique(truth).tolist():
        counts = np.bincount(named[truth == one])
        output, photos = int(counts.argmax()), int(counts.sum())
        right = counts[one] if one < len(counts) else 0
        if right <= _FEW_RIGHT * photos and counts[output] >= _MOSTLY * photos:
            found.append(_Stranger(one, output, int(counts[output]), photos))
    return found


def _are_all(strangers: Sequence[_Stranger], truth: Indices) -> bool:
    """True if no class is left, and each gets a label of its own: another order, that is."""
    return (
        len(truth) >= _ENOUGH_PHOTOS
        and _LEAST_CLASSES <= len(strangers) == len(np.unique(truth))
        and len({one.output for one in strangers}) == len(strangers)
    )


def _show_strangers(strangers: Sequence[_Stranger], labels: Sequence[str]) -> str:
    shown = [
        f"{labels[one.index]} gets {labels[one.output]} ({one.hits} of {one.photos})"
        for one in strangers[:_SHOWN]
    ]
    return ", ".join(shown)


def _scores_say_nothing(scores: Scores, truth: Indices) -> bool:
    """True if the temperature that fits them best is as high as it may be."""
    return fit_temperature_of_scores(scores, truth) > _NEARLY_ALL * GREATEST_TEMPERATURE


def _show_moved(order: LabelOrder, labels: Sequence[str]) -> str:
    moved = find_moved(order)
    shown = [f"line {n + 1} {labels[order.places[n]]}" for n in moved[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(moved) > _SHOWN else "")
