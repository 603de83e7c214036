"""Runs side by side, and whether their difference is more than chance."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import msgspec

from edgetl.metrics import Interval, estimate_share, measure_reliability
from edgetl.reporting.comparison_plots import CourseLine, draw_course
from edgetl.reporting.pages import mark_safe, render_page
from edgetl.run import Run
from edgetl_export.evaluate.mcnemar import compute_mcnemar_p
from edgetl_export.wording import percent
from edgetl_runtime.errors import RunError
from edgetl_runtime.text.wording import count_noun

_LEVEL = 0.05


class StageCourse(msgspec.Struct, frozen=True):
    """One stage of a training, on the clock of its run.

    Attributes:
        name: `head`, `top 3 blocks`, `whole network`.
        start_s: Of its first epoch, from the start of the training.
        seconds: Of all its epochs.
        accuracies: On the validation photos after each epoch, 0..1.
        kept: The epoch, from 1, whose weights were kept; 0: those before the stage.
    """

    name: str
    start_s: float
    seconds: float
    accuracies: tuple[float, ...]
    kept: int

    @property
    def ends_s(self) -> tuple[float, ...]:
        """When each epoch ended, from the start of the training."""
        each = self.seconds / max(len(self.accuracies), 1)
        return tuple(self.start_s + each * n for n in range(1, len(self.accuracies) + 1))


class StageGain(msgspec.Struct, frozen=True):
    """What a stage bought.

    Attributes:
        run: Name of the run.
        stage: Of it.
        until_s: When it ended, from the start of the training.
        seconds: Since the end of the stage before, features and maps included.
        accuracy: On the validation photos with the weights that were kept, 0..1.
        gain: Over the stage before; None for the first one.
    """

    run: str
    stage: str
    until_s: float
    seconds: float
    accuracy: float | None
    gain: float | None


class ComparedRun(msgspec.Struct, frozen=True):
    """The compared properties of a run.

    Attributes:
        name: As the user calls it.
        backbone: Of the table.
        trained: What was trained, such as `the head and the top 3 blocks`.
        top1: Accuracy on the validation photos, 0..1.
        macro_f1: Mean F1 of the classes, 0..1.
        worst_class: The label found least often.
        worst_recall: Its recall, 0..1.
        calibration_error: Expected calibration error, 0..1; None without predictions.
        seconds: Duration of the training, s.
        photos: Number of photos used for training.
        examples: Number of validation photos.
        scenes: Number of different things that they show; near-duplicates count once.
        judged: (hash, label) of each validation photo, sorted.
        right: Was it classified correctly, in the order of `judged`; None without predictions.
        stages: Of its training, in order.
    """

    name: str
    backbone: str
    trained: str
    top1: float
    macro_f1: float
    worst_class: str
    worst_recall: float
    calibration_error: float | None
    seconds: float
    photos: int
    examples: int
    scenes: int
    judged: tuple[tuple[str, str], ...]
    right: tuple[bool, ...] | None
    stages: tuple[StageCourse, ...] = ()

    @property
    def interval(self) -> Interval:
        """95 % interval of top-1."""
        hits = round(self.top1 * self.examples)
        return estimate_share(hits, self.examples, scenes=self.scenes)


class PairTest(msgspec.Struct, frozen=True):
    """Two runs on the same photos.

    Attributes:
        first: Position of the run with the higher top-1.
        second: Position of the other one.
        only_first: Photos that only `first` classifies correctly.
        only_second: Photos that only `second` classifies correctly.
        p: Of McNemar's exact test.
        adjusted_p: p, adjusted for several pairs (Holm 1979).
    """

    first: int
    second: int
    only_first: int
    only_second: int
    p: float
    adjusted_p: float

    @property
    def verdict(self) -> str:
        """The adjusted p for a sentence."""
        found = f"p = {self.adjusted_p:.2g}" if self.adjusted_p >= 0.001 else "p < 0.001"
        return found if self.adjusted_p == self.p else f"{found} for all pairs at once"

    @property
    def is_more_than_chance(self) -> bool:
        """True if chance alone makes such a difference in fewer than 5 of 100 cases."""
        return self.adjusted_p < _LEVEL


class Comparison(msgspec.Struct, frozen=True):
    """Runs side by side.

    Attributes:
        runs: In the order given.
        comparable: For each run: was it evaluated on the same photos as the first?
        best: Position of the highest top-1 among the comparable ones; None if there is but one.
        pairs: A test of each two comparable runs that have predictions.
    """

    runs: tuple[ComparedRun, ...]
    comparable: tuple[bool, ...]
    best: int | None
    pairs: tuple[PairTest, ...]


def describe_run(run: Run, name: str) -> ComparedRun:
    """Takes from a run what is compared.

    Raises:
        RunError: If its predictions are not those of its own validation photos.
    """
    metrics = run.metrics
    found = {label: one.recall for label, one in metrics.classes.items() if one.recall is not None}
    worst = min(found, key=lambda label: (found[label], label))
    by_path = {one.path: (one.sha256, one.label) for one in run.manifest.select("val")}
    val = next((one for one in run.predictions if one.split == "val"), None)
    judged, right, error = sorted(by_path.values()), None, None
    if val is not None:
        if set(val.paths) != by_path.keys():
            raise RunError(
                f"{run.path} predicts other photos than its manifest lists; train it again with: "
                "edgetl train DATA --out"
            )
        scores, truth = val.probabilities, val.classes
        hits = (scores.argmax(axis=1) == truth).tolist()
        rows = sorted(zip([by_path[path] for path in val.paths], hits, strict=True))
        judged, right = [photo for photo, _ in rows], tuple(hit for _, hit in rows)
        error = measure_reliability(scores, truth).expected_calibration_error
    return ComparedRun(
        name=name,
        backbone=run.spec.backbone,
        trained=_tell_trained(run),
        top1=metrics.top1,
        macro_f1=metrics.macro_f1,
        worst_class=worst,
        worst_recall=found[worst] or 0.0,
        calibration_error=error,
        seconds=run.file.seconds["total"],
        photos=len(run.manifest.select("train")),
        examples=metrics.examples,
        scenes=run.manifest.count_scenes(by_path),
        judged=tuple(judged),
        right=right,
        stages=tuple(_list_stages(run)),
    )


def _tell_trained(run: Run) -> str:
    from_scratch = ", from random weights" if run.file.options.weights == "none" else ""
    taught = ", with a teacher" if run.spec.teacher else ""
    return run.spec.describe_cut() + from_scratch + taught


def _list_stages(run: Run) -> Iterator[StageCourse]:
    """The stages on the clock that `seconds` keeps in the order of the training."""
    elapsed, begins = 0.0, {}
    for name, seconds in run.file.seconds.items():
        begins[name] = elapsed
        elapsed += seconds
    for stage in run.histories:
        start = begins.get(f"fitting {stage.name}", 0.0)
        accuracies = tuple(stage.curves["val_accuracy"])
        yield StageCourse(stage.name, start, stage.seconds, accuracies, stage.best_epoch)


def list_gains(runs: Sequence[ComparedRun]) -> list[StageGain]:
    """What each stage of each run bought, in time and accuracy."""
    gains = []
    for run in runs:
        before: float | None = None
        clock = 0.0
        for stage in run.stages:
            after = stage.accuracies[stage.kept - 1] if stage.kept else before
            gain = None if before is None or after is None else after - before
            end = stage.start_s + stage.seconds
            gains.append(StageGain(run.name, stage.name, end, end - clock, after, gain))
            before, clock = after, end
    return gains


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Puts runs side by side.

    Args:
        runs: At least one; all are held against the first one's validation photos.
    """
    comparable = tuple(run.judged == runs[0].judged for run in runs)
    usable = [n for n, usable in enumerate(comparable) if usable]
    best = max(usable, key=lambda n: (runs[n].top1, -n)) if len(usable) > 1 else None
    tested = [n for n in usable if runs[n].right is not None]
    pairs = [_test_pair(runs, *pair) for pair in combinations(tested, 2)]
    return Comparison(tuple(runs), comparable, best, tuple(_adjust(pairs)))


def _test_pair(runs: Sequence[ComparedRun], one: int, other: int) -> PairTest:
    first, second = (other, one) if runs[other].top1 > runs[one].top1 else (one, other)
    pairs = list(zip(runs[first].right or (), runs[second].right or (), strict=True))
    only_first = sum(ours and not theirs for ours, theirs in pairs)
    only_second = sum(theirs and not ours for ours, theirs in pairs)
    p = compute_mcnemar_p(only_first, only_second)
    return PairTest(first, second, only_first, only_second, p, p)


def _adjust(pairs: Sequence[PairTest]) -> list[PairTest]:
    """Holm's step-down: the smallest p counts as often as there are pairs, and so on."""
    adjusted: dict[int, float] = {}
    highest = 0.0
    for rank, n in enumerate(sorted(range(len(pairs)), key=lambda n: pairs[n].p)):
        highest = max(highest, min(1.0, pairs[n].p * (len(pairs) - rank)))
        adjusted[n] = highest
    return [msgspec.structs.replace(pair, adjusted_p=adjusted[n]) for n, pair in enumerate(pairs)]


def conclude(comparison: Comparison) -> list[str]:
    """Says what can be said about the runs: who is better, and who cannot be compared."""
    runs = comparison.runs
    said = [
        _conclude_pair(comparison, pair)
        for pair in comparison.pairs
        if comparison.best in (pair.first, pair.second)
    ]
    return said + [
        f"{run.name} was evaluated on other photos than {runs[0].name}, so they cannot be "
        "compared; run `edgetl evaluate` for both on the same photos"
        for run, usable in zip(runs, comparison.comparable, strict=True)
        if not usable
    ]


def _conclude_pair(comparison: Comparison, pair: PairTest) -> str:
    first, second = comparison.runs[pair.first], comparison.runs[pair.second]
    if not pair.only_first and not pair.only_second:
        return f"{first.name} and {second.name} classify the same photos correctly"
    counts = (
        f"{first.name} alone is correct on {count_noun(pair.only_first, 'photo')}, {second.name} "
        f"alone on {pair.only_second} (McNemar's exact test, {pair.verdict})"
    )
    if pair.is_more_than_chance:
        return (
            f"{first.name} is better than {second.name}, {percent(first.top1)} against "
            f"{percent(second.top1)}, by more than chance: {counts}"
        )
    return f"{first.name} and {second.name} differ no more than chance may explain: {counts}"


def render_comparison(comparison: Comparison) -> str:
    """Renders one HTML page that needs no network; equal input gives equal text."""
    return render_page(
        "compare.html.j2",
        title=f"{count_noun(len(comparison.runs), 'run')} side by side",
        comparison=comparison,
        conclusions=conclude(comparison),
        course=_draw_course(comparison),
        gains=list_gains(comparison.runs),
        # Where the scale of the intervals begins: all of them would crowd its right end.
        floor=math.floor(10 * min(run.interval.lower for run in comparison.runs)) / 10,
    )


def _draw_course(comparison: Comparison) -> str:
    """The picture; empty without two runs on the same photos, or without histories."""
    usable = zip(comparison.runs, comparison.comparable, strict=True)
    drawn = [run for run, same in usable if same and any(stage.accuracies for stage in run.stages)]
    lines = [
        CourseLine(
            f"{run.name}: {run.backbone}, {run.trained}",
            tuple((stage.ends_s, stage.accuracies) for stage in run.stages if stage.accuracies),
            run.top1,
            run.interval,
        )
        for run in drawn
    ]
    if len(lines) < 2:
        return ""
    return mark_safe(draw_course(lines, "Validation accuracy of each run over its training time"))


def record_comparison(comparison: Comparison) -> dict[str, object]:
    """The `--json` output: metrics and tests, without the single photos."""
    return {
        "runs": [
            {name: value for name, value in _fields(run).items() if name not in ("judged", "right")}
            | {
                "top1_interval": run.interval,
                "comparable": usable,
                "best": n == comparison.best,
            }
            for n, (run, usable) in enumerate(
                zip(comparison.runs, comparison.comparable, strict=True)
            )
        ],
        "pairs": [
            _fields(pair)
            | {
                "first": comparison.runs[pair.first].name,
                "second": comparison.runs[pair.second].name,
                "more_than_chance": pair.is_more_than_chance,
            }
            for pair in comparison.pairs
        ],
        "conclusions": conclude(comparison),
    }


def _fields(struct: msgspec.Struct) -> dict[str, object]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
