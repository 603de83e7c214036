"""The feed that a pipeline takes frames from."""

from typing import Literal, Protocol

import msgspec

from edgetl_runtime.image.frames import CapturedFrame

FeedState = Literal["opening", "delivering", "lost", "frozen", "ended"]


class FeedStatus(msgspec.Struct, frozen=True):
    """How a feed is, at one moment.

    Attributes:
        state: `lost` while the camera is away and will be opened again; `frozen` while it
            delivers one and the same frame; `ended` when a file, folder or pipe is through.
        reason: One sentence on why, empty while delivering.
        size_px: (width, height) that was granted, or None before the first frame.
        fps: That was granted, or None where the source does not tell.
        delivered: Frames that were captured.
        dropped: Frames that were captured and replaced by newer ones before anyone took them.
        bad: Frames that were not frames, by reason, such as `truncated`.
        reconnects: How often the camera was opened again.
        notes: Sentences for people on what of the source is not used, such as a broken image of
            a folder; the first few are named.
        odd: Frames that were taken although something was amiss, by what, such as `extra bytes`
            in a JPEG, of which simplejpeg tells.
        worked_s: Seconds that the capture process worked on its frames: decoding, conversion,
            copying; waiting for the source is left out.
    """

    state: FeedState
    reason: str = ""
    size_px: tuple[int, int] | None = None
    fps: float | None = None
    delivered: int = 0
    dropped: int = 0
    bad: dict[str, int] = {}
    reconnects: int = 0
    odd: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    worked_s: float = 0.0


class FrameFeed(Protocol):
    """Delivers frames to one taker.

    Attributes:
        source: The address.
        live: True for a camera or stream: only the newest frame counts, older ones are dropped.
            False for a file that is read as fast as it is taken: every frame counts.
    """

    source: str
    live: bool

    def take(self, timeout_s: float) -> CapturedFrame | None:
        """The newest frame that was not taken yet, or None if none came in time.

        The frame's pixels stay valid until the next `take` or `close`. While a camera is lost,
        this is also what opens it again, so it must be called again and again.

        Raises:
            CameraError: If the source can never deliver, such as a file that is not there.
        """
        ...

    def status(self) -> FeedStatus:
        """How the feed is; may be called from any thread."""
        ...

    def close(self) -> None:
        """Releases the source within two seconds; a second call does nothing."""
        ...
