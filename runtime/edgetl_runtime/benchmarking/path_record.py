"""The record of a whole path: source, preparation, model and outputs at work together."""

import math
from typing import Final, Literal, TypeAlias

import msgspec

from edgetl_runtime.benchmarking.fields import (
    Count,
    Milliseconds,
    Number,
    RulesName,
    Seconds,
    Sha256,
    Share,
    Text,
    find_disorder,
)
from edgetl_runtime.system.board import Board
from edgetl_runtime.system.monitoring import Observation
from edgetl_runtime.system.percentiles import Percentiles

BUSY_FROM: Final = 0.9
"""A stage that is busy for this share of the time has no room for more frames."""
SKIPPED_FROM: Final = 0.1
"""So large a share of skipped frames says that the source does not set the rate."""
IDLE_BELOW: Final = 0.5
"""A stage that is busy for less than this share of the time does not set the rate."""
_TIMES: Final = ("capture", "preprocess", "invoke", "hand_over", "write")

Stage: TypeAlias = Literal["capture", "preprocess", "invoke", "outputs"]
Limit: TypeAlias = Literal["source", "capture", "preprocess", "invoke", "outputs", "hand_over"]


class Busy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of the time that each stage worked: its time a frame by its frames a second.

    Above 1 where the clock of a stage is coarse.

    Attributes:
        capture: The capture process: decoding, conversion, copying; without waiting for the source.
        preprocess: The thread that prepares frames, in the view and in preprocessing.
        invoke: The thread that runs the model, inside the engine.
        outputs: The thread of the output, as it writes.
    """

    capture: Share
    preprocess: Share
    invoke: Share
    outputs: Share

    def find_busiest(self) -> tuple[Stage, float]:
        """The stage that is busy for the largest share of the time, and that share."""
        shares: dict[Stage, float] = {
            "capture": self.capture,
            "preprocess": self.preprocess,
            "invoke": self.invoke,
            "outputs": self.outputs,
        }
        busiest = max(shares, key=lambda stage: shares[stage])
        return busiest, shares[busiest]


class PathBenchmark(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="path",
):
    """What `edgetl-run bench --source --json` prints; `kind` is `path`.

    Every figure is of the time after the warm-up.

    Attributes:
        format_version: Of this record, 2.
        bundle_sha256: SHA-256 of bundle.json: which bundle.
        model_sha256: SHA-256 of the variant's file: which model.
        network: See `BoardBenchmark`.
        variant: Name of the variant, such as `litert-int8`.
        engine: Engine and its version, such as `ai-edge-litert 2.3.0`.
        threads: Threads of the engine.
        source: The address, without passwords.
        live: A camera, a stream, or a video at its own speed: only the newest frame counts. False:
            a file that is read as fast as its frames are taken.
        frame_px: Width and height of the last frame, as it reached preprocessing.
        output: What the answers were written to.
        rules: `full`: 60 s; `quick`: 10 s; `custom`: the caller's, or a source
            that ended early.
        duration_s: What was measured.
        delivered: Frames that the source delivered.
        answered: Frames that were answered. Of the frames delivered, a few are still on their way
            at the end.
        skipped: Frames that were replaced by newer ones before they were answered; with `live`.
        lost: Frames that were damaged, could not be prepared, or that the model failed on.
        output_lost: Answers that the output dropped, as too slow, or failed on.
        reconnects: How often the source was opened again.
        delivered_fps: Frames a second that the source delivered.
        answered_fps: Frames a second that were answered.
        age_ms: Age of the frame when its answer was ready; null if not `live`, where it only says
            how many frames wait between the stages.
        capture_ms: Work of the capture process on a frame that was taken: decoding, conversion and
            copying. Of a stream that FFmpeg decodes as it waits for it, processor time, shared out
            among its threads.
        preprocess_ms: From frame to model input, the view included.
        invoke_ms: Inside the engine.
        hand_over_ms: From the prediction to the next frame: smoothing, counting, and handing the
            answer to the output, which waits for a slow one if the source is not `live`.
        write_ms: Time that the output took to write an answer, in its own thread.
        busy: Share of the time that each stage worked.
        limit: What limits the rate of answers; see `find_limit`.
        peak_rss_mib: Peak memory of this process, MiB; null if not known.
        capture_peak_rss_mib: That of the capture process.
        processor_share: Processor time of this process, as a share of all processors; null if not
            known.
        capture_processor_share: That of the capture process.
        joules_per_answer: `observation.energy_j` by `answered`: what the whole processor or board
            took; null where energy cannot be read.
        software: Versions of what else is in the path: edgetl-runtime, numpy, opencv.
        board: The machine.
        observation: Clock, temperature, throttling and energy before, during and after.
        throttled: That of `observation`: true if the figures are not comparable, null if not known.
    """

    format_version: int
    bundle_sha256: Sha256
    model_sha256: Sha256
    network: str
    variant: Text
    engine: Text
    threads: Count
    source: Text
    live: bool
    frame_px: tuple[Count, Count]
    output: Text
    rules: RulesName
    duration_s: Seconds
    delivered: Number
    answered: Count
    skipped: Number
    lost: Number
    output_lost: Number
    reconnects: Number
    delivered_fps: Share
    answered_fps: Share
    age_ms: Percentiles | None
    capture_ms: Percentiles
    preprocess_ms: Percentiles
    invoke_ms: Percentiles
    hand_over_ms: Percentiles
    write_ms: Percentiles | None
    busy: Busy
    limit: Limit
    peak_rss_mib: float | None
    capture_peak_rss_mib: float | None
    processor_share: Share | None
    capture_processor_share: Share | None
    joules_per_answer: Milliseconds | None
    software: dict[str, str]
    board: Board
    observation: Observation
    throttled: bool | None

    def find_fault(self) -> str:
        """What in it cannot be true; empty if nothing."""
        for name in ("age", *_TIMES):
            found: Percentiles | None = getattr(self, f"{name}_ms")
            if found is None:
                continue
            if fault := find_disorder(f"{name}_ms", found):
                return fault
            if not all(map(math.isfinite, msgspec.structs.astuple(found))):
                return "a figure is not finite"
        limit = find_limit(self.busy, self.delivered, self.skipped, live=self.live)
        if self.limit != limit:
            return f"limit is {self.limit}, its other figures say {limit}"
        if self.throttled != self.observation.throttled:
            return "throttled is not what observation says"
        return ""


def find_limit(busy: Busy, delivered: int, skipped: int, *, live: bool) -> Limit:
    """What limits the rate of answers.

    Stages work side by side, so that the slowest sets the rate, and has no time left. So it is the
    busiest stage, if that is busy for at least 90 % of the time. If not, every stage has time to
    spare, and it is the `source`, which delivers no more.

    But the source is not the limit where frames had to wait or go: it is read as fast as its
    frames are taken (a file), or a tenth of its frames or more were skipped. Then it is the
    busiest stage, too, or, if that is busy for less than half of the time, what comes between the
    stages: `hand_over`. That is so with very small models.

    Args:
        busy: Share of the time that each stage worked.
        delivered: Frames that the source delivered.
        skipped: Frames that were replaced by newer ones.
        live: Whether the source has a rate of its own.
    """
    stage, share = busy.find_busiest()
    if share >= BUSY_FROM:
        return stage
    if live and skipped < SKIPPED_FROM * max(1, delivered):
        return "source"
    return stage if share >= IDLE_BELOW else "hand_over"
