"""A video file: its frames, upright, and where in the video each of them is."""

import os
import re
from pathlib import Path

import cv2
import msgspec

from edgetl_runtime.errors import CameraError
from edgetl_runtime.text.wording import count_noun

DEFAULT_FPS = 25.0
_FPS_LIMIT = 1000.0
# Two frames are not further apart than this, whatever a container says: some tell nonsense.
_LONGEST_STEP_S = 3600.0
# Of the frames that a file promises; the last few may be missing in a good one.
_WHOLE = 0.9
# OpenCV calls a packet that it cannot decode the end; so often it is asked what follows.
_TRIES = 100
# Not in every version.
_PTS = getattr(cv2, "CAP_PROP_PTS", -1)
# Streams without a container, as FFmpeg calls them, which hold no times.
_BARE = ("h264", "hevc")
# Codecs that OpenCV's wheels name, but often cannot decode.
_UNCERTAIN_CODECS = {"AV01": "AV1", "vvc1": "H.266", "vvi1": "H.266"}
_CONVERT = "convert it to H.264 (`ffmpeg -i IN -c:v libx264 OUT.mp4`)"
# What sort a track is: in an MP4, in an AVI, in Matroska, and in Ogg.
_SOUND = re.compile(
    rb"hdlr.{8}soun|strh.{4}auds|\x86[\x80-\xff]A_[A-Z]|^OggS.{24,34}(\x01vorbis|OpusHead|\x7fFLAC)",
    re.DOTALL,
)
_PICTURES = re.compile(rb"hdlr.{8}vide|strh.{4}vids|\x86[\x80-\xff]V_[A-Z]|\x80theora", re.DOTALL)
_LOOKED_BYTES = 1 << 20
# A decoder in hardware may give other pixels, or none; OpenCV plans to take one by itself.
_ASKED = (cv2.CAP_PROP_HW_ACCELERATION, int(cv2.VIDEO_ACCELERATION_NONE))


class Lack(msgspec.Struct, frozen=True):
    """The missing part of a video.

    Attributes:
        reason: One or two words, out of a small set.
        sentence: For people; the file's name goes before it.
    """

    reason: str
    sentence: str


class VideoFile:
    """A video that is read once, frame by frame.

    Attributes:
        capture: OpenCV's; after `grab`, for `retrieve`.
        fps: Frames a second as the file says; 25 where it says nothing.
        size_px: (width, height) of an upright frame.
        index: Number of the grabbed frame, from 0; -1 before the first.
        position_s: Of the grabbed frame, seconds from the first one's.
        step_s: From the frame before to the grabbed one.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens the file with OpenCV's FFmpeg, which is in every wheel of OpenCV.

        Raises:
            CameraError: If it is not a video, or a damaged one.
        """
        self.capture = open_file(path)
        if not self.capture.isOpened():
            raise CameraError(_explain_refusal(path))
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= _FPS_LIMIT else DEFAULT_FPS
        width = self.capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = self.capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        self.size_px = (int(width), int(height))
        self.index = -1
        self.position_s = 0.0
        self.step_s = 1 / self.fps
        self._first_s = 0.0
        self._began_s = 0.0
        self._damaged_s: float | None = None
        self._frames = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)

    @property
    def is_last(self) -> bool:
        """Whether the grabbed frame is the last one, as far as the file says."""
        return 0 < self._frames <= self.index + 1

    def grab(self) -> bool:
        """Goes to the next frame; False if there is none."""
        failures = next((n for n in range(_TRIES) if self.capture.grab()), _TRIES)
        if failures == _TRIES:
            return False
        if failures and self._damaged_s is None:
            self._damaged_s = self.position_s
        self.index += 1
        told_s = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self.index == 0:
            self._first_s = told_s
            self._began_s = self.capture.get(_PTS) / self.fps
        else:
            self._advance(told_s - self._first_s)
        return True

    def find_lack(self) -> Lack | None:
        """After the last frame: what is missing, as far as the file says."""
        read = self.index + 1
        if self._is_short():
            whole = count_noun(round(self._frames), "frame")
            sentence = f"ends after {read} of {whole}; is it cut or damaged?"
            return Lack("cut short", sentence)
        if self._damaged_s is not None:
            of = f" of {self._frames:.0f}" if self._frames >= read else ""
            sentence = f"is damaged after {self._damaged_s:.2f} s; {read}{of} frames could be read"
            return Lack("damaged", sentence)
        return None

    def _is_short(self) -> bool:
        """Some containers count frames by duration and rate, so that both must fall short."""
        promised_s = self._frames / self.fps
        # A part of a longer recording may keep its time, from which Matroska counts its duration.
        if 0 < self._began_s < promised_s:
            promised_s -= self._began_s
        read_s = self.position_s + self.step_s
        return self.index + 1 < _WHOLE * self._frames and read_s < _WHOLE * promised_s

    def describe_lacks(self) -> str:
        """What had to be assumed about the file, as a clause; empty if nothing."""
        if _read_codec(self.capture) not in _BARE or self._frames > 0:
            return ""
        return f"it has no timestamps, so positions assume {self.fps:g} frames per second"

    def close(self) -> None:
        """Closes the file."""
        self.capture.release()

    def _advance(self, told_s: float) -> None:
        """The container's time counts; a bare stream has none, and damaged ones jump."""
        believable = self.position_s < told_s <= self.position_s + _LONGEST_STEP_S
        position_s = told_s if believable else self.position_s + 1 / self.fps
        self.step_s = position_s - self.position_s
        self.position_s = position_s


def explain_codec(capture: cv2.VideoCapture) -> str:
    """Why not a single frame was decoded, if the codec may be why; else nothing."""
    name = _UNCERTAIN_CODECS.get(_read_codec(capture))
    return f"this OpenCV cannot decode its codec, {name}; {_CONVERT}" if name else ""


def _read_codec(capture: cv2.VideoCapture) -> str:
    """Four letters, such as `h264`; empty where OpenCV tells none."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return code.to_bytes(4, "little").decode("latin-1") if code > 0 else ""


def _explain_refusal(path: str | Path) -> str:
    with open(path, "rb") as file:
        looked = file.read(_LOOKED_BYTES)
        # The table of an MP4's tracks may lie at its end.
        file.seek(max(file.tell(), os.fstat(file.fileno()).st_size - _LOOKED_BYTES))
        looked += file.read(_LOOKED_BYTES)
    if _SOUND.search(looked) and not _PICTURES.search(looked):
        return "it contains sound only, no video"
    return "OpenCV's FFmpeg cannot read it, or it is damaged"


def open_file(path: str | Path) -> cv2.VideoCapture:
    """Opens a file under a name that tells nothing.

    Of a name, FFmpeg takes `http:host` for an address, `file:a` for another file, and `a.jpg` for
    a single image, whatever is in it.

    Raises:
        CameraError: If OpenCV fails; a file that it cannot read is returned unopened.
    """
    try:
        with open(path, "rb") as file:
            nameless = f"/dev/fd/{file.fileno()}"
            return open_capture(nameless if os.path.exists(nameless) else os.path.abspath(path))
    except OSError as error:
        raise CameraError(f"unreadable ({error.strerror or error})") from error


def open_capture(address: str, *parameters: int) -> cv2.VideoCapture:
    """Opens a file or stream with FFmpeg; what a version decides by itself is decided here.

    Args:
        address: A path or URL.
        parameters: Further properties, each before its value.

    Raises:
        CameraError: If OpenCV fails; one that it cannot read is returned unopened.
    """
    try:
        address.encode()
    except UnicodeEncodeError as error:
        # OpenCV would crash.
        raise CameraError("its name is not UTF-8; rename it") from error
    capture = cv2.VideoCapture()
    try:
        capture.open(address, cv2.CAP_FFMPEG, [*_ASKED, *parameters])
    except cv2.error as error:
        raise CameraError(f"OpenCV cannot open it: {error.err}") from error
    # A phone's upright video lies on its side in OpenCV 4.11 unless asked for; others turn it.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture
