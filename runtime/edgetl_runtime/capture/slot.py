"""The newest frame, shared by two processes without a copy and without a queue.

Two anonymous files hold it: one with the pixels of three slots, one with a few numbers about
them. Nothing has a name, so nothing is left behind however either side dies. Of the three slots
one is held by the reader, one is the newest frame that nobody took yet, and the writer always has
a third. The few instructions that change these roles are guarded by a lock that the kernel
releases when its holder dies.

Uses the standard library only: the writer may run on another Python than the reader.
"""

import fcntl
import math
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from edgetl_runtime.capture.source import BadFrame
from edgetl_runtime.image.limits import MAX_PIXELS

_SLOTS = 3
_NOBODY = -1
_ROLES = struct.Struct("=qqqqq")  # newest, held, delivered, dropped, worked_ns
# number, captured_ns, published_ns, height, width, worked_ns, position_s (NaN: none), file (empty:
# none)
_LABEL = struct.Struct("=qqqqqqd4096s")
_HEADER_BYTES = 4 * max(4096, mmap.PAGESIZE)
# Room for the largest frame; pages that are never touched cost nothing.
_STRIDE = -(-3 * MAX_PIXELS // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
_LOCK_PAUSE_S = 0.0002


class SlotFrame(NamedTuple):
    """A frame that the reader holds.

    Attributes:
        number: In its source, from 0.
        captured_ns: On the clock of `time.monotonic_ns`.
        published_ns: When the writer had finished it, on the same clock.
        height: In pixels.
        width: In pixels.
        pixels: height * width * 3 bytes, read only: rows of B, G, R levels.
        worked_ns: How long the writer worked on it.
        position_s: Where in a video it is, seconds; None elsewhere.
        file: The file that it is from; None of a camera, stream or pipe. Bytes that are not UTF-8
            are escaped.
    """

    number: int
    captured_ns: int
    published_ns: int
    height: int
    width: int
    pixels: memoryview
    worked_ns: int = 0
    position_s: float | None = None
    file: str | None = None


class Slots:
    """Three slots and who has which; one process writes, one other reads."""

    def __init__(self, header_fd: int, pixels_fd: int, *, writes: bool) -> None:
        """Maps the files, whose descriptors it owns from then on."""
        self.descriptors = (header_fd, pixels_fd)
        # Mapped once and as long as it is used: closing any descriptor of a file drops its locks.
        self._header = mmap.mmap(header_fd, _HEADER_BYTES)
        self._access = mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ
        self._maps: dict[int, mmap.mmap] = {}
        self._drawn = (0, 0, 0)  # slot, height, width of the last buffer

    @classmethod
    def create(cls) -> "Slots":
        """The reader's side of new, empty slots.

        Raises:
            OSError: If the system gives no memory or no temporary file.
        """
        with ExitStack() as undo:
            header_fd = _anonymous_file(_HEADER_BYTES, undo)
            pixels_fd = _anonymous_file(_SLOTS * _STRIDE, undo)
            slots = cls(header_fd, pixels_fd, writes=False)
            undo.pop_all()
        _ROLES.pack_into(slots._header, 0, _NOBODY, _NOBODY, 0, 0, 0)
        return slots

    def buffer(self, height: int, width: int) -> memoryview:
        """Room for a frame that the next `publish` hands over; for the writer.

        Raises:
            BadFrame: If the frame is empty or larger than a slot.
        """
        if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
            raise BadFrame("too large" if height > 0 and width > 0 else "empty")
        with self._locked(None):
            newest, held, *_ = _ROLES.unpack_from(self._header)
        free = next(slot for slot in range(_SLOTS) if slot not in (newest, held))
        # The reader may give back its slot meanwhile, but takes none but the newest.
        self._drawn = (free, height, width)
        return self._view(free, 3 * height * width)

    def drawn(self) -> tuple[memoryview, int]:
        """The last buffer, and the length of its rows in bytes."""
        slot, height, width = self._drawn
        return self._view(slot, 3 * height * width), 3 * width

    def publish(
        self,
        number: int,
        captured_ns: int,
        skipped: int = 0,
        position_s: float | None = None,
        file: str | None = None,
        worked_ns: int = 0,
    ) -> None:
        """Makes the last buffer the newest frame.

        Args:
            number: In its source.
            captured_ns: On the clock of `time.monotonic_ns`.
            skipped: Frames before it that were given up as too late; counted as dropped.
            position_s: Where in a video it is, seconds.
            file: The file that it is from.
            worked_ns: How long the writer worked on it.
        """
        slot, height, width = self._drawn
        label = (number, captured_ns, time.monotonic_ns(), height, width, worked_ns)
        place = math.nan if position_s is None else position_s
        name = os.fsencode(file or "")
        _LABEL.pack_into(self._header, _label_at(slot), *label, place, name)
        with self._locked(None):
            newest, held, delivered, dropped, worked = _ROLES.unpack_from(self._header)
            dropped += skipped + (newest != _NOBODY)
            counts = (delivered + skipped + 1, dropped, worked + worked_ns)
            _ROLES.pack_into(self._header, 0, slot, held, *counts)

    def take(self, timeout_s: float) -> SlotFrame | None:
        """Holds the newest frame and gives back the one before; for the reader.

        Returns:
            None if there is no new frame, or if the writer stopped for longer than `timeout_s`
            in the middle of a change.
        """
        try:
            with self._locked(timeout_s):
                newest, _, *counts = _ROLES.unpack_from(self._header)
                if newest == _NOBODY:
                    return None
                _ROLES.pack_into(self._header, 0, _NOBODY, newest, *counts)
        except TimeoutError:
            return None
        label = _LABEL.unpack_from(self._header, _label_at(newest))
        number, captured_ns, published_ns, height, width, worked_ns, place, name = label
        pixels = self._view(newest, 3 * height * width)
        position_s = None if math.isnan(place) else place
        file = name.rstrip(b"\0").decode("utf-8", "backslashreplace") or None
        times = (captured_ns, published_ns)
        return SlotFrame(number, *times, height, width, pixels, worked_ns, position_s, file)

    def counters(self) -> tuple[int, int]:
        """How many frames were delivered, and how many of them dropped."""
        _, _, delivered, dropped, _ = _ROLES.unpack_from(self._header)
        return delivered, dropped

    def worked_ns(self) -> int:
        """How long the writer worked on all frames that it handed over."""
        *_, worked_ns = _ROLES.unpack_from(self._header)
        return int(worked_ns)

    def close(self) -> None:
        """Lets go of the memory; pixels that someone still looks at stay valid until then."""
        self._maps.clear()
        self._header.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    def _view(self, slot: int, size: int) -> memoryview:
        mapped = self._maps.get(slot)
        if mapped is None or len(mapped) < size:
            mapped = mmap.mmap(
                self.descriptors[1], size, access=self._access, offset=slot * _STRIDE
            )
            self._maps[slot] = mapped
        return memoryview(mapped)[:size]

    @contextmanager
    def _locked(self, timeout_s: float | None) -> Iterator[None]:
        descriptor = self.descriptors[0]
        if timeout_s is None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        else:
            _lock_in_time(descriptor, timeout_s)
        try:
            yield
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _label_at(slot: int) -> int:
    return _ROLES.size + slot * _LABEL.size


def _lock_in_time(descriptor: int, timeout_s: float) -> None:
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= give_up_s:
                raise TimeoutError from error
        time.sleep(_LOCK_PAUSE_S)


def _anonymous_file(size: int, undo: ExitStack) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edgetl")
    else:
        descriptor, name = tempfile.mkstemp(prefix="edgetl")
        os.unlink(name)
    undo.callback(os.close, descriptor)
    os.ftruncate(descriptor, size)
    return descriptor
