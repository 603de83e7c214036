"""Counts and times what a pipeline does."""

import threading
import time
from collections import deque

import msgspec

from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.system.percentiles import Percentiles, compute_percentiles

_WINDOW = 300
_RATE_WINDOW_S = 5.0
_RECENT_EVENTS = 50


class Counts(msgspec.Struct):
    """Counters since the start; see `Status`."""

    answered: int = 0
    withheld: int = 0
    rejected: int = 0
    model_failures: int = 0
    frame_failures: int = 0
    events: int = 0
    reloads: int = 0


class Reading(msgspec.Struct, frozen=True):
    """The readings of a meter at one moment; see `Status` for the fields."""

    counts: Counts
    label: str | None
    score: float | None
    fps: float
    preprocess_ms: Percentiles | None
    invoke_ms: Percentiles | None
    age_ms: Percentiles | None
    last_answer_age_s: float | None
    low_information: bool
    failures_in_a_row: int
    recent_events: tuple[Event, ...]


class Meter:
    """Is told of each frame by the pipeline's thread and read from any other."""

    def __init__(self) -> None:
        """Begins at zero."""
        self._lock = threading.Lock()
        self._counts = Counts()
        self._times: deque[tuple[float, float, float]] = deque(maxlen=_WINDOW)
        self._answered_s: deque[float] = deque(maxlen=8 * _WINDOW)
        self._events: deque[Event] = deque(maxlen=_RECENT_EVENTS)
        self._last: tuple[str | None, float | None, bool] = (None, None, False)
        self._failures_in_a_row = 0

    def add(self, answer: Answer) -> None:
        """Counts an answer."""
        prediction = answer.prediction
        with self._lock:
            self._counts.answered += 1
            self._counts.withheld += answer.stale
            self._counts.rejected += prediction.label is None and not answer.stale
            self._counts.events += answer.event is not None
            self._failures_in_a_row = 0
            # Not the answer itself: it may hold an image.
            self._last = (answer.label, answer.score, answer.low_information)
            self._times.append((prediction.preprocess_ms, prediction.invoke_ms, prediction.age_ms))
            self._answered_s.append(prediction.answered_s)
            if answer.event:
                self._events.append(answer.event)

    def add_absence(self, event: Event | None) -> None:
        """Forgets the label, since the camera went away; counts the event if that is one."""
        with self._lock:
            self._last = (None, None, False)
            if event:
                self._counts.events += 1
                self._events.append(event)

    def add_model_failure(self) -> int:
        """Counts an output that is unusable; returns how many came in a row."""
        with self._lock:
            self._counts.model_failures += 1
            self._failures_in_a_row += 1
            return self._failures_in_a_row

    def add_frame_failure(self) -> None:
        """Counts a frame that could not be answered."""
        with self._lock:
            self._counts.frame_failures += 1

    def add_reload(self) -> None:
        """Counts another bundle, which begins without failures."""
        with self._lock:
            self._counts.reloads += 1
            self._failures_in_a_row = 0

    def read(self) -> Reading:
        """Everything at this moment."""
        now_s = time.monotonic()
        with self._lock:
            counts = msgspec.structs.replace(self._counts)
            times = tuple(self._times)
            recent = [moment for moment in self._answered_s if moment > now_s - _RATE_WINDOW_S]
            events = tuple(self._events)
            (label, score, low_information), failures = self._last, self._failures_in_a_row
            last_s = self._answered_s[-1] if self._answered_s else None
        preprocess, invoke, age = zip(*times, strict=True) if times else ((), (), ())
        return Reading(
            counts=counts,
            label=label,
            score=score,
            fps=_compute_rate(recent, now_s),
            preprocess_ms=compute_percentiles(preprocess) if preprocess else None,
            invoke_ms=compute_percentiles(invoke) if invoke else None,
            age_ms=compute_percentiles(age) if age else None,
            last_answer_age_s=None if last_s is None else now_s - last_s,
            low_information=low_information,
            failures_in_a_row=failures,
            recent_events=events,
        )


def _compute_rate(answered_s: list[float], now_s: float) -> float:
    if len(answered_s) < 2:
        return 0.0
    # Over the whole span where it is full, so that the rate falls when answers stop coming.
    span_s = max(now_s - answered_s[0], 1e-3)
    return (len(answered_s) - 1) / span_s
