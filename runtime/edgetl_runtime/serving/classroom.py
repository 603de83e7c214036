"""Lessons from the page: frames of the running camera, for some seconds, and what comes of them."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from edgetl_runtime.errors import EdgetlError, LessonError, LockedError
from edgetl_runtime.learning.overlay import Overlay, locked
from edgetl_runtime.learning.overlay_format import Kind, Lesson
from edgetl_runtime.learning.place import explain_refusal
from edgetl_runtime.serving.feed import PageFeed
from edgetl_runtime.serving.lesson_records import (
    LessonOrder,
    LessonProgress,
    LessonsView,
    Outcome,
    list_lessons,
)
from edgetl_runtime.teaching.frames import Collector, Take
from edgetl_runtime.teaching.lesson import LessonReport, check_label
from edgetl_runtime.text.masking import mask_text

if TYPE_CHECKING:
    from edgetl_runtime.classifier import Classifier

_DEFAULT_S: Final[dict[Kind, float]] = {"teach": 5.0, "scene": 60.0}
_MOST_TAKEN: Final = 200
_FASTEST_S: Final = 0.1
_TICK_S: Final = 0.25
_TAKE_OVER_S: Final = 20.0
_NICENESS: Final = 10
_WATCHING: Final = "watching"
_LOOKING: Final = "looking at the frames"
_STOPPED: Final = "stopped; nothing was learned"


class Learner(Protocol):
    """The part of a service that learns; asked from any thread."""

    @property
    def classifier(self) -> "Classifier":
        """The model in use."""
        ...

    def find_place(self) -> Path:
        """The bundle beside which its lessons are kept."""
        ...

    def relearn(self) -> None:
        """Takes what was learned since into use, soon."""
        ...


class Classroom:
    """Takes one lesson at a time, on a thread of its own, while answers go on."""

    def __init__(self, learner: Learner, feed: PageFeed) -> None:
        """Teaches nothing yet.

        Args:
            learner: The service.
            feed: Delivers the frames.
        """
        self._learner = learner
        self._feed = feed
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._running: LessonProgress | None = None
        self._outcome: Outcome | None = None
        self._taken = 0
        self._judged: tuple[Classifier, str] | None = None

    def view(self) -> LessonsView:
        """The lessons and how the current one is going; reads the list of them from the disk."""
        with self._lock:
            running, outcome = self._running, self._outcome
        impossible = ""
        lessons: tuple[Lesson, ...] = ()
        try:
            impossible = self._find_impediment()
            lessons = self._open_overlay().lessons
        except EdgetlError as error:
            impossible = impossible or mask_text(str(error))
        return LessonsView(
            impossible, self._learner.classifier.classes, list_lessons(lessons), running, outcome
        )

    def begin(self, order: LessonOrder) -> None:
        """Begins a lesson.

        Raises:
            LockedError: If one is being taken.
            LessonError: If nothing can be taught, or not this.
            EdgetlError: If the overlay cannot be read.
        """
        self._check(order)
        seconds = order.seconds or _DEFAULT_S[order.kind]
        with self._lock:
            self._check_free()
            self._running = LessonProgress(order.kind, order.label, _WATCHING, 0, seconds, seconds)
            # Whoever sees one knows that it is not of the lesson that is being taken.
            self._outcome = None
            self._taken += 1
            self._stop.clear()
        # A daemon: an engine that hangs must not keep the process from ending.
        threading.Thread(
            target=self._teach, args=(order, seconds), name="lesson", daemon=True
        ).start()

    def stop(self) -> None:
        """Ends the lesson that is being taken; nothing is learned.

        Raises:
            LessonError: If none is being taken.
            LockedError: If its frames are taken already, so that it can only be undone.
        """
        with self._lock:
            if self._running is None:
                raise LessonError("no lesson is being taken, so that there is nothing to stop")
            if self._running.doing != _WATCHING:
                raise LockedError(
                    f"its frames are taken already ({self._running.doing}); undo the lesson when "
                    "it is done"
                )
            self._stop.set()

    def undo(self) -> None:
        """Forgets the last lesson.

        Raises:
            LockedError: If a lesson is being taken, here or by another program.
            LessonError: If nothing was learned.
            EdgetlError: If the overlay is damaged, or the disk refuses.
        """
        with self._lock:
            self._check_free()
            place = self._learner.find_place()
            with locked(place):
                overlay = self._open_overlay()
                if not overlay.lessons:
                    raise LessonError("nothing was learned, so that there is nothing to undo")
                overlay.undo()
            self._outcome = None
        self._learner.relearn()

    def _check(self, order: LessonOrder) -> None:
        if impediment := self._find_impediment():
            raise LessonError(impediment)
        if order.kind == "teach" and order.label is None:
            raise LessonError("expected a label to teach, found null; give it a name")
        taught = [lesson.label for lesson in self._open_overlay().lessons]
        labels = self._learner.classifier.bundle.labels
        check_label(order.kind, order.label, (*labels, *taught))

    def _check_free(self) -> None:
        if self._running is not None:
            what = self._running.label or "the place"
            raise LockedError(f"a lesson is being taken ({what}); try again when it is done")

    def _find_impediment(self) -> str:
        classifier = self._learner.classifier
        # Asked again and again while a page shows how a lesson goes.
        if self._judged is None or self._judged[0] is not classifier:
            self._judged = classifier, _judge(classifier)
        return self._judged[1] or explain_refusal(self._learner.find_place())

    def _open_overlay(self) -> Overlay:
        return Overlay.open(self._learner.classifier.bundle, self._learner.find_place())

    def _teach(self, order: LessonOrder, seconds: float) -> None:
        _give_way()
        error, report = "the lesson failed; this is a bug in edgetl, please report it", None
        try:
            take = self._watch(order, seconds)
            if take is None:
                error = _STOPPED
            else:
                # The service may see by itself that there is a lesson, before it is asked.
                before = self._learner.classifier
                report, error = self._learn(order, take), ""
                if report.stored:
                    self._take_over(before, report.frames)
        except EdgetlError as reason:
            error = mask_text(str(reason))
        except MemoryError:
            error = "not enough memory for a second model; nothing was learned"
        finally:
            with self._lock:
                self._running = None
                self._outcome = Outcome(self._taken, error, report)

    def _take_over(self, before: "Classifier", frames: int) -> None:
        """Has what was learned taken into use, and waits: nobody is told too soon."""
        self._note("taking it into use", frames=frames, left_s=0.0)
        end_s = time.monotonic() + _TAKE_OVER_S
        self._learner.relearn()
        while self._learner.classifier is before and time.monotonic() < end_s:
            time.sleep(_TICK_S / 5)

    def _watch(self, order: LessonOrder, seconds: float) -> Take | None:
        """The frames of some seconds, evenly spread; None if somebody stopped it."""
        preprocessing = self._learner.classifier.bundle.manifest.preprocessing
        collector = Collector(alike=order.label is None)
        end_s = time.monotonic() + seconds
        with self._feed.tapped(max(_FASTEST_S, seconds / _MOST_TAKEN)) as tap:
            while (left_s := end_s - time.monotonic()) > 0:
                if self._stop.is_set() or self._feed.notifier.closed:
                    return None
                frame = tap.take(min(_TICK_S, left_s))
                if frame is not None:
                    collector.add(frame, preprocessing.apply(frame))
                self._note(_WATCHING, frames=collector.count, left_s=max(0.0, left_s))
        return collector.finish() if self._end_watching() else None

    def _end_watching(self) -> bool:
        """From here on it cannot be stopped; False if it was."""
        with self._lock:
            if self._running is None or self._stop.is_set():
                return False
            self._running = msgspec.structs.replace(self._running, doing=_LOOKING, left_s=0.0)
            return True

    def _learn(self, order: LessonOrder, take: Take) -> LessonReport:
        from edgetl_runtime.learning.student import Student
        from edgetl_runtime.teaching.lesson import take_lesson

        self._note(_LOOKING, frames=len(take.photos), left_s=0.0)
        classifier = self._learner.classifier
        # One thread: the others belong to the answers.
        student = Student.open(classifier.bundle, variant=classifier.variant.name, threads=1)
        place = self._learner.find_place()

        def tell(share: float, doing: str) -> None:
            self._note(doing, frames=len(take.photos), left_s=0.0)

        return take_lesson(student, take, order.kind, order.label, tell, beside=place)

    def _note(self, doing: str, *, frames: int, left_s: float) -> None:
        with self._lock:
            if self._running is not None:
                self._running = msgspec.structs.replace(
                    self._running, doing=doing, frames=frames, left_s=round(left_s, 2)
                )


def _give_way() -> None:
    """Lets the answers have the processor first: on Linux the priority is a thread's own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _judge(classifier: "Classifier") -> str:
    """Why a model cannot learn, one sentence; empty if it can."""
    from edgetl_runtime.learning.student import find_memory

    try:
        find_memory(classifier.bundle, classifier.variant)
    except LessonError as error:
        return str(error)
    return ""
