"""The answer to a frame, and its one JSON form.

JSON lines, CSV, MQTT, POST, `/api/state`, `/api/classify`, `/events`, and `--json` of `classify`,
`camera` and `serve` all carry an `AnswerRecord`. `answers.schema.json` describes it.
"""

import time

import msgspec

from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Prediction, Scores, rank
from edgetl_runtime.system.clock import ClockCheck, format_time, read_boot_id
from edgetl_runtime.text.printable import show_path

# Changes when a field is removed or changes its meaning; fields may be added.
VERSION = 1
_SCORE_DIGITS, _MS_DIGITS, _S_DIGITS = 5, 3, 6


class Event(msgspec.Struct, frozen=True):
    """A change of the stable label, in Python and in JSON.

    Attributes:
        number: Number of the event since startup, from 1.
        label: The new stable label, or None if unknown.
        previous: The previous stable label, or None.
        score: Smoothed score of the new label, 0..1; if it is None, of the best label.
        time: Wall clock, ISO 8601 in UTC with milliseconds; may jump, unlike captured_s.
    """

    number: int
    label: str | None
    previous: str | None
    score: float
    time: str


class Answer(msgspec.Struct, frozen=True, eq=False):
    """One frame's answer, in Python.

    Attributes:
        source: The camera, file or address.
        index: Number of the frame in its source; gaps are frames that were dropped.
        size_px: (width, height) of the frame as captured.
        prediction: The prediction for this frame alone, with its times and age.
        smoothed: float32 (outputs,), scores after smoothing, 0..1.
        label: The stable label, or None if unknown.
        score: Smoothed score of the stable label, 0..1; if it is None, of the best label.
        stale: Whether the frame was too old when the answer was ready; then label is None.
        low_information: Whether the frame has almost a single color: covered, black or saturated.
        event: The event that this answer caused, or None.
        time: Wall clock, ISO 8601 in UTC with milliseconds.
        picture: uint8 (height, width, 3) BGR, the view as classified, or None if no output
            wanted it. Shared: copy it before drawing on it.
        position_s: Position in a video, seconds from its first frame; None elsewhere.
        file: The file of the frame; None for a camera, stream or pipe.
    """

    source: str
    index: int
    size_px: tuple[int, int]
    prediction: Prediction
    smoothed: Scores
    label: str | None
    score: float
    stale: bool
    low_information: bool
    event: Event | None
    time: str
    picture: Frame | None = None
    position_s: float | None = None
    file: str | None = None


class LabelScore(msgspec.Struct, frozen=True):
    """A label and its score, 0..1."""

    label: str
    score: float


class AnswerRecord(msgspec.Struct, frozen=True):
    """One frame's answer, in JSON.

    Attributes:
        version: Version of this format.
        boot_id: Id of the machine's boot; empty if not known. Within one boot, `captured_s`
            orders records even if the wall clock jumps.
        sequence: Number of the record at this output since startup, from 1.
        time: Wall clock, ISO 8601 in UTC with milliseconds.
        clock_synced: Whether the wall clock is synchronized; null if not known.
        source: Camera, file or address.
        file: The file of the frame; null for a camera, stream or pipe.
        frame: Number of the frame in its source, from 0.
        position_s: Position in a video, seconds from its first frame; null elsewhere.
        size_px: Width and height of the frame as captured.
        label: The stable label; null if unknown.
        score: Its smoothed score, 0..1; if `label` is null, of the best label.
        frame_label: The label of this frame alone; null if unknown.
        frame_score: Its highest score, 0..1.
        top: The best smoothed scores, best first.
        captured_s: When the frame was captured, monotonic clock, seconds.
        preprocess_ms: Time from the frame to the model's input, milliseconds.
        invoke_ms: Time inside the engine, milliseconds.
        age_ms: Age of the frame when its answer was ready, milliseconds.
        stale: Whether the frame was too old for a label.
        low_information: Whether the frame had almost a single color.
        event: The event that this answer caused, or null.
    """

    version: int
    boot_id: str
    sequence: int
    time: str
    clock_synced: bool | None
    source: str
    file: str | None
    frame: int
    position_s: float | None
    size_px: tuple[int, int]
    label: str | None
    score: float
    frame_label: str | None
    frame_score: float
    top: tuple[LabelScore, ...]
    captured_s: float
    preprocess_ms: float
    invoke_ms: float
    age_ms: float
    stale: bool
    low_information: bool
    event: Event | None


class UnusedRecord(msgspec.Struct, frozen=True):
    """A file of a folder without an answer, in JSON.

    Attributes:
        version: Version of this format.
        source: The file.
        file: The file.
        label: Always null.
        score: Always null.
        top: Always empty.
        unused: `unreadable` or `no image`.
        reason: What is wrong with the file.
    """

    version: int
    source: str
    file: str
    label: None
    score: None
    top: tuple[LabelScore, ...]
    unused: str
    reason: str


class Recorder:
    """Makes records and counts them."""

    def __init__(self, top: int) -> None:
        """Args: top: How many labels to list."""
        self._top = top
        self._sequence = 0
        self._clock = ClockCheck()

    def describe(self, answer: Answer) -> AnswerRecord:
        """The record of an answer."""
        self._sequence += 1
        prediction = answer.prediction
        best = rank(prediction.labels, answer.smoothed, self._top)
        return AnswerRecord(
            version=VERSION,
            boot_id=read_boot_id(),
            sequence=self._sequence,
            time=answer.time,
            clock_synced=self._clock.is_synced(),
            source=show_path(answer.source),
            file=None if answer.file is None else show_path(answer.file),
            frame=answer.index,
            position_s=None if answer.position_s is None else round(answer.position_s, _S_DIGITS),
            size_px=answer.size_px,
            label=answer.label,
            score=round(answer.score, _SCORE_DIGITS),
            frame_label=prediction.label,
            frame_score=round(prediction.score, _SCORE_DIGITS),
            top=tuple(LabelScore(label, round(score, _SCORE_DIGITS)) for label, score in best),
            captured_s=round(prediction.captured_s, _S_DIGITS),
            preprocess_ms=round(prediction.preprocess_ms, _MS_DIGITS),
            invoke_ms=round(prediction.invoke_ms, _MS_DIGITS),
            age_ms=round(prediction.age_ms, _MS_DIGITS),
            stale=answer.stale,
            low_information=answer.low_information,
            event=answer.event,
        )


def answer_alone(frame: CapturedFrame, prediction: Prediction) -> Answer:
    """The answer to a single frame, without smoothing."""
    height, width = frame.image.shape[:2]
    return Answer(
        source=frame.source,
        index=frame.index,
        size_px=(width, height),
        prediction=prediction,
        smoothed=prediction.scores,
        label=prediction.label,
        score=prediction.score,
        stale=False,
        low_information=False,
        event=None,
        time=format_time(time.time()),
        position_s=frame.position_s,
        file=frame.file,
    )


def make_event(number: int, label: str | None, previous: str | None, score: float) -> Event:
    """An event with the current time."""
    return Event(number, label, previous, round(score, _SCORE_DIGITS), format_time(time.time()))


def describe_schema() -> bytes:
    """The JSON Schema of a line of answers, as `answers.schema.json` holds it."""
    lines, known = msgspec.json.schema_components(
        (AnswerRecord, UnusedRecord), ref_template="#/$defs/{name}"
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of answers of edgetl-run",
        "oneOf": lines,
        "$defs": known,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def encode_line(record: AnswerRecord) -> bytes:
    """One line of JSON, in UTF-8, with its end."""
    return msgspec.json.encode(record) + b"\n"
