"""Where frames come from: picture files, folders, videos and cameras."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import msgspec

from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.pictures import decode_picture
from edgetl_runtime.preprocessing import Frame

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .bmp .dib .webp .tif .tiff .gif .ppm .pgm .pbm .pnm".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mkv .mov .avi .webm .mjpg .mjpeg .mpg .mpeg .ts".split())
_OPEN_TIMEOUT_MS = 10_000
_STALL_S = 10.0


class CapturedFrame(msgspec.Struct, frozen=True, eq=False):
    """A frame and where and when it was captured.

    Attributes:
        image: uint8 (height, width, 3) BGR.
        source: The file, device or address.
        index: Number of the frame in its source, from 0; gaps are frames dropped as too old.
        captured_s: On the clock of `time.monotonic`, seconds.
    """

    image: Frame
    source: str
    index: int
    captured_s: float


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
    capture = _open_capture(str(path))
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


class Camera:
    """A camera, stream or video file of which only the newest frame is kept.

    A reader thread empties the driver's buffers all the time, so that a slow model sees a young
    frame instead of the oldest buffered one. A video file plays at its own speed, as a stand-in
    for a camera.

        with Camera("/dev/video0") as camera:
            for frame in camera: ...
    """

    def __init__(self, source: str, *, size_px: tuple[int, int] | None = None) -> None:
        """Opens the source.

        Args:
            source: Camera number (`0`), device (`/dev/video0`), file or URL.
            size_px: (width, height) to ask a camera for.

        Raises:
            CameraError: If the source is not there.
        """
        self.source = source
        self.dropped = 0
        self._is_file = Path(source).is_file()
        self._capture = _open_capture(source, size_px)
        self._newest: CapturedFrame | None = None
        self._ended = False
        self._failure: str | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Yields the newest frame each time; ends when a video file ends.

        Raises:
            CameraError: If a camera or stream stops delivering.
        """
        while (frame := self._take()) is not None:
            yield frame

    def __enter__(self) -> "Camera":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the camera."""
        self.close()

    def close(self) -> None:
        """Stops the reader and releases the device."""
        self._closing.set()
        self._reader.join(timeout=2.0)
        if not self._reader.is_alive():
            self._capture.release()

    def _take(self) -> CapturedFrame | None:
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._newest or self._ended, timeout=_STALL_S)
            if not arrived:
                raise CameraError(f"{self.source} delivered no frame for {_STALL_S:.0f} s")
            frame, self._newest = self._newest, None
            if frame is None and self._failure:
                raise CameraError(self._failure)
            return frame

    def _read(self) -> None:
        index = 0
        start_s = time.monotonic()
        period_s = 1.0 / (self._capture.get(cv2.CAP_PROP_FPS) or 30.0) if self._is_file else 0.0
        while not self._closing.is_set() and self._capture.grab():
            self._closing.wait(max(0.0, start_s + index * period_s - time.monotonic()))
            captured_s = time.monotonic()
            ok, image = self._capture.retrieve()
            if ok:
                self._put(CapturedFrame(image, self.source, index, captured_s))  # type: ignore[arg-type]
            index += 1
        self._end(index)

    def _put(self, frame: CapturedFrame) -> None:
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = frame
            self._changed.notify()

    def _end(self, frames: int) -> None:
        with self._changed:
            if not self._is_file:
                self._failure = (
                    f"{self.source} stopped delivering after {frames} frames; is it unplugged?"
                )
            elif frames == 0:
                self._failure = f"{self.source} holds no frame; is the video cut or damaged?"
            self._ended = True
            self._changed.notify()


def _open_capture(source: str, size_px: tuple[int, int] | None = None) -> cv2.VideoCapture:
    capture = cv2.VideoCapture()
    try:
        if _is_number(source):
            capture.open(int(source))
        elif source.startswith("/dev/"):
            capture.open(source, cv2.CAP_V4L2)
        else:
            timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS]
            timeouts += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS]
            capture.open(source, cv2.CAP_FFMPEG, timeouts)
    except cv2.error as error:
        raise CameraError(f"cannot open {source}: {error}") from error
    if not capture.isOpened():
        raise CameraError(
            f"cannot open {source}; expected a camera number, /dev/videoN, a video file or a URL "
            "(`v4l2-ctl --list-devices` lists cameras)"
        )
    _configure(capture, source, size_px)
    return capture


def _is_number(source: str) -> bool:
    # OpenCV takes a C int.
    return source.isdecimal() and len(source) <= 9


def _configure(capture: cv2.VideoCapture, source: str, size_px: tuple[int, int] | None) -> None:
    if not (_is_number(source) or source.startswith("/dev/")):
        return
    # MJPG first: in raw YUYV a USB camera gives 720p at some 10 frames a second only.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if size_px:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_px[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_px[1])
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
