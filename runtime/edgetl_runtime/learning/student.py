"""A variant of a bundle that can learn: its features, and the head that they and lessons make."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.memory import Memory, read_memory
from edgetl_runtime.bundle.opening import open_variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import Engine
from edgetl_runtime.errors import BundleError, LessonError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.learning.learned import Learned, Recalled, Taught, learn, recall
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.overlay_format import Features, Lesson
from edgetl_runtime.system.allotment import default_threads

Tell = Callable[[float, str], None]


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
        loaded = open_variant(bundle, chosen, threads or default_threads(), "features")
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

    def fit(self, lessons: Sequence[Taught]) -> Learned:
        """The head that the file and lessons make together."""
        return learn(self.memory, self.bundle.labels, lessons, self.bundle.manifest.unknown_label)

    def recall(self, lessons: Sequence[Taught]) -> list[Recalled]:
        """What heads that did not see them say of the frames of each lesson."""
        return recall(self.memory, self.bundle.labels, lessons, self.bundle.manifest.unknown_label)


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


def _look_again(overlay: Overlay, lesson: Lesson, student: Student) -> Features:
    """The features of photos that another variant has looked at."""
    inputs = []
    for photo in lesson.photos:
        frame = cv2.imdecode(np.frombuffer(overlay.read(photo), np.uint8), cv2.IMREAD_COLOR)
        if frame is None:
            raise BundleError(f"{overlay.path / photo.file} is not a JPEG")
        inputs.append(student.bundle.manifest.preprocessing.apply(frame))  # type: ignore[arg-type]
    return student.look(inputs)
