"""The part of a pipeline that the page uses."""

from typing import Protocol

from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.prediction import Prediction


class Classifying(Protocol):
    """Tells how it is and classifies single images, from any thread."""

    def status(self) -> Status:
        """State and counters; cheap."""
        ...

    def classify(self, picture: Frame) -> Prediction:
        """Classifies one image in the caller's thread.

        Args:
            picture: uint8 (height, width, 3) BGR.

        Raises:
            FrameError: If the image cannot be classified.
            EngineError: If the engine fails.
        """
        ...
