"""Whatever a picture's bytes are, they end in a frame that is classified or in our own error."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture

NOISY = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
FORMATS = {
    name: cv2.imencode(name, cv2.GaussianBlur(NOISY, (9, 9), 0))[1].tobytes()
    for name in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm")
}


@pytest.fixture(scope="module")
def classifier(tiny) -> Classifier:
    return Classifier.open(tiny)


@given(
    name=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))),
    keep=st.floats(0.01, 1),
    tail=st.binary(max_size=40),
)
def test_a_damaged_picture_is_classified_or_refused(classifier, name, changes, keep, tail):
    data = bytearray(FORMATS[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        frame = decode_picture(bytes(data[: int(keep * len(data))]) + tail)
    except FrameError:
        return
    assert np.isfinite(classifier(frame).scores).all()


@given(
    shape=st.lists(st.integers(0, 70), max_size=4).map(tuple),
    kind=st.sampled_from(["uint8", "uint16", "float32", "bool", "int64"]),
)
def test_an_array_of_any_shape_is_classified_or_refused(classifier, shape, kind):
    try:
        prediction = classifier(np.zeros(shape, kind))
    except FrameError:
        return
    assert np.isfinite(prediction.scores).all()
