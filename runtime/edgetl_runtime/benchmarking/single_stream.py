"""How long a frame takes on this machine, stage by stage, one frame after the other."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np

from edgetl_runtime import __version__
from edgetl_runtime.benchmarking.cold_start import ColdStart, measure_cold_start
from edgetl_runtime.benchmarking.fields import RulesName
from edgetl_runtime.benchmarking.frame import make_frame
from edgetl_runtime.benchmarking.record import (
    FORMAT_VERSION,
    BoardBenchmark,
    find_slowed,
    follow_drift,
)
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.board import describe_board
from edgetl_runtime.system.contention import Waiting
from edgetl_runtime.system.memory import peak_rss_mib
from edgetl_runtime.system.monitoring import Monitor
from edgetl_runtime.system.percentiles import compute_percentiles

_WINDOW_S = 0.3
_WINDOW_RUNS = 5
_STEADY_WINDOWS = 4
_STEADY_WITHIN = 0.03
_TELL_EVERY_S = 0.5

Tell = Callable[[float, str], None]
"""Is told of progress, between two samples: share of the work done, 0..1, and what is done now."""


class Rules(msgspec.Struct, frozen=True):
    """How much is measured. What is measured ends when runs and seconds are both reached.

    Attributes:
        name: As the report has it.
        runs: The least number of samples.
        seconds: The shortest time, seconds.
        warmup_s: The longest warm-up, seconds; it ends when the median is steady.
        cold_starts: Processes that are started to time the first answer, at least 1.
    """

    name: RulesName
    runs: int
    seconds: float
    warmup_s: float
    cold_starts: int


# MLPerf Inference rules, single stream: 60 s and 1,024 queries at least.
FULL: Final = Rules("full", runs=1024, seconds=60.0, warmup_s=15.0, cold_starts=3)
QUICK: Final = Rules("quick", runs=128, seconds=10.0, warmup_s=5.0, cold_starts=1)


def make_rules(runs: int | None, seconds: float | None, *, quick: bool = False) -> Rules:
    """The rules of `bench`: full or quick, or the caller's own."""
    rules = QUICK if quick else FULL
    if runs is None and seconds is None:
        return rules
    return Rules("custom", runs or 1, seconds or 0.0, QUICK.warmup_s, QUICK.cold_starts)


def benchmark(
    path: str | Path,
    *,
    engine: str | None = None,
    variant: str | None = None,
    threads: int | None = None,
    frame_px: tuple[int, int] = (640, 480),
    rules: Rules = FULL,
    tell: Tell = lambda share, doing: None,
) -> BoardBenchmark:
    """Times a bundle on one of its golden frames, scaled to a camera's size.

    First, processes of their own time the cold start. Then this one warms up until the median is
    steady, and takes its samples.

    Args:
        path: The bundle.
        engine: See `Classifier.open`.
        variant: See `Classifier.open`.
        threads: See `Classifier.open`.
        frame_px: (width, height) of the frame.
        rules: How much is measured.
        tell: Is told of progress.

    Returns:
        The report, with every sample.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
    """
    bundle = Bundle.open(path)
    classifier = Classifier.open(
        bundle, engine=engine, variant=variant, threads=threads, overlay=False
    )
    cold = _start_cold(classifier, frame_px, rules, tell)
    return time_frames(classifier, make_frame(bundle, frame_px), cold, rules, tell)[0]


def time_frames(
    classifier: Classifier,
    frame: Frame,
    cold: ColdStart,
    rules: Rules,
    tell: Tell = lambda share, doing: None,
) -> tuple[BoardBenchmark, tuple[float, ...]]:
    """Times a loaded model on one frame.

    Args:
        classifier: The model.
        frame: uint8 (height, width, 3) BGR.
        cold: What its start took.
        rules: How much is measured.
        tell: Is told of progress.

    Returns:
        The report, with every sample; and when each sample ended, seconds since the first began.

    Raises:
        EngineError: If the engine fails.
    """
    warmup = _warm_up(classifier, frame, rules, tell)
    with Monitor() as monitor:
        waiting = Waiting()
        samples = list(_take_samples(classifier, frame, rules, tell))
        waited = waiting.find_share()
    observation = monitor.observe()
    preprocess, invoke, total, moments_s = zip(*samples, strict=True)
    drift = follow_drift(moments_s, total)
    energy_j = observation.energy_j
    report = BoardBenchmark(
        format_version=FORMAT_VERSION,
        bundle_sha256=classifier.bundle.sha256,
        model_sha256=classifier.variant.sha256,
        network=classifier.bundle.manifest.network,
        variant=classifier.variant.name,
        engine=classifier.engine.name,
        threads=classifier.engine.threads,
        load_ms=cold.load_ms,
        first_ms=cold.first_ms,
        preprocess_ms=compute_percentiles(preprocess),
        invoke_ms=compute_percentiles(invoke),
        total_ms=compute_percentiles(total),
        runs=len(samples),
        warmup_runs=warmup.runs,
        frame_px=(frame.shape[1], frame.shape[0]),
        drift=drift,
        slowed=find_slowed(drift),
        preprocess_samples_ms=preprocess,
        invoke_samples_ms=invoke,
        total_samples_ms=total,
        rules=rules.name,
        duration_s=moments_s[-1],
        warmup_s=warmup.seconds,
        steady=warmup.steady,
        start_ms=cold.start_ms,
        rest_rss_mib=cold.rest_rss_mib,
        peak_rss_mib=peak_rss_mib(),
        joules_per_run=None if energy_j is None else energy_j / len(samples),
        software=describe_software(),
        board=describe_board(),
        observation=observation,
        throttled=observation.throttled,
        waited=waited,
    )
    return report, moments_s


def describe_software() -> dict[str, str]:
    """Versions of what every frame goes through, besides the engine."""
    return {
        "edgetl-runtime": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _start_cold(
    classifier: Classifier, frame_px: tuple[int, int], rules: Rules, tell: Tell
) -> ColdStart:
    found = []
    for number in range(rules.cold_starts):
        tell(0.0, f"cold start {number + 1} of {rules.cold_starts}")
        found.append(measure_cold_start(classifier, frame_px))
    return sorted(found, key=lambda one: one.start_ms)[len(found) // 2]


class _WarmUp(msgspec.Struct, frozen=True):
    runs: int
    seconds: float
    steady: bool


def _warm_up(classifier: Classifier, frame: Frame, rules: Rules, tell: Tell) -> _WarmUp:
    """Runs until the medians of the last windows are alike, or for the longest time."""
    began = time.monotonic()
    medians: list[float] = []
    runs = 0
    while not (steady := is_steady(medians)) and time.monotonic() - began < rules.warmup_s:
        tell(0.0, "warming up")
        window = _run_window(classifier, frame)
        runs += len(window)
        medians.append(statistics.median(window))
    return _WarmUp(runs, time.monotonic() - began, steady)


def is_steady(medians_ms: list[float]) -> bool:
    """Whether the last 4 medians lie within 3 % of the smallest of them."""
    last = medians_ms[-_STEADY_WINDOWS:]
    return len(last) == _STEADY_WINDOWS and max(last) <= (1 + _STEADY_WITHIN) * min(last)


def _run_window(classifier: Classifier, frame: Frame) -> list[float]:
    end = time.monotonic() + _WINDOW_S
    window: list[float] = []
    while len(window) < _WINDOW_RUNS or time.monotonic() < end:
        window.append(_sample(classifier, frame)[2])
    return window


def _take_samples(
    classifier: Classifier, frame: Frame, rules: Rules, tell: Tell
) -> Iterator[tuple[float, float, float, float]]:
    """Preprocess, invoke, total in milliseconds, and when it ended, in seconds."""
    began = told = time.monotonic()
    for runs in itertools.count(1):
        times = _sample(classifier, frame)
        now = time.monotonic()
        yield *times, now - began
        if now - told > _TELL_EVERY_S:
            told = now
            share = min(runs / rules.runs, (now - began) / max(rules.seconds, 1e-9))
            tell(min(1.0, share), "measuring")
        if runs >= rules.runs and now - began >= rules.seconds:
            return


def _sample(classifier: Classifier, frame: Frame) -> tuple[float, float, float]:
    start = time.monotonic()
    prediction = classifier(frame)
    total_ms = (time.monotonic() - start) * 1e3
    return prediction.preprocess_ms, prediction.invoke_ms, total_ms
