"""Hiding: a finished file can put out its features and maps, but announces its scores only.

See `edgetl_runtime.engines.hidden_outputs` for how a device gets at them.
"""

import struct

import msgspec
import numpy as np
import onnx
from onnx import helper

from edgetl_export.graph.ending import Ending, find_onnx_ending, find_tflite_ending
from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs
from edgetl_runtime.errors import ExportError

_LENGTH = struct.Struct("<I")
# Slot 2 of the table `SubGraph` in LiteRT's schema: its outputs.
_OUTPUTS_FIELD = 8


class Hidden(msgspec.Struct, frozen=True, eq=False):
    """A file with hidden outputs.

    Attributes:
        data: Its bytes.
        outputs: How to reveal them.
        head: The file's dense layer; None if it cannot be read.
    """

    data: bytes
    outputs: HiddenOutputs
    head: Head | None


def add_hidden_outputs(model: bytes) -> tuple[bytes, Ending[int] | None]:
    """Makes features and maps of a .tflite outputs after its scores, if it ends as expected.

    What it returns is to be finished with `conceal_tflite`, once nothing else moves its bytes.
    """
    tree = read_tree(model)
    ending = find_tflite_ending(tree)
    if ending is None:
        return model, None
    graph = tree.subgraphs[0]
    scores = int(graph.outputs[0])
    graph.outputs = np.array([scores, ending.features, *ending.maps], np.int32)
    return write_tree(tree), ending


def conceal_tflite(model: bytes, ending: Ending[int]) -> Hidden:
    """Cuts the list of outputs of a .tflite down to the scores; what follows it stays in the file.

    Raises:
        ExportError: If its outputs are not those that `add_hidden_outputs` wrote.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    expected = 2 + len(ending.maps)
    if graph is None or graph.OutputsLength() != expected:
        raise ExportError(f"the .tflite does not have the {expected} outputs that were written")
    table = graph._tab
    place = table.Vector(table.Offset(_OUTPUTS_FIELD)) - _LENGTH.size
    data = model[:place] + _LENGTH.pack(1) + model[place + _LENGTH.size :]
    outputs = HiddenOutputs(
        offset=place,
        features=_LENGTH.pack(2),
        maps=_LENGTH.pack(expected) if ending.maps else b"",
        map_channels=ending.map_channels,
    )
    return Hidden(data, outputs, ending.head)


def conceal_onnx(model: bytes) -> Hidden | None:
    """What to append to a finished .onnx; None if it does not end as expected."""
    ending = find_onnx_ending(onnx.load_from_string(model))
    if ending is None:
        return None
    outputs = HiddenOutputs(
        offset=len(model),
        features=_announce(ending.features),
        maps=_announce(ending.features, *ending.maps) if ending.maps else b"",
        map_channels=ending.map_channels,
    )
    return Hidden(model, outputs, ending.head)


def hide(engine: EngineName, model: bytes) -> Hidden | None:
    """Hides the outputs of a file that gets no metadata, or has it; None if it ends otherwise."""
    if engine == "onnx":
        return conceal_onnx(model)
    longer, ending = add_hidden_outputs(model)
    return conceal_tflite(longer, ending) if ending else None


def _announce(*names: str) -> bytes:
    """A message of nothing but outputs, whose types and shapes an engine infers."""
    message = onnx.ModelProto()
    message.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return bytes(message.SerializeToString(deterministic=True))
