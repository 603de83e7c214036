"""The part of a pipeline that the page uses."""

from typing import TYPE_CHECKING, Protocol

from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.prediction import Prediction

if TYPE_CHECKING:
    from edgetl_runtime.heatmaps.encoding import HeatMapRecord


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

    def explain(self, picture: Frame, label: str | None = None) -> "HeatMapRecord":
        """Says where in an image the evidence for a class lies, in the caller's thread.

        Args:
            picture: uint8 (height, width, 3) BGR.
            label: The class (default: the one with the highest score).

        Raises:
            EngineError: If the model has no maps, or the engine fails.
            OptionsError: If the model has no such class.
        """
        ...
