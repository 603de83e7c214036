"""The common form of models trained elsewhere."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from edgetl_export.load.output_activation import Activation, OutputActivation
from edgetl_export.load.scaling import Scaling
from edgetl_export.load.statements import Statement
from edgetl_export.trained import ModelFormat
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

GREATEST_SIDE_PX = 4096
# Of a square, or (width, height), px.
Size = int | tuple[int, int]


class SourceModel(msgspec.Struct, frozen=True, eq=False):
    """A model that takes RGB levels 0..255 and outputs probabilities.

    Attributes:
        data: A .tflite or an .onnx.
        form: Which of them, and its precision.
    """

    data: bytes
    form: ModelFormat


class Foreign(Protocol):
    """A model as somebody else trained it.

    Attributes:
        size: (height, width) of its input, px.
        outputs: Number of its outputs.
        form: Of the file that `finish` returns.
        is_coarse: True if the outputs have 8 bits.
        activation: What its graph ends in.
        words: What was left out of it, for people; empty: nothing.
        scaling: What stands in front of it.
        statements: What the file itself says of the images that it takes.
    """

    size: tuple[int, int]
    outputs: int
    form: ModelFormat
    is_coarse: bool
    activation: Activation
    words: str
    scaling: Scaling
    statements: tuple[Statement, ...]

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """Runs the model on images: float32 (images, outputs)."""
        ...

    def run_with(self, scaling: Scaling, pictures: Sequence[Frame]) -> Scores:
        """Runs the model on images with another scaling."""
        ...

    def finish(self, added: OutputActivation) -> SourceModel:
        """The model with its scaling in front and the activation behind."""
        ...


def choose_size(fixed: tuple[int | None, int | None], size_px: Size | None) -> tuple[int, int]:
    """(height, width) of an input, which is the model's where that is not free.

    Args:
        fixed: (height, width) as the model has it; None or no number above 0 where it is free.
        size_px: What somebody chose: the side of a square, or (width, height).

    Raises:
        ExportError: If the model leaves it free and none was given, or another one was given.
    """
    height, width = (side if side is not None and side > 0 else None for side in fixed)
    if size_px is None and (height is None or width is None):
        takes = "images of any size"
        if height or width:
            takes = f"images {f'{height} px high' if height else f'{width} px wide'} and of any "
            takes += "width" if height else "height"
        raise ExportError(
            f"the model takes {takes}; choose the one it was trained on: --size PX, or --size "
            "WIDTHxHEIGHT if it is not square"
        )
    wide, high = (size_px, size_px) if isinstance(size_px, int) else size_px or (0, 0)
    chosen = (height or high, width or wide)
    if size_px is not None and chosen != (high, wide):
        order = "" if chosen[0] == chosen[1] else ", width x height,"
        remedy = "leave out --size"
        if height is None or width is None:
            remedy = f"give --size {chosen[1]}x{chosen[0]}"
        raise ExportError(f"the model takes {chosen[1]}x{chosen[0]} px{order} only; {remedy}")
    if not all(1 <= side <= GREATEST_SIDE_PX for side in chosen):
        raise ExportError(
            f"the model takes {chosen[1]}x{chosen[0]} px, expected 1..{GREATEST_SIDE_PX} px per "
            "side"
        )
    return chosen
