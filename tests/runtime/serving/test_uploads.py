"""A picture's size is read from its head as the decoder will see it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.errors import FrameError
from edgetl_runtime.serving.uploads import MAX_PIXELS, decode_upload, read_size

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
FILES = [
    cv2.imencode(".jpg", NOISE)[1].tobytes(),
    cv2.imencode(".jpg", NOISE, PROGRESSIVE)[1].tobytes(),
    cv2.imencode(".jpg", NOISE[:, :, 0])[1].tobytes(),
    cv2.imencode(".png", NOISE)[1].tobytes(),
]


@pytest.mark.parametrize("data", FILES)
def test_the_size_is_that_of_the_decoded_picture(data):
    assert read_size(data) == (53, 37)
    assert decode_upload(data).shape == (37, 53, 3)


def test_segments_before_the_size_are_skipped():
    data = FILES[0]
    exif = b"\xff\xe1\x00\x0cExif\0\0\xff\xc0\0\1"
    assert read_size(data[:2] + exif + b"\xff\xff" + data[2:]) == (53, 37)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"BM" * 40])
def test_what_tells_no_size_is_refused(data):
    with pytest.raises(FrameError):
        read_size(data)


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
    assert decoded.shape[0] * decoded.shape[1] <= MAX_PIXELS
