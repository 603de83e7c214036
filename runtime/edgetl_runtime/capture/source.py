"""The protocol of a source of frames, inside the capture process.

Uses the standard library only, as everything that a source on the system's Python needs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from edgetl_runtime.errors import FrameError

FrameBuffer = Callable[[int, int], memoryview]
"""(height, width) -> where the frame goes: height * width * 3 bytes, rows of B, G, R levels."""
Options = dict[str, Any]
"""What a source is opened with: the fields of `address.SourcePlan.options`."""


class BadFrame(FrameError):
    """Data that is not a frame; the next may be one.

    Attributes:
        reason: One or two words, out of a small set, such as `truncated`.
        note: A sentence for people, which names the input; empty where there is nothing to name.
    """

    def __init__(self, reason: str, note: str = "") -> None:
        """Keeps the reason, which is also the message."""
        super().__init__(reason)
        self.reason = reason
        self.note = note


class Granted(NamedTuple):
    """The properties that an opened source reports.

    Attributes:
        size_px: (width, height), or None if it does not tell.
        fps: None if it does not tell.
        notes: Sentences for people on what of it is not used.
    """

    size_px: tuple[int, int] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()


class RawFrame(NamedTuple):
    """A frame that was written to the buffer.

    Attributes:
        captured_ns: On the clock of `time.monotonic_ns`.
        raw: The bytes that it was decoded from, if there were any.
        skipped: Frames before it that were given up as too late.
        position_s: Where in a video it is, seconds from its first frame; None elsewhere.
        file: The file that it is from; None of a camera, stream or pipe.
        odd: What was amiss with it although it is a frame, such as `extra bytes`; else empty.
        waited_ns: How long `read` waited for the source; the rest of its time is work: decoding,
            conversion, copying.
    """

    captured_ns: int
    raw: bytes | memoryview | None = None
    skipped: int = 0
    position_s: float | None = None
    file: str | None = None
    odd: str = ""
    waited_ns: int = 0


class Source(Protocol):
    """Delivers frames one by one; each call may block for as long as the hardware likes.

    A module in `sources/` has a function `make(options) -> Source`.
    """

    def open(self) -> Granted:
        """Gets hold of the source.

        Raises:
            CameraError: If that cannot be.
        """
        ...

    def read(self, buffer: FrameBuffer) -> RawFrame | None:
        """Waits for the next frame and writes it to the buffer; None at the end.

        Raises:
            BadFrame: If what came is not a frame.
            CameraError: If nothing will come any more.
        """
        ...

    def close(self) -> None:
        """Lets go of the source."""
        ...
