"""How fast a whole path is: a real source, preparation, the model and an output, all at work."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec

from edgetl_runtime.answers import Answer
from edgetl_runtime.benchmarking.fields import RulesName
from edgetl_runtime.benchmarking.path_record import Busy, PathBenchmark, find_limit
from edgetl_runtime.benchmarking.record import FORMAT_VERSION
from edgetl_runtime.benchmarking.single_stream import Tell, describe_software
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.capture.feed import FeedStatus, FrameFeed
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BenchmarkError
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.outputs.logs import JsonLines
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.pipeline.opening import open_camera
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.settings.sections import PaceSettings, Settings
from edgetl_runtime.system.board import describe_board
from edgetl_runtime.system.memory import peak_rss_mib
from edgetl_runtime.system.monitoring import Monitor, Observation
from edgetl_runtime.system.percentiles import compute_percentiles
from edgetl_runtime.system.processor_time import read_processor_s

FULL_S: Final = 60.0
QUICK_S: Final = 10.0
OUTPUT: Final = "JSON lines in a temporary folder"
_WARMUP_S = 1.0
# A source that may be silent for ever, such as standard input, is not waited for any longer.
_FIRST_ANSWER_S = 30.0
_LEAST_ANSWERS = 10
_TELL_EVERY_S = 0.5


class PathRules(msgspec.Struct, frozen=True):
    """How long is measured.

    Attributes:
        name: As the report has it.
        seconds: What is measured, seconds.
        warmup_s: What runs before, from the first answer on, seconds.
    """

    name: RulesName
    seconds: float
    warmup_s: float = _WARMUP_S


def make_path_rules(seconds: float | None, *, quick: bool = False) -> PathRules:
    """The rules of `bench --source`: full or quick, or the caller's own."""
    if seconds is not None:
        return PathRules("custom", seconds)
    return PathRules("quick", QUICK_S) if quick else PathRules("full", FULL_S)


def measure_settings(
    settings: Settings, rules: PathRules, tell: Tell = lambda share, doing: None
) -> PathBenchmark:
    """Runs what settings ask for, but for the pace, the outputs and the page.

    Answers go to JSON lines in a temporary folder: nobody else may get those of a benchmark. The
    pace is left out, since it makes a path wait.

    Args:
        settings: Their sections `model`, `source`, `view` and `smoothing`.
        rules: How long is measured.
        tell: Is told of progress.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
        CameraError: If the source is not there, or goes away.
        BenchmarkError: If there are too few answers to measure.
    """
    model = settings.model
    classifier = Classifier.open(
        model.bundle, engine=model.engine, variant=model.variant, threads=model.threads
    )
    pace = PaceSettings(max_age_s=settings.pace.max_age_s)
    settings = msgspec.structs.replace(settings, pace=pace)
    tell(0.0, "opening the source")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answers.jsonl"
        output = JsonLines(file, settings.output.top, sys.maxsize, only_events=False)
        camera = open_camera(settings.source.address, settings, classifier.bundle)
        return measure_path(classifier, camera, output, settings, rules, tell, named=OUTPUT)


def measure_path(
    classifier: Classifier,
    feed: FrameFeed,
    output: Output,
    settings: Settings,
    rules: PathRules,
    tell: Tell = lambda share, doing: None,
    *,
    named: str = "an output",
) -> PathBenchmark:
    """Runs a pipeline for a time, and closes what it was given.

    Args:
        classifier: The model.
        feed: Where frames come from.
        output: Gets the answers.
        settings: Of the pipeline.
        rules: How long is measured.
        tell: Is told of progress.
        named: What the output is, for the report.

    Raises:
        CameraError: If the source goes away.
        EngineError: If the model fails again and again.
        BenchmarkError: If there are too few answers to measure.
    """
    run = _Run(classifier, feed, output, settings, rules, tell)
    with closing(run.pipeline.answers()) as answers:
        measured = run.measure(answers)
    return _describe(run, measured, named)


class _Look(NamedTuple):
    """What was counted until a moment."""

    moment_s: float
    status: Status
    own_s: float
    capture_s: float | None
    pid: int | None


class _Sample(NamedTuple):
    """The times of an answer, in milliseconds."""

    preprocess: float
    invoke: float
    age: float
    hand_over: float


class _Measured(NamedTuple):
    before: _Look
    after: _Look
    samples: list[_Sample]
    frame_px: tuple[int, int]
    peak_mib: tuple[float | None, float | None]
    observation: Observation


class _Run:
    """A pipeline that ends by itself when the time is over, whether there are answers or not."""

    def __init__(
        self,
        classifier: Classifier,
        feed: FrameFeed,
        output: Output,
        settings: Settings,
        rules: PathRules,
        tell: Tell,
    ) -> None:
        self.classifier = classifier
        self.rules = rules
        self.feed = _TimedFeed(feed)
        self.output = _TimedOutput(output)
        self.pipeline = Pipeline(
            classifier, self.feed, [self.output], settings, on_progress=self._go_on
        )
        self._tell = tell
        self._told_s = 0.0
        self._began_s = time.monotonic()
        self._end_s = self._began_s + _FIRST_ANSWER_S
        self._last: _Look | None = None
        self._peak_mib: tuple[float | None, float | None] = (None, None)

    @property
    def is_whole(self) -> bool:
        """Whether the time was over before the source was."""
        return self._last is not None

    def measure(self, answers: Iterator[Answer]) -> _Measured:
        self._warm_up(answers)
        with Monitor() as monitor:
            before = self._begin()
            samples, frame_px = self._collect(answers, before.moment_s)
            after = self._last or self._look()
        if len(samples) < _LEAST_ANSWERS:
            raise BenchmarkError(
                f"{self.feed.source} gave {len(samples)} answers in "
                f"{after.moment_s - before.moment_s:.1f} s, which is too few to measure; is the "
                "source too short (--loop), or --seconds?"
            )
        return _Measured(before, after, samples, frame_px, self._peak_mib, monitor.observe())

    def _warm_up(self, answers: Iterator[Answer]) -> None:
        first = next(answers, None)
        if first is None:
            raise BenchmarkError(
                f"{self.feed.source} gave no answer that could be measured; try it with: "
                f"edgetl-run camera BUNDLE --source ..."
            )
        self._end_s = time.monotonic() + self.rules.warmup_s + self.rules.seconds + _FIRST_ANSWER_S
        until_s = time.monotonic() + self.rules.warmup_s
        for _ in answers:
            if time.monotonic() >= until_s:
                return

    def _begin(self) -> _Look:
        before = self._look()
        self._began_s, self._end_s = before.moment_s, before.moment_s + self.rules.seconds
        return before

    def _collect(
        self, answers: Iterator[Answer], began_s: float
    ) -> tuple[list[_Sample], tuple[int, int]]:
        samples: list[_Sample] = []
        frame_px = (1, 1)
        last = None
        for answer in answers:
            prediction = answer.prediction
            now_s = time.monotonic()
            # Older frames waited while the machine was looked at. When the camera goes away, the
            # last answer comes again without its label: that is not another frame.
            if self._last or prediction.captured_s < began_s or prediction is last:
                continue
            last, frame_px = prediction, answer.size_px
            hand_over_ms = (now_s - prediction.answered_s) * 1e3
            times = (prediction.preprocess_ms, prediction.invoke_ms, prediction.age_ms)
            samples.append(_Sample(*times, hand_over_ms))
        return samples, frame_px

    def _go_on(self) -> None:
        """Ends the run when its time is over; called by the pipeline all the time."""
        now_s = time.monotonic()
        if now_s >= self._end_s and self._last is None:
            # Here, while everything is still at work.
            self._last = self._look()
            self._peak_mib = (peak_rss_mib(), _read_peak(self.feed.pid))
            self.pipeline.stop()
        elif now_s - self._told_s > _TELL_EVERY_S:
            self._told_s = now_s
            share = (now_s - self._began_s) / max(1e-9, self._end_s - self._began_s)
            self._tell(min(1.0, share), "measuring")

    def _look(self) -> _Look:
        pid = self.feed.pid
        capture_s = None if pid is None else read_processor_s(pid)
        return _Look(time.monotonic(), self.pipeline.status(), time.process_time(), capture_s, pid)


class _TimedFeed:
    """A feed that keeps how long its capture process worked on each frame."""

    def __init__(self, feed: FrameFeed) -> None:
        self.source, self.live = feed.source, feed.live
        self.worked: list[tuple[float, float]] = []  # captured_s, ms
        self._feed = feed

    @property
    def pid(self) -> int | None:
        return self._feed.pid if isinstance(self._feed, Camera) else None

    def take(self, timeout_s: float) -> CapturedFrame | None:
        frame = self._feed.take(timeout_s)
        if frame is not None:
            self.worked.append((frame.captured_s, frame.capture_ms))
        return frame

    def status(self) -> FeedStatus:
        return self._feed.status()

    def close(self) -> None:
        self._feed.close()


class _TimedOutput:
    """An output that keeps how long it took to write each answer."""

    def __init__(self, output: Output) -> None:
        self.name, self.lossless = output.name, output.lossless
        self.written: list[tuple[float, float]] = []  # when it began, ms
        self._output = output

    def wants_picture(self) -> bool:
        return self._output.wants_picture()

    def accepts(self, answer: Answer) -> bool:
        return self._output.accepts(answer)

    def write(self, answer: Answer) -> None:
        began_s = time.monotonic()
        try:
            self._output.write(answer)
        finally:
            self.written.append((began_s, (time.monotonic() - began_s) * 1e3))

    def close(self) -> None:
        self._output.close()


def _describe(run: _Run, measured: _Measured, named: str) -> PathBenchmark:
    before, after = measured.before.status, measured.after.status
    duration_s = measured.after.moment_s - measured.before.moment_s
    live, observation = run.feed.live, measured.observation
    preprocess, invoke, age, hand_over = zip(*measured.samples, strict=True)
    worked = _select(run.feed.worked, measured)
    written = _select(run.output.written, measured)
    busy = Busy(
        capture=(after.feed.worked_s - before.feed.worked_s) / duration_s,
        preprocess=sum(preprocess) / 1e3 / duration_s,
        invoke=sum(invoke) / 1e3 / duration_s,
        outputs=sum(written) / 1e3 / duration_s,
    )
    delivered = after.feed.delivered - before.feed.delivered
    skipped = after.feed.dropped - before.feed.dropped
    answered = len(measured.samples)
    energy_j = observation.energy_j
    board = describe_board()
    own, capture = _share_processors(measured, duration_s * board.cores)
    classifier = run.classifier
    return PathBenchmark(
        format_version=FORMAT_VERSION,
        bundle_sha256=classifier.bundle.sha256,
        model_sha256=classifier.variant.sha256,
        network=classifier.bundle.manifest.network,
        variant=classifier.variant.name,
        engine=classifier.engine.name,
        threads=classifier.engine.threads,
        source=run.feed.source,
        live=live,
        frame_px=measured.frame_px,
        output=named,
        rules=run.rules.name if run.is_whole else "custom",
        duration_s=duration_s,
        delivered=delivered,
        answered=answered,
        skipped=skipped,
        lost=_count_lost(after) - _count_lost(before),
        output_lost=_count_output_lost(after) - _count_output_lost(before),
        reconnects=after.feed.reconnects - before.feed.reconnects,
        delivered_fps=delivered / duration_s,
        answered_fps=answered / duration_s,
        age_ms=compute_percentiles(age) if live else None,
        capture_ms=compute_percentiles(worked or (0.0,)),
        preprocess_ms=compute_percentiles(preprocess),
        invoke_ms=compute_percentiles(invoke),
        hand_over_ms=compute_percentiles(hand_over),
        write_ms=compute_percentiles(written) if written else None,
        busy=busy,
        limit=find_limit(busy, delivered, skipped, live=live),
        peak_rss_mib=measured.peak_mib[0],
        capture_peak_rss_mib=measured.peak_mib[1],
        processor_share=own,
        capture_processor_share=capture,
        joules_per_answer=None if energy_j is None else energy_j / answered,
        software=describe_software(),
        board=board,
        observation=observation,
        throttled=observation.throttled,
    )


def _select(times: list[tuple[float, float]], measured: _Measured) -> list[float]:
    """Those that began while it was measured."""
    began_s, ended_s = measured.before.moment_s, measured.after.moment_s
    return [ms for moment_s, ms in times if began_s <= moment_s <= ended_s]


def _count_lost(status: Status) -> int:
    return sum(status.feed.bad.values()) + status.frame_failures + status.model_failures


def _count_output_lost(status: Status) -> int:
    return sum(one.dropped + one.failed for one in status.outputs)


def _share_processors(measured: _Measured, available_s: float) -> tuple[float, float | None]:
    """The shares of this process and of the capture process, if that was one and the same."""
    before, after = measured.before, measured.after
    own = (after.own_s - before.own_s) / available_s
    if before.pid != after.pid or before.capture_s is None or after.capture_s is None:
        return own, None
    return own, (after.capture_s - before.capture_s) / available_s


def _read_peak(pid: int | None) -> float | None:
    return None if pid is None else peak_rss_mib(pid)
