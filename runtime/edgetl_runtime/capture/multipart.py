"""Cuts the endless answer of a network camera into its parts."""

from edgetl_runtime.capture.jpeg import MAX_BYTES
from edgetl_runtime.errors import CameraError

_LINE_BYTES = 8192
_JPEG = b"\xff\xd8"
# Up to this many parts in a row that are not images count as notes on the one before.
_BETWEEN = 4
_DIGITS = 20


class PartSplitter:
    """Takes bytes as they come and gives whole parts.

    A part that is not an image by its own header, such as a time stamp, is left out between
    images. Where there are no images it is given, so that the reader can say what it is.

    Attributes:
        begun: Whether some of the next part's data came already.
    """

    def __init__(self, boundary: bytes) -> None:
        """Starts with nothing; `boundary` is what a part's first line should begin with.

        Some servers leave out its dashes, or name another one than they send.
        """
        self._boundary = boundary
        self._is_sure = False
        self._buffer = bytearray()
        self._at_boundary = False
        self._in_data = False
        self._length: int | None = None
        self._searched = 0
        self._is_picture = True
        self._left_out = _BETWEEN

    @property
    def begun(self) -> bool:
        """Whether some of the next part's data came already."""
        return self._in_data and len(self._buffer) > 0

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what came, and returns the parts that are complete.

        Raises:
            CameraError: If a part has no end.
        """
        self._buffer += data
        parts = []
        while (self._in_data or self._read_head()) and (end := self._find_end()) >= 0:
            part = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._in_data = False
            if self._is_wanted(part):
                parts.append(part)
        return parts

    def _is_wanted(self, part: bytes) -> bool:
        if part.startswith(_JPEG):
            self._left_out = 0
        elif not self._is_picture:
            self._left_out += 1
            return self._left_out > _BETWEEN
        return True

    def _read_head(self) -> bool:
        """Skips to the data of a part; False if that has not come yet."""
        while line := self._cut_line():
            if not self._at_boundary:
                self._at_boundary = self._is_boundary(line)
                self._length, self._is_picture = None, True
            elif not line.strip():
                self._at_boundary, self._in_data, self._searched = False, True, 0
                return True
            else:
                self._read_field(line)
        return False

    def _is_boundary(self, line: bytes) -> bool:
        name = line.rstrip()
        bare = self._boundary.lstrip(b"-")
        if not self._is_sure and name and (name.startswith(b"--") or name == bare):
            self._is_sure = True
            # The longer one: `--` alone would be found within an image.
            if not bare or not name.startswith(self._boundary):
                self._boundary = name
        return line.startswith(self._boundary)

    def _read_field(self, line: bytes) -> None:
        name, _, value = (one.strip().lower() for one in line.partition(b":"))
        if name == b"content-type":
            self._is_picture = value.startswith(b"image/")
        # A length that cannot be true is none; the next boundary tells.
        if name == b"content-length" and value.isdigit() and len(value) < _DIGITS:
            self._length = int(value) if int(value) <= MAX_BYTES else None

    def _cut_line(self) -> bytes:
        buffer = self._buffer
        end = buffer.find(b"\n", 0, _LINE_BYTES) + 1
        if not end and len(buffer) >= _LINE_BYTES:
            end = _LINE_BYTES
        line = bytes(buffer[:end])
        del buffer[:end]
        return line

    def _find_end(self) -> int:
        buffer = self._buffer
        if self._length is not None:
            return self._length if len(buffer) >= self._length else -1
        if buffer.startswith(self._boundary):
            return 0
        at = buffer.find(b"\n" + self._boundary, self._searched)
        self._searched = max(0, len(buffer) - len(self._boundary))
        if at < 0 and len(buffer) > MAX_BYTES:
            raise CameraError(f"an image of more than {MAX_BYTES} bytes")
        return at + 1 if at >= 0 else -1
