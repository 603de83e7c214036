"""A new video with the answers drawn into it."""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import BundleError, EngineError, OptionsError, OutputError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.image.videos import open_file
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.overlay import draw_answer

CODECS: Final = {".avi": "MJPG", ".mp4": "mp4v"}
_USUAL_FPS = 25.0
_SLOWEST_FPS, _FASTEST_FPS = 0.2, 120.0
# So many frames tell the rate at which a camera is answered.
_FRAMES_TO_LEARN = 12
# What is longer than this was an outage: a cut, no still image for hours.
_LONGEST_GAP_S = 2.0
_MUCH_FASTER = 1.05
# OpenCV's writer does not say when the disk is full.
_LEAST_FREE_BYTES = 32 * 2**20
_LOOK_EVERY = 25


class Video(PlainOutput):
    """Writes a video aside and renames it when it is closed, since until then it is not a video.

    The images of a folder follow one another. A video's frames are placed by where they are in
    it, a camera's by their time of capture: the rate is learned from the first ones, and where
    they came slower or faster later, frames are repeated or left out, so that the video lasts as
    long as what it shows.
    """

    name = "video"
    lossless = True

    def __init__(
        self,
        path: Path,
        top: int,
        find_fps: Callable[[], float | None] | None,
        note: Callable[[str], None] = lambda _: None,
        draw_heat_map: Callable[[Frame, str], Frame] | None = None,
    ) -> None:
        """Nothing is written yet.

        Args:
            path: `.avi` (MJPG) or `.mp4` (MPEG-4). An existing file stays; a number is added.
            top: Labels with bars.
            find_fps: Frames a second of answers to a file, once it is open; None: a camera.
            note: Gets a sentence with the name that the video has in the end.
            draw_heat_map: Draws the heat map of a label over a frame, below the answer.
        """
        self._note = note
        self._draw_heat_map = draw_heat_map
        self.path = path
        self._aside = path
        self._held: int | None = None
        self._top, self._find_fps = top, find_fps
        self._waiting: list[tuple[float, Frame]] = []
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._fps = _USUAL_FPS
        self._begin_s = self._last_s = 0.0
        self._frames = 0
        self._is_film = False

    def wants_picture(self) -> bool:
        """Always."""
        return True

    def accepts(self, answer: Answer) -> bool:
        """Answers that have their image."""
        return answer.picture is not None

    def write(self, answer: Answer) -> None:
        """Adds a frame.

        Raises:
            OutputError: If it cannot be written, the disk is nearly full, or a model that has been
                taken into use meanwhile has no heat maps.
        """
        if answer.picture is None:
            return
        if self._held is None:
            self._reserve()
        drawn = draw_answer(self._explain(answer.picture, answer.label), answer, self._top)
        at_s = answer.prediction.captured_s
        if answer.position_s is not None:
            at_s, self._is_film = answer.position_s, True
        if self._writer is None:
            self._waiting.append((at_s, drawn))
            if self._is_placed and len(self._waiting) < _FRAMES_TO_LEARN:
                return
            self._begin()
        else:
            self._add(at_s, drawn)

    def close(self) -> None:
        """Finishes the video and puts it into place.

        Raises:
            OutputError: If it cannot be put there.
        """
        if self._writer is None and self._waiting:
            self._begin()
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            indexed, readable = _look_into(self._aside)
            if readable:
                self.path = _keep(self._aside, self.path)
                self._note(f"the video is {self.path}")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        finally:
            self._let_go()
        if indexed < self._frames:
            kept = "is cut short" if readable else "could not be written"
            raise OutputError(f"{self.path} {kept}; is the disk full?")

    @property
    def _is_placed(self) -> bool:
        """Whether frames are placed by time."""
        return self._is_film or self._find_fps is None

    def _explain(self, picture: Frame, label: str | None) -> Frame:
        # What is unknown has nothing that speaks for it.
        if self._draw_heat_map is None or label is None:
            return picture
        try:
            return self._draw_heat_map(picture, label)
        except OptionsError:
            return picture  # Of a model that was just replaced by one with other labels.
        except (BundleError, EngineError) as error:
            raise OutputError(f"cannot draw a heat map: {error}") from error

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._fps = self._choose_fps([at_s for at_s, _ in waiting])
        height, width = waiting[0][1].shape[:2]
        self._size = (width, height)
        self._begin_s = self._last_s = waiting[0][0]
        self._writer = self._open()
        for at_s, frame in waiting:
            self._add(at_s, frame)

    def _reserve(self) -> None:
        """With the first frame already, so that each one that cannot be written fails."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _keep_abandoned(self.path)
            self._make_aside()
        except OSError as error:
            self._let_go()
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        try:
            self._check_disk()
        except OutputError:
            self._let_go()
            raise

    def _open(self) -> cv2.VideoWriter:
        code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        # FFmpeg takes `10:30.avi` for an address, but none that begins with a slash.
        writer = cv2.VideoWriter(os.path.abspath(self._aside), code, self._fps, self._size)
        if not writer.isOpened():
            self._let_go()
            raise OutputError(
                f"cannot write {self.path}: no permission to write there, or no codec for "
                f"{self.path.suffix}"
            )
        return writer

    def _make_aside(self) -> None:
        # A name that nobody can guess, where others may put a link; OpenCV follows links.
        name = f"{_prefix(self.path)}{secrets.token_hex(8)}"
        self._aside = self.path.with_name(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._held = os.open(self._aside, flags, 0o644)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Named as one of ours only when it is held, so that no other process takes it for left.
        self._aside = self._aside.rename(self.path.with_name(name + self.path.suffix))

    def _let_go(self) -> None:
        """Nothing stays aside."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
            self._aside.unlink(missing_ok=True)

    def _choose_fps(self, times: list[float]) -> float:
        told = self._find_fps() if self._find_fps else None
        if len(times) < 2 or not self._is_placed:
            return told or _USUAL_FPS
        step_s = float(np.median(np.diff(times)))
        learned = min(_FASTEST_FPS, max(_SLOWEST_FPS, 1 / max(step_s, 1e-3)))
        # What a file of a variable rate tells is the mean, at which its fast parts lose frames.
        return told if told and learned < _MUCH_FASTER * told else learned

    def _add(self, at_s: float, frame: Frame) -> None:
        if self._writer is None:
            return
        self._check_disk()
        fitted = _fit(frame, self._size)
        for _ in range(self._count(at_s) if self._is_placed else 1):
            self._writer.write(fitted)
            self._frames += 1

    def _count(self, at_s: float) -> int:
        """How often a frame is written, so that the next one comes at its time."""
        step_s = 1 / self._fps
        gap_s = at_s - self._last_s
        is_outage = not self._is_film and gap_s > max(_LONGEST_GAP_S, 3 * step_s)
        # Where a film begins again, it goes on after its last frame.
        if is_outage or gap_s < 0:
            self._begin_s += gap_s - step_s
        self._last_s = at_s
        # Half a frame of grace, so that a camera's jitter neither repeats nor leaves out any.
        due = int((at_s - self._begin_s) * self._fps + 0.5) + 1
        return max(0, due - self._frames)

    def _check_disk(self) -> None:
        if self._frames % _LOOK_EVERY:
            return
        free = shutil.disk_usage(self.path.parent).free
        if free < _LEAST_FREE_BYTES:
            raise OutputError(
                f"{self.path.parent} has less than {_LEAST_FREE_BYTES >> 20} MiB left; the video "
                "continues when there is space"
            )


def _keep_abandoned(path: Path) -> None:
    """Puts into place, or removes where nothing can be read, what a kill left beside a video.

    Args:
        path: The video that is to be written now.

    Raises:
        OSError: If the folder cannot be read or written.
    """
    ours = re.compile(re.escape(_prefix(path)) + "[0-9a-f]{16}" + re.escape(path.suffix))
    for left in sorted(path.parent.iterdir()):
        if not ours.fullmatch(left.name) or left.is_symlink():
            continue
        with left.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # Another process is at work on it.
            if _look_into(left)[1]:
                _keep(left, path)
            else:
                left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.stem}."


def _keep(aside: Path, path: Path) -> Path:
    """Flushes a video to the disk and gives it its name, or the next one that is free."""
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    free = _find_free(path)
    os.replace(aside, free)
    return free


def _look_into(path: Path) -> tuple[int, bool]:
    """How many frames a video's index lists, and whether there is one to be read.

    OpenCV's writer does not say what it could not write; then there is no index.
    """
    capture = open_file(path)
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), bool(capture.grab())
    finally:
        capture.release()


def _fit(frame: Frame, size: tuple[int, int]) -> Frame:
    """A video has one size: other frames are scaled, with black at two sides."""
    height, width = frame.shape[:2]
    if (width, height) == size:
        return frame
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    small = cv2.resize(frame, inner, interpolation=cv2.INTER_AREA)
    fitted[top : top + inner[1], left : left + inner[0]] = small
    return fitted


def _find_free(path: Path) -> Path:
    """The path, with a number where there is such a file."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
