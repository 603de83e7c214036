"""Hidden outputs: what a model file can put out besides its scores, to those who ask.

A file announces one output, so that every client takes it. Its features and maps become outputs,
too, where a few bytes are written into the file's verified bytes before an engine loads them. In a
.tflite they replace the length of the list of outputs, which export made longer than it says; at
the end of an .onnx they are one more message, which protobuf merges into the first.
"""

from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import EngineError
from edgetl_runtime.prediction import Scores

Reveal = Literal["features", "maps"]
"""`features`; or `maps`: the features and the maps."""
NOT_REVEALED: Final = "this engine was opened without reveal: it puts out scores only"


class HiddenOutputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tensors that a file can put out after its scores, and how.

    The features are what the last dense layer multiplies. The maps are the feature maps whose means
    over all places, one map's after the other's, are the features.

    Attributes:
        offset: Where in the file to write; its size where something is appended.
        features: What to write there to get scores and features.
        maps: What to write to get scores, features and maps; empty without maps.
        map_channels: Channels of each map; empty where the features are not means of maps.
    """

    offset: Annotated[int, msgspec.Meta(ge=0)]
    features: bytes
    maps: bytes = b""
    map_channels: tuple[Annotated[int, msgspec.Meta(gt=0)], ...] = ()

    @property
    def end(self) -> int:
        """Where the longest of what is written would end."""
        return self.offset + max(len(self.features), len(self.maps))


class Seen(NamedTuple):
    """What a model puts out for one image.

    Attributes:
        scores: float32 (outputs,), as `Engine.run` returns them.
        features: float32 (features,): what the last dense layer multiplies.
        maps: float32 (height, width, channels) each; their means, one after the other, are the
            features. Empty unless they were revealed.
    """

    scores: Scores
    features: NDArray[np.float32]
    maps: list[NDArray[np.float32]]


def reveal(model: bytes, hidden: HiddenOutputs | None, which: Reveal) -> bytes:
    """Makes hidden outputs of a file its outputs.

    Args:
        model: The verified bytes of a .tflite or .onnx file.
        hidden: Of that file, from the bundle; None where it has none.
        which: What to put out besides the scores.

    Returns:
        The bytes to load.

    Raises:
        EngineError: If the file does not have these outputs.
    """
    if hidden is None:
        raise EngineError(
            "the bundle names no features of this file; export the bundle again with: edgetl "
            "export, of a classifier that ends in a dense layer and a softmax"
        )
    patch = hidden.features if which == "features" else hidden.maps
    if not patch:
        raise EngineError(
            "this file has no feature maps to look at: its features are not the means of maps"
        )
    return model[: hidden.offset] + patch + model[hidden.offset + len(patch) :]
