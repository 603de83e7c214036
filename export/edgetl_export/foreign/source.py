"""What every foreign model becomes, whatever file it came in."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from edgetl_export.foreign.ending import End, Ending
from edgetl_export.trained import Form
from edgetl_runtime.errors import ExportError
from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Frame

GREATEST_SIDE_PX = 4096


class Source(msgspec.Struct, frozen=True, eq=False):
    """A model that takes RGB levels 0..255 and puts out probabilities.

    Attributes:
        data: A .tflite or an .onnx.
        form: Which of them, and its precision.
    """

    data: bytes
    form: Form


class Foreign(Protocol):
    """A model as somebody else trained it.

    Attributes:
        size: (height, width) of its input, px.
        outputs: Number of its outputs.
        form: Of the file that `finish` returns.
        is_coarse: True if the outputs have 8 bits.
        end: What its graph ends in.
    """

    size: tuple[int, int]
    outputs: int
    form: Form
    is_coarse: bool
    end: End

    def look(self, pictures: Sequence[Frame]) -> Scores:
        """What it puts out for pictures, float32 (pictures, outputs)."""
        ...

    def finish(self, ending: Ending) -> Source:
        """The model with its scaling in front and the ending behind."""
        ...


def choose_size(fixed: tuple[int | None, int | None], size_px: int | None) -> tuple[int, int]:
    """(height, width) of an input, which is the model's where that is not free.

    Raises:
        ExportError: If the model leaves it free and nobody chose, or somebody chose another one.
    """
    height, width = fixed
    if size_px is None and (height is None or width is None):
        raise ExportError(
            "the model takes pictures of any size; choose the one it was trained on: --size PX"
        )
    chosen = (height or size_px or 0, width or size_px or 0)
    if size_px is not None and chosen != (size_px, size_px):
        raise ExportError(
            f"the model takes {chosen[1]}x{chosen[0]} px and nothing else; leave --size out"
        )
    if not all(1 <= side <= GREATEST_SIDE_PX for side in chosen):
        raise ExportError(
            f"the model takes {chosen[1]}x{chosen[0]} px, expected 1..{GREATEST_SIDE_PX} px a side"
        )
    return chosen
