"""The main job on images that it draws itself, so that it needs no network and no photos."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edgetl.drawings import PARTS, draw_part, draw_video
from edgetl.evaluation import evaluate
from edgetl.exporting.runs import export_run
from edgetl.networks.backbones import find_backbone
from edgetl.networks.weights import find_weights
from edgetl.options import FittingOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.train import train
from edgetl_export.options import ExportOptions
from edgetl_export.progress import track
from edgetl_export.wording import percent
from edgetl_runtime.benchmarking.record import BoardBenchmark
from edgetl_runtime.benchmarking.single_stream import Rules, benchmark
from edgetl_runtime.bundle.golden_frames import Verification, verify
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import WeightsError
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.allotment import count_processors
from edgetl_runtime.system.storage import staged_folder

MARKER = "edgetl-demo.json"
GOAL_TOP1 = 0.90
_HELD_OUT_A_CLASS = 40
_HELD_OUT_SEED = 1_000_000
_VIDEO_SEED = 2_000_000
# Each with a lamp, a lens and specimens of its own: one that is hard decides little then.
_BENCHES = 10
_FRAMES_A_PART = 8
_VIDEO_FPS = 10
_SHEET_BENCHES = 3
_PRETRAINED = "efficientnet_lite0"
# What ImageNet taught needs few photos, a small input, and little fine-tuning.
_TRANSFER_PHOTOS_A_CLASS, _TRANSFER_SIZE_PX, _TRANSFER_VIEWS = 60, 128, 2
_TRANSFER = FittingOptions(finetune_epochs=4)
_SCRATCH_PHOTOS_A_CLASS, _SCRATCH_SIZE_PX = 400, 64
# Small steps: fewer, larger ones of the same cost do not converge from every seed.
_SCRATCH = FittingOptions(epochs=8, batch=16, learning_rate=3e-3)
# What one sees at a glance; `edgetl-run bench` measures.
_BENCHMARK = Rules("custom", runs=100, seconds=0.0, warmup_s=1.0, cold_starts=1)
_CAPTION_PX = 26
# All that the video shows is known, and there are no photos of unknown things to choose by.
_EXPORT = ExportOptions(max_false_rejects=2.0)


class DemoPlan(msgspec.Struct, frozen=True):
    """How the demo trains.

    Attributes:
        options: Of the training.
        photos_a_class: Photos to draw of each part.
        network: Which network is trained from which weights, and why, in words.
    """

    options: TrainOptions
    photos_a_class: int
    network: str


class VideoResult(msgspec.Struct, frozen=True):
    """The results on a video's frames.

    Attributes:
        frames: All.
        correct: Those whose label is the true one.
        rejected: Those without a label: unknown, or with a score below the reject threshold.
    """

    frames: int
    correct: int
    rejected: int

    @property
    def correct_share(self) -> float:
        """0..1."""
        return self.correct / self.frames

    @property
    def rejected_share(self) -> float:
        """0..1."""
        return self.rejected / self.frames


class VariantResult(msgspec.Struct, frozen=True):
    """One exported file, on images and a video that training never saw.

    Attributes:
        variant: Its entry in the bundle.
        held_out_top1: On the held-out images, 0..1.
        video: On the video's frames.
        report: Its times on this machine.
    """

    variant: Variant
    held_out_top1: float
    video: VideoResult
    report: BoardBenchmark


class DemoResult(msgspec.Struct, frozen=True):
    """All that the demo made and measured.

    Attributes:
        folder: Where everything lies.
        plan: How it was trained.
        run: The trained run.
        verification: Of the bundle.
        variants: One entry a file.
        picture: A sheet of video frames with their predicted labels.
        seconds: From start to end.
    """

    folder: Path
    plan: DemoPlan
    run: Run
    verification: Verification
    variants: tuple[VariantResult, ...]
    picture: Path
    seconds: float

    @property
    def passed(self) -> bool:
        """True if every file reaches the goal and reproduces the golden frames."""
        worst = min(min(one.held_out_top1, one.video.correct_share) for one in self.variants)
        return self.verification.ok and worst > GOAL_TOP1


def run_demo(folder: Path, *, seed: int = 0, overwrite: bool = False) -> DemoResult:
    """Draws, trains, exports, verifies, classifies a video and benchmarks.

    Args:
        folder: Where everything goes.
        seed: Of the training; the images and the video are always the same.
        overwrite: Replace the folder of an earlier demo.

    Raises:
        EdgetlError: If one of the steps fails. What was made before it stays in the folder, which
            `overwrite` replaces.
    """
    start = time.monotonic()
    plan = make_plan(seed)
    with staged_folder(folder, marker=MARKER, overwrite=overwrite) as staging:
        draw_data(staging, plan.photos_a_class)
        (staging / MARKER).write_text("{}\n")
    run = train(folder / "photos", folder / "run", plan.options)
    bundle = export_run(run, folder / "parts.bundle", _EXPORT).bundle
    results = tuple(_measure(bundle, variant, folder) for variant in bundle.manifest.variants)
    picture = folder / "sheet.png"
    draw_sheet(Classifier.open(bundle), folder / "bench.avi", picture)
    seconds = time.monotonic() - start
    return DemoResult(folder, plan, run, verify(bundle), results, picture, seconds)


def make_plan(seed: int = 0) -> DemoPlan:
    """EfficientNet-Lite0 where its ImageNet weights can be had, else a small network from scratch.

    The weights come from where `find_weights` looks: `EDGETL_WEIGHTS_DIR`, edgetl's cache, the
    package of the extra `weights`. Weights of other networks change nothing.

    The photos are square and the video's frames are not: stretched to a square, every part in
    them would be narrower than in any photo. Parts lie on the bench at any angle.
    """
    common = TrainOptions(seed=seed, fit="crop", augment="light,rotation=180")
    try:
        find_weights("imagenet", find_backbone(_PRETRAINED), _TRANSFER_SIZE_PX)
    except WeightsError as error:
        scratch = msgspec.structs.replace(
            common, backbone="cnn", weights="none", size_px=_SCRATCH_SIZE_PX, training=_SCRATCH
        )
        # The demo has no such flag.
        reason = str(error).partition("; or give --weights")[0]
        network = f"a small network (cnn) from scratch, because {reason}"
        return DemoPlan(scratch, _SCRATCH_PHOTOS_A_CLASS, network)
    transfer = msgspec.structs.replace(
        common,
        backbone=_PRETRAINED,
        size_px=_TRANSFER_SIZE_PX,
        views=_TRANSFER_VIEWS,
        training=_TRANSFER,
    )
    network = f"{_PRETRAINED} with ImageNet weights, fine-tuned"
    return DemoPlan(transfer, _TRANSFER_PHOTOS_A_CLASS, network)


def draw_data(folder: Path, photos_a_class: int) -> None:
    """Draws photos to learn from, photos held out, and a video with its labels."""
    sets = (("photos", 0, photos_a_class), ("held_out", _HELD_OUT_SEED, _HELD_OUT_A_CLASS))
    pictures = [
        (name, part, first + number)
        for name, first, count in sets
        for part in PARTS
        for number in range(count)
    ]
    with ThreadPoolExecutor(count_processors()) as pool:
        drawn = pool.map(lambda picture: _draw_photo(folder, *picture), pictures)
        for _ in track(drawn, "drawing photos", len(pictures)):
            pass
    _draw_video(folder)


def _draw_photo(folder: Path, name: str, part: str, seed: int) -> None:
    path = folder / name / part / f"{seed:07d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", draw_part(part, seed))[1].tobytes())


def _draw_video(folder: Path) -> None:
    seeds = range(_VIDEO_SEED, _VIDEO_SEED + _BENCHES)
    with ThreadPoolExecutor(count_processors()) as pool:
        drawn = pool.map(lambda seed: list(draw_video(PARTS, _FRAMES_A_PART, seed)), seeds)
        benches = list(track(drawn, "drawing the video", len(seeds)))
    frames = [frame for bench in benches for frame in bench]
    height, width = frames[0][0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(folder / "bench.avi"), codec, _VIDEO_FPS, (width, height))
    for frame, _ in frames:
        writer.write(frame)
    writer.release()
    (folder / "bench.labels.json").write_bytes(msgspec.json.encode([name for _, name in frames]))


def _measure(bundle: Bundle, variant: Variant, folder: Path) -> VariantResult:
    held_out = evaluate(bundle.path, folder / "held_out", variant=variant.name)
    classifier = Classifier.open(bundle, variant=variant.name)
    truth = msgspec.json.decode((folder / "bench.labels.json").read_bytes(), type=list[str])
    labels = [classifier(frame.image).label for frame in read_frames(folder / "bench.avi")]
    correct = sum(label == true for label, true in zip(labels, truth, strict=True))
    video = VideoResult(len(labels), correct, labels.count(None))
    report = benchmark(str(bundle.path), variant=variant.name, rules=_BENCHMARK)
    return VariantResult(variant, held_out.metrics.top1, video, report)


def draw_sheet(classifier: Classifier, video: Path, target: Path) -> None:
    """Writes an image: a row a bench, a frame of each part on it, with the label that it got."""
    middle = slice(_FRAMES_A_PART // 2, None, _FRAMES_A_PART)
    columns = len(PARTS)
    frames = [frame.image for frame in read_frames(video)][middle][: _SHEET_BENCHES * columns]
    shown = [_caption(classifier, frame) for frame in frames]
    rows = [np.hstack(shown[start : start + columns]) for start in range(0, len(shown), columns)]
    cv2.imwrite(str(target), np.vstack(rows))


def _caption(classifier: Classifier, frame: Frame) -> Frame:
    prediction = classifier(frame)
    band = _CAPTION_PX
    captioned = cv2.copyMakeBorder(frame, 0, band, 0, 0, cv2.BORDER_CONSTANT, value=(30, 30, 30))
    text = f"{prediction.label or '?'} {prediction.score:.0%}  {prediction.invoke_ms:.1f} ms"
    place = (8, captioned.shape[0] - 8)
    cv2.putText(
        captioned, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA
    )
    return captioned  # type: ignore[return-value]


def summarize(result: DemoResult) -> Sequence[tuple[str, ...]]:
    """One row a file: name, bytes, validation, held-out, video, milliseconds a frame."""
    return [
        (
            one.variant.file,
            f"{one.variant.bytes:,}",
            percent(one.variant.metrics.top1),
            percent(one.held_out_top1),
            percent(one.video.correct_share),
            f"{one.report.total_ms.p50:.2f}",
        )
        for one in result.variants
    ]


def explain_video(result: VariantResult) -> str:
    """One line on the video's frames: how many are correct, and what became of the others."""
    video, threshold = result.video, result.variant.calibration.reject_threshold
    why = f"score below the reject threshold, {threshold:.2f}" if threshold else "unknown"
    return (
        f"{result.variant.name} on the video: {video.correct} of {video.frames} frames correct, "
        f"{video.rejected} rejected ({why}), "
        f"{video.frames - video.correct - video.rejected} wrong"
    )
