"""The type of a stream by its first bytes, if it is not the expected JPEGs."""

import re

from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.filetypes import judge_data

ENOUGH_BYTES = 4096
"""So much tells what is known here."""
_JPEG = b"\xff\xd8\xff"
_LEAST_BYTES = 512
_MOST_BYTES = 64 * 1024
_QUOTED = 80
# Of what a program tells; raw pixels of a dark or even image are letters without an end.
_LONGEST_LINE = 400
_PLAIN_JPEG = re.compile(rb"\xff\xd8\xff[\xc0\xc2\xdb\xe0-\xef\xfe]")
# Beginnings that no image of raw pixels has by chance.
_PLAIN = re.compile(
    rb"\x89PNG\r\n\x1a\n|RIFF....(?:AVI |WAVE)|....ftyp"
    rb"|\x1aE\xdf\xa3|YUV4MPEG2|\0\0\0\x01[\x27\x67][\x42\x4d\x58\x64\x6e\x7a\xf4]"
    rb"|\0\0\0\x01\x40\x01\x0c|\0\0\0\x01\x09[\x10\x30\xf0]\0\0|(?i:<!doctype html|<html)",
    re.DOTALL,
)
MAKE_JPEGS = "ffmpeg -i - -f mjpeg -q:v 3 -"
_REMEDIES = {
    "video": f"convert it to JPEGs with FFmpeg (`... | {MAKE_JPEGS} | edgetl-run ...`)",
    "picture": f"save it and give the file's name, or `... | {MAKE_JPEGS} | edgetl-run ...`",
}
_FOR_RPICAM = "; rpicam-vid makes JPEGs itself with `--codec mjpeg`"


class Greeting:
    """Looks at what a stream of JPEGs begins with, until it is plain what it is."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._head = bytearray()
        self._judged = False

    def feed(self, data: bytes) -> None:
        """Takes what came next; none at the end.

        Raises:
            CameraError: If it is not a stream of JPEGs; says what it is, and what to do.
        """
        if self._judged:
            return
        self._head += data
        if _JPEG in self._head:
            self._judged = True
        elif not data or len(self._head) >= _LEAST_BYTES:
            self._judge(ended=not data)

    def _judge(self, ended: bool) -> None:
        head = bytes(self._head)
        if not head:
            raise CameraError(
                "nothing arrived; does the program before the | start, and does it write to its "
                "standard output (`-o -`)?"
            )
        described = describe(head)
        if described:
            raise CameraError(f"{described}; expected consecutive JPEGs")
        if ended or len(head) >= _MOST_BYTES:
            raise CameraError(
                f"the data is of an unknown type (it begins with {head[:8].hex(' ')}); expected "
                "consecutive JPEGs, or raw frames with --format and --size"
            )


def describe(head: bytes) -> str:
    """The type of a stream and what to do, as a clause; empty if it is unknown.

    Args:
        head: Its first bytes.
    """
    known = judge_data(head[:ENOUGH_BYTES])
    if known.kind == "unknown":
        return ""
    if known.name == "a text file":
        if not 0 < len(_find_line(head)) <= _LONGEST_LINE:
            return ""
        return f'the data is text: "{quote_line(head)}"'
    rpicam = _FOR_RPICAM if "H.264" in known.name else ""
    remedy = _REMEDIES.get(known.kind, known.remedy)
    return f"the data is {known.name}{'; ' if remedy else ''}{remedy}{rpicam}"


def is_plain(head: bytes) -> bool:
    """Whether the first bytes are those of a known format, and certainly no raw pixels."""
    return is_jpeg(head) or _PLAIN.match(head) is not None


def is_jpeg(head: bytes) -> bool:
    """Whether the first bytes are those of a JPEG, and certainly no raw pixels."""
    return _PLAIN_JPEG.match(head) is not None


def _find_line(head: bytes) -> str:
    lines = head.decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in lines if line.strip()), "")


def quote_line(head: bytes) -> str:
    """The first line that says something, such as the error that a program or server told."""
    first = _find_line(head)
    shown = "".join(one for one in first if one.isprintable())
    return shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}..."
