"""Explains a model's answers: from a frame to the heat map of a class."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.heatmaps.drawing import draw_heat_map
from edgetl_runtime.heatmaps.heat_map import HeatMap, make_cells
from edgetl_runtime.image.preprocessing import Frame, Preprocessing
from edgetl_runtime.prediction import Scores, calibrate

if TYPE_CHECKING:
    from edgetl_runtime.engines.hidden_outputs import Seen


class Explainer:
    """Explains the answers of one model. Threads may share it; they take turns.

    Attributes:
        labels: The classes, in the order of the head.
        preprocessing: From frame to the model's input.
        head: Its dense layer.
    """

    def __init__(
        self,
        look: "Callable[[Frame], Seen]",
        head: Head,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        temperature: float = 1.0,
        score: "Callable[[Seen], Scores] | None" = None,
    ) -> None:
        """Combines an engine and a head; `Classifier.explain` does so on the device.

        Args:
            look: Runs the model: `Engine.look` of an engine that was opened with `reveal="maps"`.
            head: Of this very file.
            labels: Of the head's outputs.
            preprocessing: Of the model.
            temperature: Of the model's scores.
            score: Makes the scores from what the engine returned, float32, those of the classes
                first (default: the model's own).
        """
        self.labels, self.preprocessing = tuple(labels), preprocessing
        self.head = head
        self._look, self._temperature = look, temperature
        self._score = score or (lambda seen: calibrate(seen.scores, temperature))
        self._running = threading.Lock()

    def replace_head(
        self,
        head: Head,
        labels: Sequence[str],
        score: "Callable[[Seen], Scores] | None" = None,
    ) -> "Explainer":
        """The same network under another head, such as one that has learned a class.

        Args:
            head: For the same features.
            labels: Of its outputs.
            score: Makes the scores of these labels (default: those of the model, for the classes
                that it has).
        """
        return Explainer(
            self._look, head, labels, self.preprocessing, self._temperature, score or self._score
        )

    def explain(self, frame: Frame, label: str | None = None) -> HeatMap:
        """Computes where the evidence for a class lies.

        Args:
            frame: uint8 (height, width, 3) BGR, or as `Preprocessing.apply` takes it.
            label: The class (default: the one with the highest score).

        Raises:
            EngineError: If the engine fails.
            FrameError: If the frame has another dtype or shape.
            OptionsError: If the model has no such class.
        """
        return self.explain_several(frame, [label])[0]

    def explain_several(self, frame: Frame, labels: Sequence[str | None]) -> list[HeatMap]:
        """Computes the heat maps of several classes, for which the model runs once.

        Args:
            frame: As for `explain`.
            labels: Each as for `explain`.

        Raises:
            EngineError: If the engine fails.
            FrameError: If the frame has another dtype or shape.
            OptionsError: If the model has no such class.
        """
        chosen = [None if label is None else self._find(label) for label in labels]
        pixels = self.preprocessing.apply(frame)
        with self._running:
            seen = self._look(pixels)
        return [self._make(seen, index) for index in chosen]

    def draw(self, picture: Frame, label: str | None = None, *, caption: bool = True) -> Frame:
        """Draws the heat map of a class over a frame; see `draw_heat_map`.

        Args:
            picture: uint8 (height, width, 3) BGR, as it is classified; is not changed.
            label: The class (default: the one with the highest score).
            caption: Whether label and score are written.

        Returns:
            uint8 (height, width, 3) BGR, a new array.

        Raises:
            EngineError: If the engine fails.
            OptionsError: If the model has no such class.
        """
        heat = self.explain(picture, label)
        return draw_heat_map(picture, heat, self.preprocessing, caption=caption)

    def _find(self, label: str) -> int:
        if label not in self.labels:
            raise OptionsError(
                f"there is no class {label!r} to explain; expected one of {', '.join(self.labels)}"
            )
        return self.labels.index(label)

    def _make(self, seen: "Seen", index: int | None) -> HeatMap:
        scores = self._score(seen)
        # One that is unknown is no class: what it looks like most is explained.
        best = int(scores[: len(self.labels)].argmax()) if index is None else index
        return HeatMap(
            label=self.labels[best],
            score=float(scores[best]),
            cells=make_cells(seen.maps, self.head.kernel, best),
            bias=float(self.head.bias[best]),
            is_unknown=int(scores.argmax()) >= len(self.labels),
        )
