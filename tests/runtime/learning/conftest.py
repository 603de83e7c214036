"""A bundle to teach, and drawn things that it was never trained on."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.learning.overlay import NewLesson
from edgetl_runtime.learning.student import Student
from edgetl_runtime.teaching.frames import Collector, Take


@pytest.fixture(scope="session")
def tiny(learning_bundle: Path) -> Path:
    """Instead of the bundle that cannot learn; read only."""
    return learning_bundle


@pytest.fixture
def student(tiny_copy: Path) -> Student:
    return Student.open(tiny_copy)


@pytest.fixture
def take(student: Student) -> Callable[..., Take]:
    def make(frames: list[np.ndarray], *, alike: bool = False) -> Take:
        collector = Collector(alike=alike)
        for frame in frames:
            collector.add(frame, student.bundle.manifest.preprocessing.apply(frame))
        return collector.finish()

    return make


@pytest.fixture
def cross_folder(tmp_path: Path, crosses: list[np.ndarray]) -> Path:
    folder = tmp_path / "crosses"
    folder.mkdir()
    for n, image in enumerate(crosses):
        cv2.imwrite(str(folder / f"{n}.png"), image)
    return folder


@pytest.fixture
def make_lesson() -> Callable[..., NewLesson]:
    def make(label: str | None = "cross", frames: int = 5) -> NewLesson:
        features = np.arange(frames * 16, dtype=np.float32).reshape(frames, 16)
        photos = tuple(b"photo %d" % n for n in range(frames))
        kind = "scene" if label is None else "teach"
        return NewLesson(kind, label, "litert-int8", "2026-01-02T03:04:05.678Z", features, photos)

    return make
