"""Findings about a training, in words, never beyond what the photos can prove.

Every claim about shares rests on 95 % intervals: what may be chance is called so.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from edgetl.dataset.manifest import DatasetManifest
from edgetl.history import StageHistory
from edgetl.metrics import Interval, Metrics, Reliability, estimate_share
from edgetl.predictions import Predictions
from edgetl.reporting.wording import span
from edgetl_export.wording import percent, points
from edgetl_runtime.text.wording import count_noun

Kind = Literal["warning", "note", "good"]
_ORDER: tuple[Kind, ...] = ("warning", "note", "good")
# Below this a difference does not matter in practice, however sure it is.
_LEAST_POINTS = 0.01
_VAGUE = 0.05
_CONFIDENT = 0.9
_IMBALANCE = 3
_FEW_EPOCHS = 5
_PATIENCE = 3
_RISE = 1.05
_FALL = 0.98


class Finding(msgspec.Struct, frozen=True):
    """One thing to notice: `headline` is a statement, `detail` its figures and what follows."""

    kind: Kind
    headline: str
    detail: str


def find_notable(
    metrics: Metrics,
    test: Metrics | None,
    reliability: Reliability,
    histories: Sequence[StageHistory],
    manifest: DatasetManifest,
    predictions: Predictions,
) -> list[Finding]:
    """Says what a person should notice, the worst first.

    Args:
        metrics: Of the validation photos.
        test: Of the test photos, if there are any.
        reliability: Of the validation scores.
        histories: The stages in order.
        manifest: The photos.
        predictions: Of the validation photos.
    """
    scenes = manifest.count_scenes(predictions.paths)
    found = [
        *_judge_top1(metrics, scenes),
        *_judge_test(metrics, test, scenes, manifest),
        *_judge_classes(metrics, manifest, count_class_scenes(manifest, predictions)),
        *_judge_confusion(metrics),
        *_judge_calibration(reliability, metrics.examples),
        *_judge_curves(histories),
        *_judge_gap(histories, metrics, scenes),
        *_judge_confident_mistakes(predictions),
        *_judge_leaks(manifest),
        *_judge_balance(manifest),
        *_judge_skipped(manifest),
    ]
    return sorted(found, key=lambda one: _ORDER.index(one.kind))


def count_hits(metrics: Metrics) -> int:
    """Number of photos classified correctly."""
    return sum(metrics.confusion[n][n] for n in range(len(metrics.confusion)))


def count_class_scenes(manifest: DatasetManifest, predictions: Predictions) -> dict[str, int]:
    """How many different things the photos of each class show."""
    paths: dict[int, list[str]] = defaultdict(list)
    for path, index in zip(predictions.paths, predictions.truth, strict=True):
        paths[index].append(path)
    return {
        label: manifest.count_scenes(paths[index]) for index, label in enumerate(manifest.labels)
    }


def estimate_top1(metrics: Metrics, scenes: int | None = None) -> Interval:
    """95 % interval of top-1; see `estimate_share` for `scenes`."""
    return estimate_share(count_hits(metrics), metrics.examples, scenes=scenes)


def count_photos(photos: int, scenes: int, kind: str) -> str:
    """`112 validation photos of 11 different things`."""
    of = f" of {count_noun(scenes, 'different thing')}" if scenes < photos else ""
    return count_noun(photos, kind) + of


def _judge_top1(metrics: Metrics, scenes: int) -> Iterator[Finding]:
    interval = estimate_top1(metrics, scenes)
    photos = count_photos(metrics.examples, scenes, "validation photo")
    label, most = max(metrics.classes.items(), key=lambda item: item[1].support)
    baseline = most.support / max(metrics.examples, 1)
    if interval.lower <= baseline:
        yield Finding(
            "warning",
            f"Not clearly better than predicting {label} for every photo",
            f"That would be correct for {percent(baseline)}, the model is for "
            f"{percent(metrics.top1)} of {count_noun(metrics.examples, 'photo')} (95% interval "
            f"{span(interval)}).",
        )
    elif count_hits(metrics) == metrics.examples:
        yield Finding(
            "good",
            f"No mistakes on {photos}",
            f"On new photos of the same kind, expect at least {percent(interval.lower, 0)}.",
        )
    if interval.upper - interval.lower > 2 * _VAGUE:
        yield Finding(
            "note",
            f"Few photos to evaluate on: {photos}",
            f"Top-1 is somewhere in {span(interval)}; only a large difference to another run means "
            "anything.",
        )


def _judge_test(
    metrics: Metrics, test: Metrics | None, scenes: int, manifest: DatasetManifest
) -> Iterator[Finding]:
    if test is None or not test.examples:
        return
    tested = manifest.count_scenes(one.path for one in manifest.select("test"))
    ours, theirs = estimate_top1(metrics, scenes), estimate_top1(test, tested)
    figures = (
        f"{percent(test.top1)} of {count_noun(test.examples, 'test photo')} (95% interval "
        f"{span(theirs)}), {percent(metrics.top1)} of the validation photos ({span(ours)})."
    )
    if ours.overlaps(theirs):
        yield Finding("good", "Test accuracy agrees with validation accuracy", figures)
    elif test.top1 < metrics.top1:
        yield Finding(
            "warning",
            "Accuracy is lower on test photos than on validation photos",
            f"{figures} Rely on the test figure: nothing was chosen by it.",
        )
    else:
        yield Finding("note", "Test photos are easier than validation photos", figures)


def _judge_classes(
    metrics: Metrics, manifest: DatasetManifest, scenes: dict[str, int]
) -> Iterator[Finding]:
    present = [(label, one) for label, one in metrics.classes.items() if one.support]
    if len(present) < 2 or count_hits(metrics) == metrics.examples:
        return
    label, weakest = min(present, key=lambda item: (item[1].recall or 0, -item[1].support, item[0]))
    hits = round((weakest.recall or 0) * weakest.support)
    seen = scenes.get(label)
    interval = estimate_share(hits, weakest.support, looks=len(present), scenes=seen)
    others = metrics.examples - weakest.support
    rest_hits = count_hits(metrics) - hits
    rest = f"{percent(rest_hits / others, 0)} recall on the other classes"
    rest_seen = sum(scenes.values()) - (seen or 0)
    clear = interval.upper < estimate_share(rest_hits, others, scenes=rest_seen).lower
    yield Finding(
        "warning" if clear else "note",
        f"Class {label} has the lowest recall: {percent(weakest.recall, 0)} of its "
        f"{count_noun(weakest.support, 'photo')}",
        (
            f"{rest}; the difference is more than chance."
            if clear
            else f"{rest}; its own 95% interval, {span(interval)}, leaves room for chance."
        )
        + _count_lessons(label, manifest),
    )


def _count_lessons(label: str, manifest: DatasetManifest) -> str:
    counts = _count_train(manifest)
    if counts[label] > min(counts.values()) or counts[label] == max(counts.values()):
        return ""
    return f" It also has the fewest training photos, {counts[label]}."


def _judge_confusion(metrics: Metrics) -> Iterator[Finding]:
    pairs = find_confused_pairs(metrics)
    if pairs and pairs[0].count >= 3:
        worst = pairs[0]
        yield Finding(
            "note",
            f"Most frequent confusion: {worst.true} predicted as {worst.named}",
            f"{worst.count} of {count_noun(worst.of, 'photo')} of {worst.true}; {worst.back} of "
            f"{count_noun(worst.back_of, 'photo')} of {worst.named} predicted as {worst.true}.",
        )


class ConfusedPair(msgspec.Struct, frozen=True):
    """`count` of the `of` photos of class `true` are named `named`, `back` of `back_of` reverse."""

    true: str
    named: str
    count: int
    of: int
    back: int
    back_of: int


def find_confused_pairs(metrics: Metrics) -> list[ConfusedPair]:
    """All pairs of a true and a wrong label that occur, the most frequent first."""
    labels = list(metrics.classes)
    counts = np.array(metrics.confusion)
    supports = counts.sum(axis=1)
    pairs = [
        ConfusedPair(
            labels[row],
            labels[column],
            int(counts[row, column]),
            int(supports[row]),
            int(counts[column, row]),
            int(supports[column]),
        )
        for row, column in np.argwhere(counts)
        if row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, pair.of, pair.true, pair.named))


def _judge_calibration(reliability: Reliability, examples: int) -> Iterator[Finding]:
    gap = reliability.confidence - reliability.accuracy
    error = reliability.expected_calibration_error
    means = (
        f"The mean score is {percent(reliability.confidence)}, "
        f"accuracy is {percent(reliability.accuracy)}"
    )
    if abs(gap) > max(reliability.noise, _LEAST_POINTS):
        side = "overconfident" if gap > 0 else "underconfident"
        yield Finding(
            "warning" if gap > _VAGUE else "note",
            f"Scores are {side} by {points(gap)} points",
            f"{means}; chance alone explains up to {points(reliability.noise)} points. Keep that "
            "in mind when you choose a reject threshold.",
        )
    elif error > max(reliability.chance_error, _LEAST_POINTS):
        yield Finding(
            "note",
            f"Mean calibration error: {points(error)} points",
            "Scores are too high in some ranges and too low in others. Chance alone explains "
            f"{points(reliability.chance_error)}; see the reliability diagram.",
        )
    else:
        yield Finding(
            "good",
            "Scores are well calibrated, as far as the photos show",
            f"{means}; chance alone explains up to {points(reliability.noise)} points on "
            f"{count_noun(examples, 'photo')}.",
        )


def _judge_curves(histories: Sequence[StageHistory]) -> Iterator[Finding]:
    for stage in histories:
        loss, train = np.array(stage.val_losses), np.array(stage.curves["loss"])
        if len(loss) < _FEW_EPOCHS or not np.isfinite([loss, train]).all():
            continue
        best = int(loss.argmin())
        end = float(loss[-_PATIENCE:].mean())
        if len(loss) - 1 - best >= _PATIENCE and end > _RISE * loss[best] and _fell(train, best):
            yield _describe_overfitting(stage, best, float(loss[best]), end)
        elif best == len(loss) - 1 and loss[-1] < _FALL * loss[-1 - _PATIENCE]:
            yield Finding(
                "note",
                f"Validation loss was still falling at the end of {_name(stage)}",
                f"From {loss[-1 - _PATIENCE]:.3f} to {loss[-1]:.3f} over the last {_PATIENCE} of "
                f"{len(loss)} epochs; more epochs may help.",
            )


def _fell(train: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", since: int) -> bool:
    return bool(train[-1] < train[since])


def _describe_overfitting(stage: StageHistory, best: int, least: float, end: float) -> Finding:
    epochs = len(stage.val_losses)
    left = stage.best_epoch < epochs
    kept = "the previous ones" if stage.best_epoch == 0 else f"those of epoch {stage.best_epoch}"
    return Finding(
        "note" if left else "warning",
        f"Validation loss rises after epoch {best + 1} of {_name(stage)}: overfitting",
        f"From {least:.3f} to {end:.3f} (mean of the last {_PATIENCE} of {epochs} epochs), while "
        f"the training loss fell. The kept weights are {kept}.",
    )


def _judge_gap(
    histories: Sequence[StageHistory], metrics: Metrics, scenes: int
) -> Iterator[Finding]:
    kept = [stage for stage in histories if stage.best_epoch]
    if not kept:
        return
    learned = kept[-1].curves["accuracy"][kept[-1].best_epoch - 1]
    if learned - estimate_top1(metrics, scenes).upper > _VAGUE:
        yield Finding(
            "note",
            f"Accuracy is far higher on training photos: {percent(learned, 0)} against "
            f"{percent(metrics.top1, 0)} on validation photos",
            "The model overfits its training photos; more photos, stronger augmentation or more L2 "
            "regularization narrow the gap.",
        )


def _judge_confident_mistakes(predictions: Predictions) -> Iterator[Finding]:
    if not predictions.truth:
        return
    scores = predictions.probabilities
    wrong = scores.argmax(axis=1) != predictions.classes
    sure = int((wrong & (scores.max(axis=1) >= _CONFIDENT)).sum())
    if sure:
        yield Finding(
            "note",
            f"{count_noun(sure, 'mistake')} with a score of {_CONFIDENT:.0%} or more",
            "They are listed first below: such a photo may have a wrong label, or show two things.",
        )


def _judge_balance(manifest: DatasetManifest) -> Iterator[Finding]:
    counts = _count_train(manifest)
    if sum(counts.values()) == 0:
        return
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if few and many >= _IMBALANCE * few:
        yield Finding(
            "note",
            f"The classes are out of balance: {many:,} training photos of {most}, {few:,} of "
            f"{least}",
            f"{least} hardly affects top-1; look at balanced accuracy and at its own row.",
        )


def _judge_leaks(manifest: DatasetManifest) -> Iterator[Finding]:
    leaks = manifest.leaks()
    if leaks:
        yield Finding(
            "warning",
            f"{count_noun(len(leaks), 'validation or test photo')} look like a training photo",
            f"Such as {leaks[0].path}. They overstate accuracy: put near-duplicates into one "
            "split, or let edgetl choose the splits.",
        )


def _judge_skipped(manifest: DatasetManifest) -> Iterator[Finding]:
    skipped = len(manifest.unusable)
    share = skipped / max(skipped + len(manifest.examples), 1)
    if share >= _LEAST_POINTS:
        yield Finding(
            "warning" if share > _VAGUE else "note",
            f"{count_noun(skipped, 'file')} of the data folder could not be used",
            "The reasons are listed with the data.",
        )


def _count_train(manifest: DatasetManifest) -> Counter[str]:
    counts = Counter(dict.fromkeys(manifest.labels, 0))
    counts.update(example.label for example in manifest.select("train"))
    return counts


def _name(stage: StageHistory) -> str:
    return f"stage “{stage.name}”"
