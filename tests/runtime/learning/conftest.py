"""A bundle to teach, and drawn things that it was never trained on."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.learning.overlay import NewLesson
from edgetl_runtime.learning.student import Student
from edgetl_runtime.teaching.frames import Collector, Take

SIZE_PX = 72


def draw_cross(seed: int) -> np.ndarray:
    """A cross before a gray wall, uint8 BGR."""
    random = np.random.default_rng(seed)
    wall = int(random.integers(150, 230)) + random.normal(0, 4, (SIZE_PX, SIZE_PX, 3))
    image = wall.clip(0, 255).astype(np.uint8)
    color = tuple(int(level) for level in random.integers(20, 90, 3))
    x, y = (int(place) for place in random.integers(26, 46, 2))
    arm = int(random.integers(18, 26))
    for side in (1, -1):
        cv2.line(image, (x - arm, y - side * arm), (x + arm, y + side * arm), color, 9)
    return image


def draw_scene(seed: int) -> np.ndarray:
    """Stripes, as of a bench from above, uint8 BGR; they hardly move."""
    random = np.random.default_rng(seed)
    rows = (np.arange(SIZE_PX) // 3 % 2 * 160 + 40)[:, None, None]
    noise = random.normal(0, 3, (SIZE_PX, SIZE_PX, 3))
    return (rows + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny() -> Path:
    """As the committed bundle, with hidden outputs and memories; read only."""
    return Path(__file__).parents[2] / "data" / "learning.bundle"


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
def crosses() -> list[np.ndarray]:
    return [draw_cross(seed) for seed in range(20)]


@pytest.fixture
def others() -> list[np.ndarray]:
    """Crosses that nobody teaches."""
    return [draw_cross(seed) for seed in range(100, 120)]


@pytest.fixture
def scene() -> list[np.ndarray]:
    return [draw_scene(seed) for seed in range(12)]


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
