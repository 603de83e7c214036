"""Frames, and those of picture files, folders and videos."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec

from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.pictures import decode_picture
from edgetl_runtime.preprocessing import Frame

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .bmp .dib .webp .tif .tiff .gif .ppm .pgm .pbm .pnm".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mkv .mov .avi .webm .mjpg .mjpeg .mpg .mpeg .ts".split())


class CapturedFrame(msgspec.Struct, frozen=True, eq=False):
    """A frame and where and when it was captured.

    Attributes:
        image: uint8 (height, width, 3) BGR.
        source: The file, device or address.
        index: Number of the frame in its source, from 0; gaps are frames dropped as too old, or
            bad.
        captured_s: On the clock of `time.monotonic`, seconds.
    """

    image: Frame
    source: str
    index: int
    captured_s: float

    def age_s(self) -> float:
        """How long ago it was captured, seconds."""
        return time.monotonic() - self.captured_s


def read_frames(path: Path) -> Iterator[CapturedFrame]:
    """Yields the picture of a picture file, or every frame of a video.

    Raises:
        FrameError: If the file is no picture.
        CameraError: If the video cannot be opened or holds no frame.
    """
    captured_s = time.monotonic()
    try:
        data = b"" if path.suffix.lower() in VIDEO_SUFFIXES else path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: unreadable ({error.strerror or error})") from error
    if path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _video_frames(path)
        return
    try:
        yield CapturedFrame(decode_picture(data), str(path), 0, captured_s)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error


def find_files(path: Path) -> list[Path]:
    """The picture and video files of a folder and its sub-folders, sorted; a file is itself.

    Raises:
        FrameError: If the path does not exist or the folder has none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FrameError(f"{path} does not exist; give a picture, a folder or a video")
    known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in known]
    visible = [file for file in files if file.is_file() and not file.name.startswith(".")]
    if not visible:
        raise FrameError(f"{path} holds no picture and no video")
    return visible


def _video_frames(path: Path) -> Iterator[CapturedFrame]:
    capture = _open_video(path)
    index = 0
    try:
        while capture.grab():
            captured_s = time.monotonic()
            ok, image = capture.retrieve()
            if ok:
                yield CapturedFrame(image, str(path), index, captured_s)  # type: ignore[arg-type]
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise CameraError(f"{path} holds no frame; is the video cut or damaged?")


def _open_video(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture()
    try:
        capture.open(str(path), cv2.CAP_FFMPEG)
    except cv2.error as error:
        raise CameraError(f"cannot open {path}: {error}") from error
    if not capture.isOpened():
        raise CameraError(f"cannot open {path}: it is no video, or a damaged one")
    return capture
