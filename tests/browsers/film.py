"""Films for the fake camera of Chromium: YUV4MPEG2, uncompressed.

Not motion JPEG: Chromium takes its full range of levels for the narrow one of video.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgetl.drawings import draw_part

HEIGHT_PX, WIDTH_PX = 480, 640
HEADER = f"YUV4MPEG2 W{WIDTH_PX} H{HEIGHT_PX} F30:1 Ip A1:1 C420jpeg\n".encode()


def write_film(target: Path, video: Path | None = None, *, frames: int = 30) -> Path:
    """Writes a film of 640x480, which Chromium shows 30 times a second, over and over.

    Args:
        target: To be named .y4m, by which Chromium tells the format.
        video: Of what; None is a drawn part that wanders, as without EDGETL_TEST_DATA.
        frames: At most so many, of 460 kB each.
    """
    pictures = draw_film(frames) if video is None else _read(video, frames)
    with target.open("wb") as film:
        film.write(HEADER)
        for picture in pictures:
            film.write(b"FRAME\n")
            film.write(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes())
    return target


def draw_film(frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    """BGR pictures, uint8, 480x640, of a part that wanders from left to right."""
    part = draw_part("gear", 0, 320)
    for number in range(frames):
        picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 200, np.uint8)
        left = 320 * number // frames
        picture[80:400, left : left + 320] = part
        yield picture


def _read(video: Path, frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(video))
    for _ in range(frames):
        read, picture = capture.read()
        if not read:
            break
        yield cv2.resize(picture, (WIDTH_PX, HEIGHT_PX)).astype(np.uint8, copy=False)
    capture.release()
