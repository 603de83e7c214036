"""A picture's size is read from its head as the decoder will see it."""

import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.errors import FrameError
from edgetl_runtime.serving.uploads import (
    MAX_UPLOAD_PIXELS,
    TooManyPixelsError,
    decode_upload,
    read_head,
)

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
FILES = [
    cv2.imencode(".jpg", NOISE)[1].tobytes(),
    cv2.imencode(".jpg", NOISE, PROGRESSIVE)[1].tobytes(),
    cv2.imencode(".jpg", NOISE[:, :, 0])[1].tobytes(),
    cv2.imencode(".png", NOISE)[1].tobytes(),
]

PEAK = """
import resource, sys
from edgetl_runtime.errors import FrameError
from edgetl_runtime.serving.uploads import decode_upload
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(decode_upload(data).shape)
except FrameError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def make_png(width: int, height: int, bits: int, kind: int, channels: int) -> bytes:
    """A black and, with an alpha channel, transparent PNG; a few KB whatever its size."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(height * (1 + width * channels * bits // 8)))),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        png += struct.pack(">I", len(data)) + name + data
        png += struct.pack(">I", zlib.crc32(name + data))
    return png


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory in KiB")
@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ((5000, 5000, 16, 6, 4), "at most 13.6 million pixels"),
        ((5000, 5000, 8, 6, 4), "at most 21.4 million pixels"),
        ((3600, 3600, 16, 6, 4), "(3600, 3600, 3)"),
        ((4600, 4600, 8, 6, 4), "(4600, 4600, 3)"),
    ],
)
def test_no_small_file_makes_a_picture_that_fills_the_memory(picture, said):
    done = subprocess.run(
        [sys.executable, "-c", PEAK], input=make_png(*picture), capture_output=True, check=True
    )
    told, peak_mb = done.stdout.decode().splitlines()
    assert said in told
    # The libraries take some for themselves when first used.
    assert int(peak_mb) < 250


@pytest.mark.parametrize("before", [b"\xff\xdb", b"\xff\xd9"])
def test_a_photo_with_bytes_too_many_is_taken(before):
    data = FILES[0]
    at = data.index(before)
    assert decode_upload(data[:at] + b"123" + data[at:]).shape == NOISE.shape


def test_a_progressive_photo_may_be_no_larger_than_its_coefficients_allow(wording):
    data = bytearray(FILES[1])
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", 5000, 5000)
    with pytest.raises(TooManyPixelsError, match=wording):
        decode_upload(bytes(data))


@pytest.mark.parametrize("data", FILES)
def test_the_size_is_that_of_the_decoded_picture(data):
    assert read_head(data)[:2] == (53, 37)
    assert decode_upload(data).shape == (37, 53, 3)


def test_segments_before_the_size_are_skipped():
    data = FILES[0]
    exif = b"\xff\xe1\x00\x0cExif\0\0\xff\xc0\0\1"
    assert read_head(data[:2] + exif + b"\xff\xff" + data[2:])[:2] == (53, 37)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"BM" * 40])
def test_what_tells_no_size_is_refused(data):
    with pytest.raises(FrameError):
        read_head(data)


@given(
    data=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
)
def test_no_change_of_bytes_gets_a_larger_picture_decoded(data, changes, keep):
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * len(changed))] = value
    try:
        decoded = decode_upload(bytes(changed[: int(keep * len(changed))]))
    except FrameError:
        return
    assert decoded.shape[0] * decoded.shape[1] <= MAX_UPLOAD_PIXELS
