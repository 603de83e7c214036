"""The page's output: the newest answer and image, encoded once for all viewers."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import msgspec

from edgetl_runtime.answers import Answer, AnswerRecord, Event, Recorder
from edgetl_runtime.errors import OutputError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.pipeline.status import State
from edgetl_runtime.serving.notifier import Notifier
from edgetl_runtime.serving.tap import Tap
from edgetl_runtime.serving.views import take_back

# More answers a second than this nobody can read.
ANSWERS_PER_S = 10
# The chart's width in time.
HISTORY_S = 60
_EVENTS = 50
TOP = 5
# Wider images are made smaller: on a phone nobody sees more, and encoding 1080p costs a
# Raspberry Pi more time than the network does.
_WIDEST_PX = 960
_JPEG_QUALITY = 80


class Picture(msgspec.Struct, frozen=True, eq=False):
    """An image as it goes to the viewers.

    Attributes:
        number: From 1, counted since the start.
        jpeg: The file.
        captured_s: On the clock of `time.monotonic`, seconds.
    """

    number: int
    jpeg: bytes
    captured_s: float


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One point of the chart; `answered_s` is on the clock of `time.monotonic`, seconds."""

    answered_s: float
    preprocess_ms: float
    invoke_ms: float
    age_ms: float


class PageFeed:
    """The `Output` of the page: keeps what is newest, bounded in every way.

    Attributes:
        name: `page`.
        lossless: False: a slow reader gets newer answers only.
        notifier: Notified of each answer that was taken.
    """

    name = "page"
    lossless = False

    def __init__(self, page_fps: float) -> None:
        """Makes an empty feed.

        Args:
            page_fps: Images a second while somebody watches.
        """
        self.notifier = Notifier()
        self._picture_period_s = 1.0 / page_fps
        self._picture_due_s = 0.0
        self._answer_due_s = 0.0
        self._lock = threading.Lock()
        self._watching = 0
        self._taps: tuple[Tap, ...] = ()
        self._pictures = 0
        self._picture: Picture | None = None
        self._answer: AnswerRecord | None = None
        self._recorder = Recorder(TOP)
        self._message = b""
        self._samples: deque[Sample] = deque(maxlen=ANSWERS_PER_S * HISTORY_S)
        self._events: deque[Event] = deque(maxlen=_EVENTS)

    def wants_picture(self) -> bool:
        """True while somebody watches, or taps, and the next image is due."""
        return self._is_view_due() or any(tap.is_due() for tap in self._taps)

    def accepts(self, answer: Answer) -> bool:
        """True for each event, for an image that is due, and a few times a second."""
        if answer.event is not None or time.monotonic() >= self._answer_due_s:
            return True
        return answer.picture is not None and self.wants_picture()

    def write(self, answer: Answer) -> None:
        """Takes an answer and encodes its image, if anybody watches.

        Raises:
            OutputError: If the image cannot be encoded.
        """
        self._keep(answer)
        if answer.picture is not None:
            self._share(answer.picture, answer.prediction.captured_s)
        self.notifier.notify()

    def close(self) -> None:
        """Ends all streams."""
        self.notifier.close()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Counts a viewer of the live image while the block runs."""
        with self._lock:
            self._watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._watching -= 1

    @contextmanager
    def tapped(self, period_s: float) -> Iterator[Tap]:
        """Hands over whole frames while the block runs.

        Args:
            period_s: At least so far are they apart, seconds.
        """
        tap = Tap(period_s)
        with self._lock:
            self._taps = (*self._taps, tap)
        try:
            yield tap
        finally:
            with self._lock:
                self._taps = tuple(one for one in self._taps if one is not tap)

    @property
    def watching(self) -> int:
        """Viewers of the live view."""
        return self._watching

    def picture(self, max_age_s: float) -> Picture | None:
        """The newest image, or None if it was captured longer ago."""
        picture = self._picture
        if picture is None or time.monotonic() - picture.captured_s > max_age_s:
            return None
        return picture

    def answer(self, state: State) -> AnswerRecord | None:
        """The newest answer, without its label where the state belies it."""
        answer = self._answer
        return answer and take_back(answer, state)

    def message(self, state: State) -> bytes:
        """JSON of the newest answer, without its label where the state belies it; b"" before."""
        with self._lock:
            answer, message = self._answer, self._message
        if answer is None or (taken_back := take_back(answer, state)) is answer:
            return message
        return msgspec.json.encode(taken_back)

    def history(self) -> list[Sample]:
        """The initial points of the chart, oldest first."""
        with self._lock:
            oldest_s = time.monotonic() - HISTORY_S
            return [sample for sample in self._samples if sample.answered_s >= oldest_s]

    def events_after(self, number: int) -> list[Event]:
        """Events with a higher number, oldest first."""
        with self._lock:
            return [event for event in self._events if event.number > number]

    def _is_view_due(self) -> bool:
        return self._watching > 0 and time.monotonic() >= self._picture_due_s

    def _keep(self, answer: Answer) -> None:
        record = self._recorder.describe(answer)
        message = msgspec.json.encode(record)
        one = answer.prediction
        sample = Sample(one.answered_s, one.preprocess_ms, one.invoke_ms, one.age_ms)
        with self._lock:
            self._answer_due_s = _next_due(self._answer_due_s, 1.0 / ANSWERS_PER_S)
            self._answer, self._message = record, message
            # An answer that comes again, without its label, is not a new point of the chart.
            if not self._samples or self._samples[-1] != sample:
                self._samples.append(sample)
            if answer.event is not None:
                self._events.append(answer.event)

    def _share(self, picture: Frame, captured_s: float) -> None:
        for tap in self._taps:
            if tap.is_due():
                tap.put(picture)
        if self._is_view_due():
            self._picture_due_s = _next_due(self._picture_due_s, self._picture_period_s)
            self._show(encode_picture(picture), captured_s)

    def _show(self, jpeg: bytes, captured_s: float) -> None:
        self._pictures += 1
        self._picture = Picture(self._pictures, jpeg, captured_s)


def encode_picture(picture: Frame) -> bytes:
    """Encodes an image as JPEG, at most 960 px wide.

    Args:
        picture: uint8 (height, width, 3) BGR; stays as it is.

    Raises:
        OutputError: If OpenCV cannot.
    """
    height, width = picture.shape[:2]
    if width > _WIDEST_PX:
        shown = (_WIDEST_PX, max(1, round(height * _WIDEST_PX / width)))
        picture = cv2.resize(picture, shown, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    try:
        ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    except cv2.error as error:
        raise OutputError(f"the live view cannot be encoded: {error.err}") from error
    if not ok:
        raise OutputError("the live view cannot be encoded as JPEG")
    return data.tobytes()


def _next_due(due_s: float, period_s: float) -> float:
    """Keeps the mean rate although frames come a little late; after a pause it begins anew."""
    now_s = time.monotonic()
    return due_s + period_s if due_s + period_s > now_s else now_s + period_s
