"""Taking a lesson: features of its frames, a head fitted with them, and the checks of it.

A lesson that would cost the classes of the file accuracy, or teaches nothing, is not kept.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np

from edgetl_runtime.bundle.manifest import MOST_LABEL_BYTES, Variant
from edgetl_runtime.bundle.memory import Memory, read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import Engine, open_engine
from edgetl_runtime.errors import BundleError, LessonError
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.learning.frames import Take
from edgetl_runtime.learning.learned import UNKNOWN, Kept, Learned, Taught, learn, recall
from edgetl_runtime.learning.overlay import Features, Kind, Lesson, NewLesson, Overlay, locked
from edgetl_runtime.system.allotment import default_threads
from edgetl_runtime.system.clock import format_time
from edgetl_runtime.text.printable import is_printable

LEAST_RECALL: Final = 0.25
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
        is_new: Whether the label is of no class of the file.
        frames: How many it is made of.
        recalled: How many of them a head names rightly that did not see them.
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


class Student(msgspec.Struct, frozen=True, eq=False):
    """A variant of a bundle that can learn.

    Attributes:
        bundle: The bundle.
        variant: The variant whose file returns the features.
        engine: An engine that was opened to reveal features.
        memory: The variant's.
    """

    bundle: Bundle
    variant: Variant
    engine: Engine
    memory: Memory

    @classmethod
    def open(
        cls,
        bundle: Bundle | str | Path,
        *,
        engine: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
    ) -> "Student":
        """Opens a bundle to learn; the arguments are those of `Classifier.open`.

        Raises:
            BundleError: If the bundle is damaged.
            EngineError: If the engine is not installed or refuses the model.
            LessonError: If the variant cannot learn.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle)
        chosen = bundle.variant(variant, engine=engine)
        memory = find_memory(bundle, chosen)
        loaded = open_engine(
            chosen.engine,
            bundle.read(chosen),
            (chosen.input, chosen.output),
            threads or default_threads(),
            chosen.hidden,
            "features",
        )
        return cls(bundle, chosen, loaded, memory)

    def look(self, inputs: Sequence[Frame], tell: Tell = lambda share, doing: None) -> Features:
        """The features of frames.

        Args:
            inputs: uint8 (height_px, width_px, 3) RGB each, the model's input.
            tell: Is told of progress.

        Returns:
            float32 (frames, features), as an overlay keeps them.
        """
        rows = []
        for n, pixels in enumerate(inputs):
            tell(n / len(inputs), "looking at the frames")
            rows.append(self.engine.look(pixels).features)
        # As they will be read again.
        return np.stack(rows).astype(np.float16).astype(np.float32)

    def learn(
        self,
        take: Take,
        kind: Kind,
        label: str | None,
        tell: Tell = lambda share, doing: None,
    ) -> LessonReport:
        """Takes a lesson, and keeps it if it passes the checks.

        Args:
            take: The frames.
            kind: `scene` or `teach`.
            label: What is on them; None: nothing that is known.
            tell: Is told of progress.

        Raises:
            LessonError: If the label cannot be used.
            BundleError: If the overlay is damaged or of another bundle.
            LockedError: If another program is learning for the same bundle.
            StorageError: If the disk refuses.
        """
        with locked(self.bundle.path):
            overlay = Overlay.open(self.bundle)
            before = read_lessons(overlay, self)
            check_label(kind, label, (*self.bundle.labels, *(one.label for one in before)))
            start_s = time.monotonic()
            features = self.look(take.inputs, tell)
            looked_s = time.monotonic()
            tell(1.0, "fitting the head")
            lessons = [*before, Taught(label, features)]
            learned = self._fit(lessons)
            fitted_s = time.monotonic()
            tell(1.0, "checking what is known")
            recalled = recall(self.memory, self.bundle.labels, lessons, self._unknown)
            checked_s = time.monotonic()
            refused = _find_reason(learned, lessons, recalled)
            if not refused:
                created = format_time(time.time())
                new = NewLesson(
                    kind, label, self.variant.name, created, features, tuple(take.photos)
                )
                overlay = overlay.add(new)
        return LessonReport(
            stored=not refused,
            refused=refused,
            number=None if refused else overlay.lessons[-1].number,
            kind=kind,
            label=label,
            is_new=label is not None and label not in self.bundle.labels,
            frames=len(take.photos),
            recalled=recalled[-1],
            kept=learned.kept,
            held_back=learned.held_back,
            notes=take.notes,
            look_s=looked_s - start_s,
            fit_s=fitted_s - looked_s,
            check_s=checked_s - fitted_s,
        )

    def _fit(self, lessons: Sequence[Taught]) -> Learned:
        return learn(self.memory, self.bundle.labels, lessons, self._unknown)

    @property
    def _unknown(self) -> str:
        return self.bundle.manifest.unknown_label


def apply_overlay(student: Student, overlay: Overlay) -> Learned:
    """The head that a file and its lessons make together.

    Raises:
        BundleError: If a lesson is damaged.
    """
    return student._fit(read_lessons(overlay, student))


def find_memory(bundle: Bundle, variant: Variant) -> Memory:
    """The memory that a variant learns with.

    Raises:
        LessonError: If it has none.
    """
    memory = read_memory(bundle, variant)
    if memory is None or variant.hidden is None or not memory.held_out.any():
        able = [one.name for one in bundle.manifest.variants if one.memory and one.hidden]
        remedy = f"choose --variant {able[0]}" if able else "export it again with: edgetl export"
        raise LessonError(
            f"{variant.name} of {bundle.path} has no features of known photos, "
            f"which learning needs; {remedy}"
        )
    return memory


def read_lessons(overlay: Overlay, student: Student) -> list[Taught]:
    """The lessons of an overlay, with features as the student's file returns them.

    Raises:
        BundleError: If a file of it is damaged.
    """
    return [
        Taught(
            lesson.label,
            overlay.read_features(lesson)
            if lesson.variant == student.variant.name
            else _look_again(overlay, lesson, student),
        )
        for lesson in overlay.lessons
    ]


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
            "slashes, and spaces or a dot at its ends"
        )
    if len(label.encode()) > MOST_LABEL_BYTES:
        raise LessonError(f"expected a label of at most {MOST_LABEL_BYTES} bytes; shorten it")
    if label in (UNKNOWN, NOTHING_KNOWN, "_unsorted_"):
        raise LessonError(
            f"{label} is no label: show what is none of the classes with: edgetl-run learn-scene"
        )
    if kind == "scene" and label not in known:
        labels = ", ".join(one for one in dict.fromkeys(known) if one is not None)
        raise LessonError(
            f"{label} was never taught; known are: {labels}; teach it with: edgetl-run teach"
        )


def _find_reason(learned: Learned, lessons: Sequence[Taught], recalled: Sequence[int]) -> str:
    """Why a lesson is refused; empty if it is not. The new lesson is the last one."""
    kept = learned.kept
    if not kept.ok:
        return (
            f"the classes would lose accuracy: of {kept.photos} validation photos {kept.after} "
            f"instead of {kept.before} would be right, at most {kept.may_lose} may be lost; it "
            "looks too much like one of them: show it larger, before another background, or train "
            "with it"
        )
    *earlier, new = zip(lessons, recalled, strict=True)
    if _is_lost(*new):
        return (
            f"it would not be recognized: of {len(new[0].features)} frames {new[1]} would get "
            f"their label from the others, at least {_count_least(new[0])} must; show it larger, "
            "and from more sides"
        )
    if lost := next((pair for pair in earlier if _is_lost(*pair)), None):
        return (
            f"what was learned before would be lost: of {len(lost[0].features)} frames of "
            f"{lost[0].label or 'the scene'} only {lost[1]} would be right; undo that lesson with: "
            "edgetl-run learned BUNDLE --undo"
        )
    return ""


def _is_lost(lesson: Taught, recalled: int) -> bool:
    return recalled < _count_least(lesson)


def _count_least(lesson: Taught) -> int:
    return math.ceil(LEAST_RECALL * len(lesson.features))


def _look_again(overlay: Overlay, lesson: Lesson, student: Student) -> Features:
    """The features of photos that another variant has looked at."""
    inputs = []
    for photo in lesson.photos:
        frame = cv2.imdecode(np.frombuffer(overlay.read(photo), np.uint8), cv2.IMREAD_COLOR)
        if frame is None:
            raise BundleError(f"{overlay.path / photo.file} is not a JPEG")
        inputs.append(student.bundle.manifest.preprocessing.apply(frame))  # type: ignore[arg-type]
    return student.look(inputs)
