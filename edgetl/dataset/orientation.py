"""How a camera was held: the EXIF orientation of a JPEG, without decoding it again.

The tag is 0x0112 of the first image directory of the APP1 segment (JEITA CP-3451, 4.6.4 A);
its values 1 to 8 are the eight ways to turn and mirror an image.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_SOI_BYTES = 2
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_TAG = 0x0112
_ENTRY_BYTES = 12


def read_orientation(data: bytes) -> int:
    """The orientation of a JPEG, 1 (upright) to 8; 1 where the file does not say or is wrong."""
    try:
        block = _find_exif(data)
        return _read_tag(block) if block else 1
    except (struct.error, KeyError):
        return 1


def turn_upright(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turns and mirrors (height, width) so that a person sees it as it was."""
    if orientation >= 5:
        picture = picture.T
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture


def _find_exif(data: bytes) -> bytes | None:
    place = _SOI_BYTES
    while True:
        start, kind, length = struct.unpack_from(">BBH", data, place)
        if start != 0xFF or kind == _START_OF_SCAN:
            return None
        content = data[place + 4 : place + 2 + length]
        if kind == _APP1 and content.startswith(_EXIF):
            return content[len(_EXIF) :]
        place += 2 + length


def _read_tag(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}[block[:2]]
    (directory,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, directory)
    for number in range(entries):
        tag, _, _, value = struct.unpack_from(
            f"{order}HHIH", block, directory + 2 + number * _ENTRY_BYTES
        )
        if tag == _TAG:
            return int(value) if 1 <= value <= 8 else 1
    return 1
