"""Films for a fake camera: motion JPEG, one picture after another."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgetl.drawings import draw_part

HEIGHT_PX, WIDTH_PX = 480, 640


def write_film(target: Path, video: Path | None = None, *, frames: int = 60) -> Path:
    """Writes a film of 640x480, which Chromium shows 30 times a second.

    Args:
        target: To be named .mjpeg, by which Chromium tells the format.
        video: Of what; None is a drawn part that wanders, as without EDGETL_TEST_DATA.
        frames: At most so many.
    """
    pictures = _draw(frames) if video is None else _read(video, frames)
    with target.open("wb") as film:
        for picture in pictures:
            film.write(cv2.imencode(".jpg", picture)[1].tobytes())
    return target


def _draw(frames: int) -> Iterable[npt.NDArray[np.uint8]]:
    part = draw_part("gear", 0, 320)
    for number in range(frames):
        picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 200, np.uint8)
        left = 320 * number // frames
        picture[80:400, left : left + 320] = part
        yield picture


def _read(video: Path, frames: int) -> Iterable[npt.NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(video))
    for _ in range(frames):
        read, picture = capture.read()
        if not read:
            break
        yield cv2.resize(picture, (WIDTH_PX, HEIGHT_PX)).astype(np.uint8, copy=False)
    capture.release()
