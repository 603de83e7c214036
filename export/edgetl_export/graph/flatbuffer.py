"""The bytes of a .tflite as a tree of LiteRT's schema, and back."""

import struct
from typing import Any

import flatbuffers
import numpy as np

from edgetl_runtime.errors import ExportError

_MODEL_IDENTIFIER = b"TFL3"
_ALIGNMENT_BYTES = 16


def read_tree(model: bytes) -> Any:
    """Reads a .tflite, also one that keeps its constants behind the flatbuffer.

    Raises:
        ExportError: If it is none.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    if model[4:8] != _MODEL_IDENTIFIER:
        raise ExportError("this is not a .tflite, or a damaged one: its identifier is missing")
    try:
        tree = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    except (struct.error, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(
            "the .tflite is damaged or incomplete; copy or download it again"
        ) from error
    for buffer in tree.buffers:
        if buffer.data is not None:
            # What is not an array is packed byte by byte, a thousand times slower.
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return tree


def write_tree(tree: Any) -> bytes:
    """The bytes of a .tflite."""
    builder = Builder(1 << 20)
    builder.Finish(tree.Pack(builder), _MODEL_IDENTIFIER)
    return bytes(builder.Output())


class Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns bytes as LiteRT's schemas demand (force_align: 16), which generated Python forgets."""

    def CreateNumpyVector(self, x: Any) -> int:
        """See `flatbuffers.Builder`."""
        if x.dtype == np.uint8:
            self.Prep(_ALIGNMENT_BYTES, x.size)
        return int(super().CreateNumpyVector(x))
