"""Notices a camera that delivers one and the same frame for ever.

A real sensor is never still: noise changes some bits of every frame, whatever it looks at. Frames
that are equal in every bit for seconds are one frame, repeated by a driver or a server.
"""

import time
import zlib

MIN_EQUAL = 5
"""Fewer equal frames prove nothing: a slow camera delivers few in any time."""
_SAMPLED_ROWS = 32


class Stillness:
    """Compares each frame with the one before.

    Attributes:
        frozen: Whether frames have been equal for long enough.
        fingerprint: Of the last frame, where it was worth computing.
    """

    def __init__(self, after_s: float, frozen_before: int | None = None) -> None:
        """Starts watching.

        Args:
            after_s: Frames must be equal for so long; 0 switches the check off.
            frozen_before: Fingerprint of the frame that the camera froze at before it was opened
                again: it still is frozen if it goes on with just this frame.
        """
        self.frozen = frozen_before is not None
        self.fingerprint = frozen_before
        self._after_s = after_s
        self._sample: int | None = None
        self._equal = 0
        self._since_s = time.monotonic()

    def see(self, raw: bytes | memoryview | None, pixels: memoryview, row_bytes: int) -> bool:
        """Looks at a frame; True if `frozen` changed.

        Args:
            raw: The bytes that the frame was decoded from, if any: they are fewer.
            pixels: The frame.
            row_bytes: Length of one of its rows.
        """
        if not self._after_s:
            return False
        now_s = time.monotonic()
        if self._equals_last(raw, pixels, row_bytes):
            self._equal += 1
            enough = self._equal >= MIN_EQUAL and now_s - self._since_s >= self._after_s
            frozen = self.frozen or enough
        else:
            self._equal, self._since_s, frozen = 0, now_s, False
        changed = frozen != self.frozen
        self.frozen = frozen
        return changed

    def _equals_last(
        self, raw: bytes | memoryview | None, pixels: memoryview, row_bytes: int
    ) -> bool:
        if raw is None:
            sample = _sample_rows(pixels, row_bytes)
            if self._sample is not None and sample != self._sample:
                # Some rows differ, which is cheap to see; only equal ones need a closer look.
                self._sample, self.fingerprint = sample, None
                return False
            self._sample = sample
        fingerprint = zlib.crc32(pixels if raw is None else raw)
        equal = fingerprint == self.fingerprint
        self.fingerprint = fingerprint
        return equal


def _sample_rows(pixels: memoryview, row_bytes: int) -> int:
    checksum = 0
    step = max(1, len(pixels) // row_bytes // _SAMPLED_ROWS) * row_bytes
    for start in range(0, len(pixels), step):
        checksum = zlib.crc32(pixels[start : start + row_bytes], checksum)
    return checksum
