"""Brings a grabbed frame of OpenCV into the shared memory."""

import cv2
import numpy as np

from edgetl_runtime.capture.source import FrameBuffer


def retrieve_into(capture: cv2.VideoCapture, buffer: FrameBuffer, size_px: tuple[int, int]) -> bool:
    """Decodes the grabbed frame straight into the buffer, if it has the expected size.

    A source may change its size at any time; then the frame is copied.

    Args:
        capture: After a successful `grab`.
        buffer: Gives the memory.
        size_px: Expected (width, height).

    Returns:
        False if the frame cannot be decoded to 8-bit colours.
    """
    width, height = size_px
    pixels = np.frombuffer(buffer(height, width), np.uint8) if width > 0 and height > 0 else None
    expected = None if pixels is None else pixels.reshape(height, width, 3)
    ok, frame = capture.retrieve(expected)
    if not ok or frame is None or frame.ndim != 3 or frame.shape[2] != 3:
        return False
    if frame is not expected:
        np.frombuffer(buffer(*frame.shape[:2]), np.uint8)[:] = frame.reshape(-1)
    return True
