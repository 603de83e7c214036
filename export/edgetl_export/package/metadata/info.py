"""The metadata of a model file, in any format."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from edgetl_runtime.errors import ExportError

OURS = "edgetl"


class ModelInfo(msgspec.Struct, frozen=True):
    """The metadata of a model.

    Other programs apply `reject_threshold` to the scores that the model outputs, and none of
    them knows a temperature. No threshold of raw scores rejects exactly the images that one of
    softened scores rejects, so this one was chosen on the raw scores, by the same rates.

    Attributes:
        name: Of the model.
        description: One sentence.
        version: Of the model, not of edgetl.
        author: Who made it; left out when empty.
        license: Under which it may be used; left out when empty.
        labels: In the order of the output.
        width_px: Width of the input.
        height_px: Height of the input.
        fit: What to do with an image of another aspect ratio; see `Preprocessing`.
        temperature: Divides the logarithms of the scores, outside of the graph.
        reject_threshold: Below this top score, before temperature, the answer is none; 0..1, and
            0 rejects nothing.
        record: More for our own readers; must fit in JSON.
    """

    name: str
    description: str
    version: str
    author: str
    license: str
    labels: tuple[str, ...]
    width_px: int
    height_px: int
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    temperature: float = 1.0
    reject_threshold: float = 0.0
    record: dict[str, Any] = {}

    def encode(self) -> bytes:
        """Our own JSON, the same for equal content: all of this, under the key `edgetl`."""
        return msgspec.json.encode(self, order="sorted")


def check_ends(info: ModelInfo, picture: Sequence[int], scores: Sequence[int]) -> None:
    """Refuses a description that is none of this model.

    Args:
        info: The description.
        picture: Shape of the input, batch first.
        scores: Shape of the output, batch first.

    Raises:
        ExportError: Naming what the model has and what was described.
    """
    height, width, labels = info.height_px, info.width_px, len(info.labels)
    if tuple(picture) not in {(1, height, width, 3), (1, 3, height, width)}:
        raise ExportError(
            f"the model takes {tuple(picture)}, but its metadata would state one image of "
            f"{width}x{height} px with 3 channels; give the model's own size"
        )
    if math.prod(scores) != labels:
        raise ExportError(
            f"the model outputs {tuple(scores)}, but there are {labels} labels; give one label per "
            "output, in their order"
        )


def encode_labels(labels: Sequence[str]) -> bytes:
    """The bytes of `labels.txt`: one label a line, in the order of the output, UTF-8.

    Raises:
        ExportError: If a label is empty or holds a line break: readers would count one more.
    """
    for label in labels:
        if label.splitlines() != [label]:
            raise ExportError(f"the label {label!r} is not one line of text; rename it")
    return "".join(f"{label}\n" for label in labels).encode()
