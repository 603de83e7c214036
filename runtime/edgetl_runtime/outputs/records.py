"""What is written down about an answer, the same in every output."""

import msgspec

from edgetl_runtime.answer import Answer, Event
from edgetl_runtime.outputs.clock import ClockCheck, format_time, read_boot_id
from edgetl_runtime.prediction import Prediction, rank
from edgetl_runtime.printable import make_printable

_SCORE_DIGITS, _MS_DIGITS, _S_DIGITS = 5, 3, 6


class Ranked(msgspec.Struct, frozen=True):
    """A label and its score, 0..1."""

    label: str
    score: float


class Change(msgspec.Struct, frozen=True):
    """An event; see `answer.Event`."""

    number: int
    label: str | None
    previous: str | None
    score: float
    time: str


class Record(msgspec.Struct, frozen=True):
    """One answer as it is written down.

    Attributes:
        boot_id: Of this start of the machine; empty where unknown. Within one, `captured_s`
            orders records even if the wall clock jumped.
        sequence: From 1, counted by this output since the program started.
        time: Wall clock, ISO 8601 in UTC with milliseconds.
        clock_synced: Whether the wall clock can be trusted; None where unknown.
        source: Camera, file or address.
        frame: Number of the frame in its source.
        label: The stable label, or None.
        score: Its smoothed score, 0..1.
        frame_label: What this frame alone was named, or None.
        frame_score: Its highest score, 0..1.
        top: Best smoothed scores, best first.
        captured_s: Monotonic clock, seconds.
        preprocess_ms: Time for the model's input.
        invoke_ms: Time inside the engine.
        age_ms: Age of the frame when its answer was ready.
        stale: The frame was too old for a label.
        low_information: The frame was nearly of one colour.
        event: The change that this answer brought, or None.
        file: The file that the frame is from; None of a camera, stream or pipe.
        position_s: Where in a video the frame is, seconds from its first one; None elsewhere.
    """

    boot_id: str
    sequence: int
    time: str
    clock_synced: bool | None
    source: str
    frame: int
    label: str | None
    score: float
    frame_label: str | None
    frame_score: float
    top: tuple[Ranked, ...]
    captured_s: float
    preprocess_ms: float
    invoke_ms: float
    age_ms: float
    stale: bool
    low_information: bool
    event: Change | None
    file: str | None = None
    position_s: float | None = None


class Recorder:
    """Makes records and counts them."""

    def __init__(self, top: int) -> None:
        """Args: top: How many labels to list."""
        self._top = top
        self._sequence = 0
        self._clock = ClockCheck()

    def describe(self, answer: Answer) -> Record:
        """The record of an answer."""
        self._sequence += 1
        prediction = answer.prediction
        best = rank(prediction.labels, answer.smoothed, self._top)
        return Record(
            boot_id=read_boot_id(),
            sequence=self._sequence,
            time=format_time(answer.time_s),
            clock_synced=self._clock.is_synced(),
            source=answer.source,
            frame=answer.index,
            file=answer.file,
            position_s=None if answer.position_s is None else round(answer.position_s, _S_DIGITS),
            label=answer.label,
            score=round(answer.score, _SCORE_DIGITS),
            frame_label=prediction.label,
            frame_score=round(prediction.score, _SCORE_DIGITS),
            top=tuple(Ranked(label, round(score, _SCORE_DIGITS)) for label, score in best),
            captured_s=round(prediction.captured_s, _S_DIGITS),
            preprocess_ms=round(prediction.preprocess_ms, _MS_DIGITS),
            invoke_ms=round(prediction.invoke_ms, _MS_DIGITS),
            age_ms=round(prediction.age_ms, _MS_DIGITS),
            stale=answer.stale,
            low_information=answer.low_information,
            event=_describe_event(answer.event) if answer.event else None,
        )


def _describe_event(event: Event) -> Change:
    return Change(
        number=event.number,
        label=event.label,
        previous=event.previous,
        score=round(event.score, _SCORE_DIGITS),
        time=format_time(event.time_s),
    )


def show_place(answer: Answer) -> str:
    """Where a frame is from: `0#211`, `film.mp4#48 (1.60 s)`, `photos/10.jpg`."""
    if answer.position_s is not None:
        place = f"{answer.file or answer.source}#{answer.index} ({answer.position_s:.2f} s)"
    else:
        place = answer.file or f"{answer.source}#{answer.index}"
    return make_printable(place)


def encode_line(record: Record) -> bytes:
    """One line of JSON, in UTF-8, with its end."""
    return msgspec.json.encode(record) + b"\n"


def show_label(label: str | None) -> str:
    """A label for people: never empty, and without control characters, whatever a bundle says."""
    if label is None:
        return "(nothing known)"
    return make_printable(label)


def show_prediction(prediction: Prediction, top: int) -> str:
    """`gear 93%  [nut 5%, bolt 1%]`; a rejected frame's best score stands with its label."""
    best = [f"{show_label(label)} {score:.0%}" for label, score in prediction.top(top)]
    if prediction.label is None:
        return f"{show_label(None)}  [{', '.join(best)}]"
    return f"{best[0]}  [{', '.join(best[1:])}]"
