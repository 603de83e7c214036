"""How long a frame takes on this machine, stage by stage."""

import time

import msgspec
import numpy as np

from edgetl_runtime.benchmark_record import FORMAT_VERSION, STAGES, BoardBenchmark
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.preprocessing import Frame, resize
from edgetl_runtime.system.board import Board, Health, describe_board, peak_rss_mib, read_health
from edgetl_runtime.system.percentiles import Percentiles, compute_percentiles

_WARMUP_S = 0.5


class BenchmarkReport(msgspec.Struct, frozen=True):
    """Raw samples in milliseconds; percentiles are derived.

    Attributes:
        bundle_sha256: SHA-256 of bundle.json.
        model_sha256: SHA-256 of the variant's file.
        variant: Name of the model file's variant.
        engine: Engine and its version.
        threads: Threads of the engine; preprocessing uses one.
        load_ms: From nothing to a loaded model, verification included.
        first_ms: The first frame.
        preprocess_samples_ms: Frame to model input, one entry a run.
        invoke_samples_ms: Inside the engine.
        total_samples_ms: Frame to prediction.
        frame_px: (width, height) of the frame.
        warmup_runs: Runs before the first sample.
        peak_rss_mib: Peak memory of the process, MiB.
        board: The machine.
        before: Temperature and throttling before the first sample.
        after: The health after the last one.
    """

    bundle_sha256: str
    model_sha256: str
    variant: str
    engine: str
    threads: int
    load_ms: float
    first_ms: float
    preprocess_samples_ms: tuple[float, ...]
    invoke_samples_ms: tuple[float, ...]
    total_samples_ms: tuple[float, ...]
    frame_px: tuple[int, int]
    warmup_runs: int
    peak_rss_mib: float | None
    board: Board
    before: Health
    after: Health

    @property
    def preprocess_ms(self) -> Percentiles:
        """Percentiles of preprocessing, in milliseconds."""
        return compute_percentiles(self.preprocess_samples_ms)

    @property
    def invoke_ms(self) -> Percentiles:
        """Percentiles of the engine, in milliseconds."""
        return compute_percentiles(self.invoke_samples_ms)

    @property
    def total_ms(self) -> Percentiles:
        """Percentiles from frame to prediction, in milliseconds."""
        return compute_percentiles(self.total_samples_ms)

    @property
    def throttled(self) -> bool | None:
        """True if the board throttled, so that the figures are not comparable."""
        return self.after.throttled

    def describe(self, *, raw: bool = False) -> BoardBenchmark:
        """Its JSON form; `raw` adds every sample."""
        names = [f"{stage}_samples_ms" for stage in STAGES if raw]
        return BoardBenchmark(
            format_version=FORMAT_VERSION,
            bundle_sha256=self.bundle_sha256,
            model_sha256=self.model_sha256,
            variant=self.variant,
            engine=self.engine,
            threads=self.threads,
            load_ms=self.load_ms,
            first_ms=self.first_ms,
            preprocess_ms=self.preprocess_ms,
            invoke_ms=self.invoke_ms,
            total_ms=self.total_ms,
            runs=len(self.total_samples_ms),
            warmup_runs=self.warmup_runs,
            frame_px=self.frame_px,
            peak_rss_mib=self.peak_rss_mib,
            board=self.board,
            before=self.before,
            after=self.after,
            throttled=self.throttled,
            **{name: getattr(self, name) for name in names},
        )


def benchmark(
    path: str,
    *,
    engine: str | None = None,
    variant: str | None = None,
    threads: int | None = None,
    frame_px: tuple[int, int] = (640, 480),
    runs: int = 300,
) -> BenchmarkReport:
    """Loads a bundle and times it on one of its golden frames, scaled to a camera's size.

    Args:
        path: The bundle.
        engine: See `Classifier.open`.
        variant: See `Classifier.open`.
        threads: See `Classifier.open`.
        frame_px: (width, height) of the frame.
        runs: Samples to take, at least 1.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
    """
    start = time.monotonic()
    bundle = Bundle.open(path)
    classifier = Classifier.open(bundle, engine=engine, variant=variant, threads=threads)
    loaded = time.monotonic()
    frame = _make_frame(bundle, frame_px)
    first = time.monotonic()
    classifier(frame)
    first_ms = (time.monotonic() - first) * 1e3
    warmup_runs = _warm_up(classifier, frame)
    before = read_health()
    samples = np.array([_sample(classifier, frame) for _ in range(runs)])  # (runs, 3)
    return BenchmarkReport(
        bundle_sha256=bundle.sha256,
        model_sha256=classifier.variant.sha256,
        variant=classifier.variant.name,
        engine=classifier.engine.name,
        threads=classifier.engine.threads,
        load_ms=(loaded - start) * 1e3,
        first_ms=first_ms,
        preprocess_samples_ms=tuple(samples[:, 0].tolist()),
        invoke_samples_ms=tuple(samples[:, 1].tolist()),
        total_samples_ms=tuple(samples[:, 2].tolist()),
        frame_px=frame_px,
        warmup_runs=warmup_runs,
        peak_rss_mib=peak_rss_mib(),
        board=describe_board(),
        before=before,
        after=read_health(),
    )


def _make_frame(bundle: Bundle, frame_px: tuple[int, int]) -> Frame:
    if not bundle.manifest.golden:
        return np.random.default_rng(0).integers(0, 256, (*frame_px[::-1], 3), dtype=np.uint8)
    picture = decode_picture(bundle.read(bundle.manifest.golden[0]))
    return resize(picture, *frame_px)


def _warm_up(classifier: Classifier, frame: Frame) -> int:
    end = time.monotonic() + _WARMUP_S
    runs = 0
    while runs < 10 or time.monotonic() < end:
        classifier(frame)
        runs += 1
    return runs


def _sample(classifier: Classifier, frame: Frame) -> tuple[float, float, float]:
    start = time.monotonic()
    prediction = classifier(frame)
    total_ms = (time.monotonic() - start) * 1e3
    return prediction.preprocess_ms, prediction.invoke_ms, total_ms
