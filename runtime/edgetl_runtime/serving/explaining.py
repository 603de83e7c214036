"""Heat maps for the page: computed while somebody asks, and at most two a second for all askers."""

import threading
import time
from typing import Final

import msgspec

from edgetl_runtime.errors import FrameError
from edgetl_runtime.serving.classifying import Classifying
from edgetl_runtime.serving.feed import PageFeed

PERIOD_S: Final = 0.5
_FRAME_S: Final = 3.0
# Of labels; one asks for the label that is shown, or for few.
_MOST_KEPT: Final = 16


class Explaining:
    """Explains the newest frame. Each map costs one more run of the model, on an engine aside."""

    def __init__(self, classifying: Classifying, feed: PageFeed) -> None:
        """Computes nothing yet."""
        self._classifying = classifying
        self._feed = feed
        self._turn = threading.Lock()
        self._due_s = 0.0
        self._made: dict[str | None, tuple[float, bytes]] = {}

    def explain(self, label: str | None) -> bytes:
        """The heat map of the newest frame, in the caller's thread, which may have to wait.

        Args:
            label: The class; None: the one with the highest score.

        Returns:
            JSON of a `HeatMapRecord`.

        Raises:
            FrameError: If no frame comes.
            EngineError: If the model has no maps, or the engine fails.
            OptionsError: If the model has no such class.
        """
        with self._turn:
            made_s, data = self._made.get(label, (0.0, b""))
            if time.monotonic() - made_s < PERIOD_S:
                return data
            time.sleep(max(0.0, self._due_s - time.monotonic()))
            self._due_s = time.monotonic() + PERIOD_S
            data = self._compute(label)
            if len(self._made) >= _MOST_KEPT:
                self._made.clear()
            self._made[label] = time.monotonic(), data
            return data

    def _compute(self, label: str | None) -> bytes:
        with self._feed.tapped(0.0) as tap:
            frame = tap.take(_FRAME_S)
        if frame is None:
            raise FrameError("no frame arrived; is the camera connected?")
        return msgspec.json.encode(self._classifying.explain(frame, label))
