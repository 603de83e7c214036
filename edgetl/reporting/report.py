"""The report of a training: one HTML page that a person understands in half a minute."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, Skipped
from edgetl.history import StageHistory
from edgetl.learning_curve.record import PhotoCurve
from edgetl.metrics import (
    ClassMetrics,
    Interval,
    Metrics,
    Reliability,
    estimate_share,
    measure,
    measure_reliability,
)
from edgetl.options import Monitor
from edgetl.predictions import Predictions
from edgetl.reporting.findings import (
    ConfusedPair,
    count_class_scenes,
    count_hits,
    count_photos,
    estimate_top1,
    find_confused_pairs,
    find_notable,
)
from edgetl.reporting.pages import mark_safe, render_page
from edgetl.reporting.photo_curve import make_section
from edgetl.reporting.photo_map import PhotoMap, draw_photo_map
from edgetl.reporting.plots import draw_curves, draw_heatmap, draw_reliability
from edgetl.reporting.thumbnails import embed, shrink, thumbnail
from edgetl.reporting.wording import duration
from edgetl_export.wording import percent, points
from edgetl_runtime.errors import FrameError
from edgetl_runtime.heatmaps.drawing import draw_heat_map
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.text.wording import count_noun

MATRIX_CLASSES = 30
_PAIRS, _FEW_PAIRS = 30, 8
_MISTAKES = 24
_THUMBNAIL_PX = 256
_SKIPPED = 200
_TOTAL = "total"
_CHOSEN_BY: dict[Monitor, str] = {
    "calibrated": "the lowest validation loss at the best temperature, as in the finished model",
    "loss": "the lowest validation loss",
    "accuracy": "the highest validation accuracy",
}
# Less than this share of the total is rounding, not a stage of its own.
_REST = 0.02


class ReportInput(msgspec.Struct, frozen=True):
    """All that a report shows.

    Attributes:
        title: Of the page, such as the run's name.
        manifest: The photos; those of the worst mistakes are read from its folder.
        metrics: Of the validation photos.
        histories: Of the stages in order.
        predictions: Of the validation photos.
        test: Of the test photos, or None without any.
        seconds: Stage -> duration, s; `total` is all of them and what lies between.
        settings: The options, nested plain values.
        facts: Name -> value, such as the backbone, versions, the device.
        explainer: Draws what the model looked at in the worst mistakes; None where its head is not
            one dense layer on pooled maps.
        curve: Accuracy over the number of training photos; None without one.
        no_curve: Why there is none; empty where nothing is to be said.
        features: Of the frozen backbone, float32 (photos, features), in the order of the
            manifest, by which the photos are mapped; None without any.
    """

    title: str
    manifest: DatasetManifest
    metrics: Metrics
    histories: tuple[StageHistory, ...]
    predictions: Predictions
    test: Predictions | None
    seconds: dict[str, float]
    settings: dict[str, object]
    facts: dict[str, str]
    explainer: Explainer | None = None
    curve: PhotoCurve | None = None
    no_curve: str = ""
    features: NDArray[np.float32] | None = None


class _Tile(msgspec.Struct, frozen=True):
    """A headline figure; `interval` is drawn as a band on a scale of 0..1."""

    name: str
    figure: str
    note: str
    share: float | None = None
    interval: Interval | None = None


class _Cell(msgspec.Struct, frozen=True):
    count: int
    share: float
    is_right: bool


class _ClassRow(msgspec.Struct, frozen=True):
    label: str
    metrics: ClassMetrics
    interval: Interval


class _DataRow(msgspec.Struct, frozen=True):
    label: str
    train: int
    val: int
    test: int

    @property
    def all(self) -> int:
        return self.train + self.val + self.test


class _Mistake(msgspec.Struct, frozen=True):
    path: str
    true: str
    named: str
    score: float
    picture: str
    is_missing: bool
    maps: tuple[tuple[str, str], ...]


class _Bar(msgspec.Struct, frozen=True):
    name: str
    seconds: float
    share: float


def render_report(report: ReportInput) -> str:
    """Renders a training's report.

    Args:
        report: What it shows. Photos that are missing meanwhile become grey squares.

    Returns:
        One HTML page that needs no network and no script; equal input gives equal text.
    """
    labels = report.manifest.labels
    test = _measure_test(report)
    scores = report.predictions.probabilities.reshape(-1, len(labels))
    reliability = measure_reliability(scores, report.predictions.classes)
    return render_page(
        "report.html.j2",
        title=report.title,
        summary=_summarize(report),
        tiles=_make_tiles(report, test, reliability),
        findings=find_notable(
            report.metrics,
            test,
            reliability,
            report.histories,
            report.manifest,
            report.predictions,
        ),
        curves=_draw_curves(report.histories),
        stages=report.histories,
        chosen_by=_CHOSEN_BY[report.histories[0].monitor] if report.histories else "",
        photo_curve=make_section(report.curve, report.no_curve),
        photo_map=_map_photos(report),
        labels=labels,
        matrix=_color_matrix(report.metrics) if len(labels) <= MATRIX_CLASSES else [],
        heatmap=_draw_heatmap(report.metrics),
        pairs=_choose_pairs(report.metrics),
        classes=_sort_classes(report),
        reliability=reliability,
        reliability_plot=mark_safe(
            draw_reliability(reliability, "Accuracy over the score, and photos for each score")
        ),
        mistakes=_find_mistakes(report),
        wrong=report.metrics.examples - count_hits(report.metrics),
        data=_count_photos(report.manifest),
        skipped=_list_skipped(report.manifest),
        more_skipped=max(0, len(report.manifest.skipped) - _SKIPPED),
        timing=_divide_time(report.seconds),
        total=report.seconds.get(_TOTAL, sum(report.seconds.values())),
        settings=_flatten(report.settings),
        facts=report.facts,
    )


def _map_photos(report: ReportInput) -> PhotoMap | None:
    if report.features is None:
        return None
    labels, named = report.manifest.labels, report.predictions.probabilities.argmax(axis=1)
    predicted = {
        path: labels[index] for path, index in zip(report.predictions.paths, named, strict=True)
    }
    return draw_photo_map(report.manifest, report.features, predicted, judge="the trained model")


def _measure_test(report: ReportInput) -> Metrics | None:
    if report.test is None or not report.test.truth:
        return None
    predicted = report.test.probabilities.argmax(axis=1)
    return measure(report.manifest.labels, report.test.classes, predicted)


def _summarize(report: ReportInput) -> str:
    counts = Counter(example.split for example in report.manifest.examples)
    parts = [
        report.facts.get("backbone", ""),
        count_noun(len(report.manifest.labels), "class", "classes"),
        count_noun(counts["train"], "training photo"),
        count_noun(counts["val"], "validation photo"),
        count_noun(counts["test"], "test photo") if counts["test"] else "",
    ]
    return " · ".join(part for part in parts if part)


def _make_tiles(report: ReportInput, test: Metrics | None, reliability: Reliability) -> list[_Tile]:
    metrics = report.metrics
    tiles = [_tell_top1("Validation top-1", metrics, report.manifest, report.predictions)]
    if test is not None and report.test is not None:
        tiles.append(_tell_top1("Test top-1", test, report.manifest, report.test))
    tiles += [
        _Tile(
            "Balanced accuracy",
            percent(metrics.balanced_accuracy),
            f"mean recall of the classes; macro F1 {percent(metrics.macro_f1)}",
        ),
        _tell_weakest(_sort_classes(report)),
        _Tile(
            "Calibration error",
            f"{points(reliability.expected_calibration_error)} points",
            f"up to {points(reliability.chance_error)} points are explained by chance",
        ),
        _Tile(
            "Training time",
            duration(report.seconds.get(_TOTAL, sum(report.seconds.values()))),
            "from photos to model",
        ),
    ]
    return tiles


def _tell_top1(
    name: str, metrics: Metrics, manifest: DatasetManifest, predictions: Predictions
) -> _Tile:
    scenes = manifest.count_scenes(predictions.paths)
    interval = estimate_top1(metrics, scenes)
    note = (
        f"{percent(interval.lower)} to {percent(interval.upper)} with 95% confidence: "
        f"{count_hits(metrics):,} of {count_photos(metrics.examples, scenes, 'photo')}"
    )
    return _Tile(name, percent(metrics.top1), note, metrics.top1, interval)


def _tell_weakest(classes: list[_ClassRow]) -> _Tile:
    weakest = next((one for one in classes if one.metrics.support), None)
    if weakest is None:
        return _Tile("Weakest class", percent(None), "no photos")
    recall = weakest.metrics.recall
    note = f"of {count_noun(weakest.metrics.support, 'photo')} of {weakest.label} are found"
    return _Tile("Weakest class", percent(recall, 0), note, recall, weakest.interval)


def _draw_curves(histories: tuple[StageHistory, ...]) -> list[tuple[str, str]]:
    if not any(stage.curves["loss"] for stage in histories):
        return []
    titles = {"loss": "Loss per epoch", "accuracy": "Accuracy per epoch"}
    return [
        (title, mark_safe(draw_curves(histories, name, f"{title}, training and validation")))
        for name, title in titles.items()
    ]


def _draw_heatmap(metrics: Metrics) -> str:
    if len(metrics.classes) <= MATRIX_CLASSES:
        return ""
    return mark_safe(draw_heatmap(metrics.confusion, "Confusion of all classes"))


def _color_matrix(metrics: Metrics) -> list[list[_Cell]]:
    return [
        [
            _Cell(count, count / max(sum(counts), 1), row == column)
            for column, count in enumerate(counts)
        ]
        for row, counts in enumerate(metrics.confusion)
    ]


def _choose_pairs(metrics: Metrics) -> list[ConfusedPair]:
    beside_matrix = len(metrics.classes) <= MATRIX_CLASSES
    return find_confused_pairs(metrics)[: _FEW_PAIRS if beside_matrix else _PAIRS]


def _sort_classes(report: ReportInput) -> list[_ClassRow]:
    """Weakest recall first; classes without photos last."""
    scenes = count_class_scenes(report.manifest, report.predictions)

    def estimate(label: str, one: ClassMetrics) -> Interval:
        hits = round((one.recall or 0) * one.support)
        return estimate_share(hits, one.support, scenes=scenes.get(label))

    rows = [
        _ClassRow(label, one, estimate(label, one)) for label, one in report.metrics.classes.items()
    ]

    def strength(row: _ClassRow) -> tuple[float, float, str]:
        recall = 2.0 if row.metrics.recall is None else row.metrics.recall
        return recall, row.metrics.f1 or 0.0, row.label

    return sorted(rows, key=strength)


def _find_mistakes(report: ReportInput) -> list[_Mistake]:
    """Photos named wrong with the highest scores."""
    if not report.predictions.truth:
        return []
    scores, truth = report.predictions.probabilities, report.predictions.classes
    named, top = scores.argmax(axis=1), scores.max(axis=1)
    wrong = [int(n) for n in np.flatnonzero(named != truth)]
    wrong.sort(key=lambda n: (-top[n], report.predictions.paths[n]))
    labels, root = report.manifest.labels, Path(report.manifest.root)
    return [
        _Mistake(
            path := report.predictions.paths[n],
            labels[truth[n]],
            labels[named[n]],
            float(top[n]),
            mark_safe(thumbnail(root / path, _THUMBNAIL_PX)),
            not (root / path).is_file(),
            _draw_maps(report.explainer, root / path, (labels[named[n]], labels[truth[n]])),
        )
        for n in wrong[:_MISTAKES]
    ]


def _draw_maps(
    explainer: Explainer | None, photo: Path, labels: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Each class with the photo under its heat map; none where the photo is gone."""
    if explainer is None:
        return ()
    try:
        picture = shrink(read_picture(photo), _THUMBNAIL_PX)
    except FrameError:
        return ()
    heats = explainer.explain_several(picture, labels)
    drawn = (draw_heat_map(picture, heat, explainer.preprocessing, caption=False) for heat in heats)
    return tuple((label, mark_safe(embed(one))) for label, one in zip(labels, drawn, strict=True))


def _count_photos(manifest: DatasetManifest) -> list[_DataRow]:
    counts = Counter((example.label, example.split) for example in manifest.examples)
    return [
        _DataRow(label, counts[label, "train"], counts[label, "val"], counts[label, "test"])
        for label in manifest.labels
    ]


def _list_skipped(manifest: DatasetManifest) -> tuple[Skipped, ...]:
    return manifest.skipped[:_SKIPPED]


def _divide_time(seconds: Mapping[str, float]) -> list[_Bar]:
    """The stages in order, and what the total has beside them."""
    stages = {name: value for name, value in seconds.items() if name != _TOTAL}
    total = max(seconds.get(_TOTAL, 0.0), sum(stages.values()))
    rest = total - sum(stages.values())
    if stages and rest > _REST * total:
        stages["the rest"] = rest
    return [_Bar(name, value, value / total if total else 0.0) for name, value in stages.items()]


def _flatten(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested options as rows: `augmentation.blur` -> `0.2`."""
    rows: list[tuple[str, str]] = []
    for name, value in msgspec.to_builtins(settings).items():
        if isinstance(value, dict) and value:
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _tell(value)))
    return rows


def _tell(value: object) -> str:
    words: dict[object, str] = {None: "default", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_tell, value)) or "none"
    return "none" if value in ({}, "") else str(value)
