"""Frames, and those of image files, folders and videos."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.filetypes import identify
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.image.videos import VideoFile, explain_codec


class CapturedFrame(msgspec.Struct, frozen=True, eq=False):
    """A frame and where and when it was captured.

    Attributes:
        image: uint8 (height, width, 3) BGR.
        source: The file, device or address.
        index: Number of the frame in its source, from 0; gaps are frames dropped as too old, or
            bad.
        captured_s: On the clock of `time.monotonic`, seconds.
        position_s: Where in a video it is, seconds from its first frame; None elsewhere.
        file: The file that it is from; None of a camera, stream or pipe.
        capture_ms: How long the capture process worked on it: decoding, conversion, copying;
            waiting for the source is left out. 0 without such a process.
    """

    image: Frame
    source: str
    index: int
    captured_s: float
    position_s: float | None = None
    file: str | None = None
    capture_ms: float = 0.0

    def age_s(self) -> float:
        """How long ago it was captured, seconds."""
        return time.monotonic() - self.captured_s


def read_frames(
    path: Path, note: Callable[[str], None] = lambda sentence: None
) -> Iterator[CapturedFrame]:
    """Yields the image of an image file, or every frame of a video.

    Which of the two it is, its content says. What is of no known kind is tried as a video.

    Args:
        path: Of the file.
        note: Gets a sentence on each lack of a video that is read all the same.

    Raises:
        FrameError: If the file cannot be read, or is neither.
        CameraError: If the video cannot be opened or holds no frame.
    """
    captured_s = time.monotonic()
    try:
        known = identify(path)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error
    if known.kind == "picture":
        yield CapturedFrame(read_picture(path), str(path), 0, captured_s, file=str(path))
    elif known.kind == "other":
        raise FrameError(f"{path}: {known.refuse('an image or video')}")
    else:
        yield from _read_video(path, note)


def _read_video(path: Path, note: Callable[[str], None]) -> Iterator[CapturedFrame]:
    try:
        video = VideoFile(path)
    except CameraError as error:
        raise CameraError(f"cannot open {path}: {error}") from error
    if lacks := video.describe_lacks():
        note(f"{path}: {lacks}")
    try:
        while video.grab():
            captured_s = time.monotonic()
            ok, image = video.capture.retrieve()
            if not ok:
                note(f"{path}: the frame at {video.position_s:.2f} s cannot be decoded")
            else:
                yield CapturedFrame(
                    image,  # type: ignore[arg-type]
                    str(path),
                    video.index,
                    captured_s,
                    video.position_s,
                    str(path),
                )
        if video.index < 0:
            why = explain_codec(video.capture) or "is the video cut or damaged?"
            raise CameraError(f"{path} has no frames; {why}")
    finally:
        video.close()
    if lack := video.find_lack():
        note(f"{path} {lack.sentence}")
