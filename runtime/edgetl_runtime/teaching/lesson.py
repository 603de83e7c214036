"""Taking a lesson: features of its frames, a head fitted with them, and the checks of it.

A lesson that would cost the classes of the file accuracy, or teaches nothing, is not kept.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.bundle.manifest import MOST_LABEL_BYTES
from edgetl_runtime.errors import LessonError
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.learning.learned import UNKNOWN, Kept, Learned, Recalled, Taught
from edgetl_runtime.learning.overlay import NewLesson, Overlay, locked
from edgetl_runtime.learning.overlay_format import Kind
from edgetl_runtime.learning.student import Student, read_lessons
from edgetl_runtime.system.clock import format_time
from edgetl_runtime.teaching.frames import Take
from edgetl_runtime.text.printable import is_printable

# Cosine; 0.7 and more of photos of one thing or a video, 0.5 of photos of ants in the open. Of what
# was taught from those, all bees were called ants.
LITTLE_ALIKE: Final = 0.6
# 0.97 and more where the camera and the thing stand still.
NEARLY_THE_SAME: Final = 0.97
NOTHING_KNOWN: Final = "_unknown_"
"""Where the workstation keeps photos of nothing that is known."""
Tell = Callable[[float, str], None]


class LessonReport(msgspec.Struct, frozen=True):
    """What became of a lesson.

    Attributes:
        stored: Whether it is kept, and its head takes over.
        refused: Why it is not, and what to do; empty if it is.
        number: Of the lesson; None if it is not kept.
        kind: `scene` or `teach`.
        label: What is on the frames; None: nothing that is known.
        is_new: Whether the label is of no class of the file, and was not taught before.
        frames: How many it is made of.
        recalled: How many of them are classified correctly by heads that did not see them.
        kept: The classes of the file, before and after, on validation photos.
        held_back: What was taken from the logits of taught things for their sake.
        notes: Sentences on frames that are not used.
        look_s: Time for the features of the frames, seconds.
        fit_s: Time for fitting the head that answers from now on, seconds.
        check_s: Time for the checks, seconds.
    """

    stored: bool
    refused: str
    number: int | None
    kind: Kind
    label: str | None
    is_new: bool
    frames: int
    recalled: int
    kept: Kept
    held_back: float
    notes: tuple[str, ...]
    look_s: float
    fit_s: float
    check_s: float


def take_lesson(
    student: Student,
    take: Take,
    kind: Kind,
    label: str | None,
    tell: Tell = lambda share, doing: None,
    *,
    beside: Path | None = None,
) -> LessonReport:
    """Takes a lesson, and keeps it if it passes the checks.

    Args:
        student: The variant that learns.
        take: The frames.
        kind: `scene` or `teach`.
        label: What is on them; None: nothing that is known.
        tell: Is told of progress.
        beside: The bundle beside which it is kept (default: the student's).

    Raises:
        LessonError: If the label cannot be used.
        BundleError: If the overlay is damaged or of another bundle.
        LockedError: If another program is learning for the same bundle.
        StorageError: If the disk refuses.
    """
    place = beside or student.bundle.path
    with locked(place):
        overlay = Overlay.open(student.bundle, place)
        before = read_lessons(overlay, student)
        known = (*student.bundle.labels, *(one.label for one in before))
        check_label(kind, label, known)
        start_s = time.monotonic()
        features = student.look(take.inputs, tell)
        looked_s = time.monotonic()
        tell(1.0, "fitting the head")
        lessons = [*before, Taught(label, features)]
        learned = student.fit(lessons)
        fitted_s = time.monotonic()
        tell(1.0, "checking what is known")
        recalled = student.recall(lessons)
        checked_s = time.monotonic()
        refused = find_reason(learned, lessons, recalled)
        if not refused:
            created = format_time(time.time())
            new = NewLesson(
                kind, label, student.variant.name, created, features, tuple(take.photos)
            )
            overlay = overlay.add(new)
    return LessonReport(
        stored=not refused,
        refused=refused,
        number=None if refused else overlay.lessons[-1].number,
        kind=kind,
        label=label,
        is_new=label is not None and label not in known,
        frames=len(take.photos),
        recalled=recalled[-1].correct,
        kept=learned.kept,
        held_back=learned.held_back,
        notes=(*take.notes, *_find_notes(learned, label, known, recalled[-1])),
        look_s=looked_s - start_s,
        fit_s=fitted_s - looked_s,
        check_s=checked_s - fitted_s,
    )


def check_label(kind: Kind, label: str | None, known: Sequence[str | None]) -> None:
    """Refuses a label that a lesson cannot have.

    Args:
        kind: Of the lesson.
        label: The label.
        known: What has been taught, and the classes of the file.

    Raises:
        LessonError: If it is no label, or the scene has a thing that was never taught.
    """
    if label is None:
        return
    # It names a folder when `edgetl data import` has taken the frames home.
    is_name = label == label.strip() and "/" not in label and not is_hidden(label)
    if not label or not is_name or not is_printable(label):
        raise LessonError(
            f"expected a label that can name a folder, found {label[:40]!r}; leave out "
            "slashes, characters that cannot be seen, and spaces or a dot at its ends"
        )
    if len(label.encode()) > MOST_LABEL_BYTES:
        raise LessonError(f"expected a label of at most {MOST_LABEL_BYTES} bytes; shorten it")
    if _fold(label) in map(_fold, (UNKNOWN, NOTHING_KNOWN, "_unsorted_")):
        raise LessonError(
            f"{label} is no label: show what is none of the classes with: edgetl-run learn-scene"
        )
    labels = [one for one in dict.fromkeys(known) if one is not None]
    if label in labels:
        return
    if alike := [one for one in labels if _fold(one) == _fold(label)]:
        raise LessonError(f"there is {alike[0]}, which differs in spelling only; write {alike[0]}")
    if kind == "scene":
        raise LessonError(
            f"{label} was never taught; known are: {', '.join(labels)}; teach it with: "
            "edgetl-run teach"
        )


def _fold(label: str) -> str:
    """Labels that are equal by this are one to a person, and refused by training."""
    return re.sub(r"[\s_-]+", "", label.casefold()) or label


def _find_notes(
    learned: Learned, label: str | None, known: Sequence[str | None], recalled: Recalled
) -> Iterator[str]:
    if recalled.correct < recalled.frames / 2 and recalled.confusion:
        yield f"most of the other frames were taken for {recalled.confusion}"
    if label is None or label in known:
        return
    likeness = learned.familiar.likeness[-1]
    if likeness < LITTLE_ALIKE:
        yield (
            f"the frames look little alike, so that other things like them may be called {label}, "
            "too; try it with photos of some, or train with these"
        )
    elif likeness > NEARLY_THE_SAME:
        yield (
            "the frames look nearly the same, so that the check says little of other sides; show "
            "more of them in another lesson"
        )


def find_reason(learned: Learned, lessons: Sequence[Taught], recalled: Sequence[Recalled]) -> str:
    """Why the last lesson is refused, and what to do; empty if it is not.

    Args:
        learned: The head of all lessons.
        lessons: All of them, in their order.
        recalled: What `recall` returned of them.
    """
    kept = learned.kept
    if not kept.ok:
        return (
            f"the classes would lose accuracy: of {kept.photos} stored validation photos "
            f"{kept.after} instead of {kept.before} would be correct, at most {kept.may_lose} may "
            "be lost; it looks too much like one of them: show it larger, before another "
            "background, or train with it"
        )
    *earlier, (taught, new) = zip(lessons, recalled, strict=True)
    if new.is_lost:
        return (
            f"it would not be recognized: of {new.frames} frames {new.correct} would be, at least "
            f"{new.least} must; most look like {new.confusion}. {_advise(taught)}"
        )
    if lost := next((pair for pair in earlier if pair[1].is_lost), None):
        return (
            f"what was learned before would be lost: of {lost[1].frames} frames of "
            f"{lost[0].label or 'the scene'} only {lost[1].correct} would be correct; undo that "
            "lesson with: edgetl-run learned BUNDLE --undo"
        )
    return ""


def _advise(taught: Taught) -> str:
    if taught.label is None:
        return "If that is there, take it away, or give the frames that label"
    return "Show more of what is different, or give it that label"
