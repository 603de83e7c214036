"""Frames are taken and prepared on a thread, while the model runs on another."""

import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from queue import Empty, SimpleQueue

import cv2
import msgspec

from edgetl_runtime.capture.feed import FrameFeed
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EdgetlError, FrameError, ServiceError
from edgetl_runtime.image.one_colour import is_of_one_colour
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.pipeline.pace import Pace
from edgetl_runtime.pipeline.view import View

TICK_S = 0.5
"""Longest wait for a frame: so often the loop looks around when none comes."""


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A frame that is ready for the model which it was prepared for.

    Attributes:
        classifier: That model.
        pixels: uint8 (height_px, width_px, 3) RGB, the model's input.
        source: Of the frame.
        index: Number of the frame in its source.
        size_px: (width, height) of the frame as captured.
        captured_s: On the clock of `time.monotonic`.
        position_s: Where in a video it is, seconds; None elsewhere.
        file: The file that it is from; None of a camera, stream or pipe.
        preprocess_ms: From frame to input.
        low_information: The input is nearly of one colour.
        picture: uint8 (height, width, 3) BGR, a copy of the view, if one was wanted.
    """

    classifier: Classifier
    pixels: Frame
    source: str
    index: int
    size_px: tuple[int, int]
    captured_s: float
    position_s: float | None
    file: str | None
    preprocess_ms: float
    low_information: bool
    picture: Frame | None


class Mark(Enum):
    """Placeholder for a frame: none arrived in time, or none will."""

    NOTHING = auto()
    END = auto()


class Preparation:
    """Takes a frame, prepares it and waits until that one was fetched.

    One prepared frame waits at most, and the next one is taken only when that has gone: what is
    taken then is the newest.
    """

    def __init__(
        self,
        feed: FrameFeed,
        view: View,
        pace: Pace,
        *,
        choose_classifier: Callable[[], Classifier],
        wants_picture: Callable[[], bool],
        on_bad_frame: Callable[[], None],
    ) -> None:
        """Nothing runs yet.

        Args:
            feed: Where frames come from.
            view: What of them is looked at.
            pace: Which of them are answered.
            choose_classifier: Says for each frame which model it is prepared for.
            wants_picture: Says for each frame whether its image is copied.
            on_bad_frame: Called for each frame that cannot be prepared.
        """
        self._feed, self._view, self._pace = feed, view, pace
        self._choose_classifier = choose_classifier
        self._wants_picture = wants_picture
        self._on_bad_frame = on_bad_frame
        self._stopping = threading.Event()
        self._room = threading.Semaphore(1)
        self._ready: SimpleQueue[Prepared | EdgetlError | Mark] = SimpleQueue()
        self._thread = threading.Thread(target=self._prepare_all, name="prepare", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def next(self) -> Prepared | Mark:
        """The next frame, `NOTHING` if none came within half a second, `END` after the last.

        Raises:
            CameraError: If the source can never deliver.
            ServiceError: If the thread has died.
        """
        try:
            ready = self._ready.get(timeout=TICK_S)
        except Empty:
            self._check_alive()
            return Mark.NOTHING
        self._room.release()
        if isinstance(ready, EdgetlError):
            raise ready
        return ready

    def stop(self) -> None:
        """Takes no further frame, and ends a waiting `next`; for signal handlers, too."""
        self._stopping.set()
        self._ready.put(Mark.END)
        self._room.release()

    def join(self, timeout_s: float) -> None:
        """Waits for the thread, which may hang in its source."""
        self._thread.join(timeout_s)

    def _check_alive(self) -> None:
        # Else the loop would wait for ever, and tell the watchdog that all is well.
        if not self._thread.is_alive() and not self._stopping.is_set():
            raise ServiceError(
                "the thread that prepares frames has died; this is a bug in edgetl, please report "
                "it"
            )

    def _prepare_all(self) -> None:
        while not self._stopping.is_set():
            self._room.acquire()
            if self._stopping.is_set():
                return
            try:
                prepared = self._prepare_next()
                ended = prepared is None and self._feed.status().state == "ended"
            except EdgetlError as error:
                self._ready.put(error)
                return
            self._ready.put(Mark.END if ended else prepared or Mark.NOTHING)
            if ended:
                return

    def _prepare_next(self) -> Prepared | None:
        self._stopping.wait(self._pace.wait_s(TICK_S))
        frame = self._feed.take(TICK_S)
        if frame is None or not self._pace.accepts(frame):
            return None
        classifier = self._choose_classifier()
        start_s = time.monotonic()
        try:
            view = self._view.apply(frame.image)
            pixels = classifier.prepare(view)
        except (FrameError, MemoryError, cv2.error):
            # One frame is lost, and counted; the next one may be well.
            self._on_bad_frame()
            return None
        preprocess_ms = (time.monotonic() - start_s) * 1e3
        return Prepared(
            classifier=classifier,
            pixels=pixels,
            source=frame.source,
            index=frame.index,
            size_px=(frame.image.shape[1], frame.image.shape[0]),
            captured_s=frame.captured_s,
            position_s=frame.position_s,
            file=frame.file,
            preprocess_ms=preprocess_ms,
            low_information=is_of_one_colour(pixels),
            picture=view.copy() if self._wants_picture() else None,
        )
