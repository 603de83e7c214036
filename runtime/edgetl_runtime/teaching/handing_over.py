"""Lessons for the workstation: their frames in a zip, as `edgetl data import` reads it."""

import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np

from edgetl_runtime.answers import Recorder, answer_alone
from edgetl_runtime.bundle.manifest import StoredFile
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.overlay_format import Lesson
from edgetl_runtime.outputs.collect import FORMAT_VERSION, CollectedFrame
from edgetl_runtime.outputs.quota import spell
from edgetl_runtime.system.storage import staged_file
from edgetl_runtime.teaching.lesson import NOTHING_KNOWN

_TOP: Final = 5
_FIRST_MOMENT: Final = (1980, 1, 1, 0, 0, 0)


def export_lessons(
    overlay: Overlay, target: Path, tell: Callable[[float, str], None] = lambda share, doing: None
) -> tuple[int, list[str]]:
    """Writes the frames of all lessons and what a person said of them.

    Args:
        overlay: The lessons; at least one.
        target: The zip; is replaced.
        tell: Is told of progress.

    Returns:
        How many frames were written, and a sentence for each one that is damaged and left out.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
        StorageError: If the zip cannot be written.
    """
    # What the file says by itself, as with frames that `--collect` keeps.
    classifier = Classifier.open(overlay.bundle_path, overlay=False)
    recorder, count = Recorder(_TOP), 0
    damaged: list[str] = []
    total = sum(lesson.frames for lesson in overlay.lessons)
    with staged_file(target) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        for lesson, frame, data in _read_all(overlay, damaged):
            count += 1
            tell(count / total, f"writing {target.name}")
            answer = answer_alone(frame, classifier(frame.image))
            answer = msgspec.structs.replace(answer, time=lesson.created_utc)
            said = NOTHING_KNOWN if lesson.label is None else lesson.label
            record = CollectedFrame(
                FORMAT_VERSION,
                ("picked",),
                overlay.bundle_sha256,
                recorder.describe(answer),
                corrected_label=said,
            )
            stem = f"{count:09d}_picked_{spell(said)}"
            for name, content in (
                (f"{stem}.jpg", data),
                (f"{stem}.json", msgspec.json.encode(record) + b"\n"),
            ):
                archive.writestr(zipfile.ZipInfo(name, _FIRST_MOMENT), content)
    return count, damaged


def _read_all(
    overlay: Overlay, damaged: list[str]
) -> Iterator[tuple[Lesson, CapturedFrame, bytes]]:
    for lesson in overlay.lessons:
        for n, photo in enumerate(lesson.photos):
            try:
                data, image = _read(overlay, photo)
            except BundleError as error:
                damaged.append(str(error))
                continue
            source = f"lesson {lesson.number}"
            yield lesson, CapturedFrame(image, source, n, time.monotonic()), data


def _read(overlay: Overlay, photo: StoredFile) -> tuple[bytes, Frame]:
    data = overlay.read(photo)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BundleError(f"{overlay.path / photo.file} is not a JPEG")
    return data, image  # type: ignore[return-value]
