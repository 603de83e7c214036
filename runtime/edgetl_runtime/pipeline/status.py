"""How the whole classifier is, at one moment: what the page, the metrics and a monitor read."""

from typing import Literal

import msgspec

from edgetl_runtime.answers import Event
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.outputs.output import OutputStatus
from edgetl_runtime.pipeline.drift import DriftReport
from edgetl_runtime.pipeline.meter import Reading
from edgetl_runtime.pipeline.pace import find_age_limit
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.board import Health
from edgetl_runtime.system.percentiles import Percentiles

State = Literal["starting", "ok", "degraded", "stale", "no_camera", "failed"]
"""In the order of a life: starting (no answer yet), ok, degraded (answers, but something is
wrong), stale (frames are old or frozen, labels are withheld), no_camera (none delivers and it is
tried again), failed (the model's outputs are unusable)."""


class Status(msgspec.Struct, frozen=True):
    """The classifier's state and counters.

    Attributes:
        state: See `State`.
        reason: One sentence on why it is not ok; empty if it is.
        uptime_s: Since the pipeline began, seconds.
        name: Of the model, for people: what its bundle says, or the bundle's own name.
        bundle: Path of the bundle in use.
        bundle_sha256: Of its bundle.json.
        variant: The model file in use.
        engine: Name and version.
        labels: The classes, and what was taught.
        answered: Frames that were answered.
        withheld: Answers without a label because the frame was too old.
        rejected: Answers without a label because the frame was unknown, or the score too low.
        model_failures: Outputs that were not probabilities.
        frame_failures: Frames that preprocessing or engine refused.
        events: How often the stable label changed.
        reloads: How often another bundle was taken into use.
        label: The stable label now, or None.
        score: Its score, 0..1, or None before the first answer.
        fps: Answers a second over the last seconds.
        preprocess_ms: Preprocessing time of the last 300 answers; None before the first.
        invoke_ms: Time inside the engine of the last 300 answers; None before the first.
        age_ms: Age of the frame when its answer was ready, the same.
        last_answer_age_s: How long ago the last answer was, seconds; None before the first.
        low_information: The last frame was nearly of one colour.
        feed: The source.
        outputs: Each output.
        board: Temperature and throttling, read every few seconds.
        problem: What went wrong around the pipeline, such as a reload; empty if nothing did.
        drift: What was seen over the last day, against the validation photos.
        recent_events: The last 50, oldest first.
        lessons: How many lessons the answers come from, beside the bundle; 0 if none was learned.
        has_heat_maps: Whether the model can show where the evidence for a class lies.
    """

    state: State
    reason: str
    uptime_s: float
    name: str
    bundle: str
    bundle_sha256: str
    variant: str
    engine: str
    labels: tuple[str, ...]
    answered: int
    withheld: int
    rejected: int
    model_failures: int
    frame_failures: int
    events: int
    reloads: int
    label: str | None
    score: float | None
    fps: float
    preprocess_ms: Percentiles | None
    invoke_ms: Percentiles | None
    age_ms: Percentiles | None
    last_answer_age_s: float | None
    low_information: bool
    feed: FeedStatus
    outputs: tuple[OutputStatus, ...]
    board: Health
    problem: str
    drift: DriftReport
    recent_events: tuple[Event, ...]
    lessons: int = 0
    has_heat_maps: bool = False


def judge(
    reading: Reading,
    feed: FeedStatus,
    outputs: tuple[OutputStatus, ...],
    board: Health,
    settings: Settings,
    *,
    live: bool,
    problem: str = "",
) -> tuple[State, str]:
    """The state, the gravest that applies, and one sentence on why it is not `ok`."""
    if reading.failures_in_a_row >= settings.service.model_failures:
        return "failed", "the model's output is not a probability distribution; export it again"
    if feed.state == "lost":
        return "no_camera", feed.reason
    if feed.state == "frozen":
        return "stale", feed.reason
    if reading.last_answer_age_s is None:
        return "starting", "no frame has been answered yet"
    is_old = reading.last_answer_age_s > find_age_limit(settings.pace)
    if live and feed.state != "ended" and is_old:
        return "stale", f"the last answer is {reading.last_answer_age_s:.0f} s old"
    if live and reading.age_ms and reading.age_ms.p50 > settings.pace.max_age_s * 1e3:
        return "stale", f"frames are {reading.age_ms.p50:.0f} ms old when they are answered"
    if problem:
        return "degraded", problem
    return _judge_details(reading, outputs, board)


def _judge_details(
    reading: Reading, outputs: tuple[OutputStatus, ...], board: Health
) -> tuple[State, str]:
    if failing := [output for output in outputs if output.error]:
        return "degraded", f"{failing[0].name}: {failing[0].error}"
    if now := board.throttling_now:
        return "degraded", f"the board is throttled ({', '.join(now)}); check power and cooling"
    if reading.low_information:
        return (
            "degraded",
            "the image has almost a single color; is the lens covered, or is it dark?",
        )
    return "ok", ""
