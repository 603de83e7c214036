"""A .tflite that somebody else made: float32, or quantized already."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetl_export.evaluate.scoring import run_described
from edgetl_export.evaluate.tensors import describe_tflite
from edgetl_export.graph.flatbuffer import read_tree
from edgetl_export.graph.model_graph import find_graph
from edgetl_export.load.graph_editing import GraphEditor
from edgetl_export.load.output_activation import OutputActivation
from edgetl_export.load.scaling import Scaling
from edgetl_export.load.source import Size, SourceModel, choose_size
from edgetl_export.load.statements import read_statements
from edgetl_export.load.tflite_outputs import Writers
from edgetl_export.trained import ModelFormat
from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

# `TensorType` of LiteRT's schema.
_FLOAT32, _FLOAT16, _UINT8, _INT16, _INT8 = 0, 1, 3, 7, 9
_WIDTHS = {_FLOAT32: 4, _FLOAT16: 2, 2: 4, _UINT8: 1, 4: 8, _INT16: 2, _INT8: 1}
_CUSTOM = 32
# Of its `BuiltinOperator`: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED.
_LAYERS = (3, 4, 9)
# XNNPACK's limit for a step of the input times one of the weights, in steps of the output.
_MOST_STEPS = 256


class TfliteModel:
    """See `source.Foreign`."""

    def __init__(self, data: bytes, scaling: Scaling, size_px: Size | None = None) -> None:
        """Checks a .tflite and puts the scaling in front of it.

        Raises:
            ExportError: If it is damaged, has an operator that LiteRT lacks, or takes or outputs
                something else than one image and one list of scores.
        """
        tree = read_tree(data)
        _check_graphs(tree)
        graph = tree.subgraphs[0]
        _check_references(tree, graph)
        _check_steps(tree, graph)
        _check_operators(tree)
        writers = Writers(tree, graph)
        self.words = writers.choose_scores()
        find_graph(tree)
        picture, scores = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
        self.size = _read_size(picture, size_px)
        self.outputs = _count_outputs(scores)
        self.form = ModelFormat("litert", _find_precision(tree, graph))
        self.activation = writers.find_activation()
        # A free batch is 1: the shape says so beside its signature.
        for tensor in graph.tensors:
            tensor.shapeSignature = None
        self._editor = GraphEditor(tree)
        if _has_channels_first(_shape(picture)):
            self._editor.take_channels_last()
        self.scaling = scaling.fit_to(int(self._editor.picture.shape[3]))
        self.statements = read_statements(tree, picture)
        self._file, self._size_px = data, size_px
        _put_in_front(self._editor, self.scaling)
        _put_out_floats(self._editor, self.outputs)
        self._data = self._editor.encode()
        self._tensors = describe_tflite(self._data, any_step=True)
        self.is_coarse = scores.type != _FLOAT32

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run`.

        Raises:
            EngineError: If LiteRT fails.
        """
        return run_described("litert", self._data, self._tensors, pictures)

    def run_with(self, scaling: Scaling, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run_with`."""
        return TfliteModel(self._file, scaling, self._size_px).run(pictures)

    def finish(self, added: OutputActivation) -> SourceModel:
        """See `Foreign.finish`; afterwards there is nothing left to be done with this object."""
        editor = self._editor
        if added.pair is not None:
            editor.make_pair(*added.pair)
        if added.softmax:
            editor.add_softmax()
        data = editor.encode()
        describe_tflite(data, any_step=True)
        return SourceModel(data, self.form)


def _put_in_front(editor: GraphEditor, scaling: Scaling) -> None:
    """Makes the input levels 0..255: uint8 where 8 bits hold what the scaling gives, else float."""
    picture = editor.picture
    if picture.type == _FLOAT32:
        editor.scale(scaling)
    elif not _fits(picture, scaling):
        editor.quantize_picture()
        editor.scale(scaling)
    elif picture.type == _INT8:
        editor.take_unsigned()


def _put_out_floats(editor: GraphEditor, outputs: int) -> None:
    if editor.scores.type != _FLOAT32:
        editor.dequantize_scores()
    if len(editor.scores.shape) != 2:
        editor.flatten_scores(outputs)


def _fits(picture: Any, scaling: Scaling) -> bool:
    """True if the quantized levels 0..255 stand for what the scaling makes of them."""
    if scaling.order != "rgb":
        return False
    step, zero = float(picture.quantization.scale[0]), int(picture.quantization.zeroPoint[0])
    shift = 128 if picture.type == _INT8 else 0
    ends = np.array([step * (level - shift - zero) for level in (0, 255)])
    wanted = np.array([[0.0], [255.0]]) * scaling.factor + np.array(scaling.offset)
    # A converter rounds the zero point: one step is its own error.
    return bool(np.abs(ends[:, np.newaxis] - wanted).max() <= 1.01 * step)


def _read_size(picture: Any, size_px: Size | None) -> tuple[int, int]:
    shape = _shape(picture)
    if picture.type != _FLOAT32 and not (
        picture.type in (_UINT8, _INT8) and _is_quantized(picture)
    ):
        raise ExportError(
            "the .tflite takes neither float32 nor int8 or uint8 images; convert it again "
            "with a float32 input"
        )
    first = _has_channels_first(shape)
    if len(shape) != 4 or shape[0] != 1 or not (first or shape[3] in (1, 3)):
        raise ExportError(
            f"the .tflite takes {shape}, expected one RGB image, (1, height, width, 3) or (1, 3, "
            "height, width), or a gray one, with 1 instead of 3"
        )
    signature = picture.shapeSignature
    if signature is not None and min(signature[1:], default=0) < 0:
        raise ExportError(
            "the .tflite takes images of any size, but its layers need a fixed one; convert it "
            "again with a fixed height and width"
        )
    height, width = shape[2:] if first else shape[1:3]
    return choose_size((height, width), size_px)


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def _count_outputs(scores: Any) -> int:
    shape = _shape(scores)
    outputs = max(shape, default=0)
    if not shape or int(np.prod(shape)) != outputs or outputs < 1:
        raise ExportError(f"the .tflite outputs {shape}, expected the scores of one image, (1, n)")
    if scores.type not in (_FLOAT32, _UINT8, _INT8, _INT16):
        raise ExportError("the .tflite does not output float32 scores; convert it again with those")
    return outputs


def _find_precision(tree: Any, graph: Any) -> Precision:
    """What was done to a model that quantizers have seen."""
    moving = {one.type for one in graph.tensors if _is_quantized(one) and not _data(tree, one)}
    if _INT16 in moving:
        return "int16x8"
    if moving:
        return "int8"
    if any(map(_is_quantized, graph.tensors)):
        return "dynamic"
    return "float16" if any(one.type == _FLOAT16 for one in graph.tensors) else "float32"


def _is_quantized(tensor: Any) -> bool:
    quantization = tensor.quantization
    if tensor.type not in (_UINT8, _INT8, _INT16) or quantization is None:
        return False
    return quantization.scale is not None and len(quantization.scale) > 0


def _check_references(tree: Any, graph: Any) -> None:
    """Refuses numbers that lead out of their lists, before native code follows them."""
    tensors, codes, buffers = len(graph.tensors), len(tree.operatorCodes), len(tree.buffers)
    named = [*graph.inputs, *graph.outputs]
    for one in graph.operators:
        named += [n for n in (*_list(one.inputs), *_list(one.outputs)) if n != -1]
    sound = all(0 <= n < tensors for n in named)
    sound &= all(0 <= one.opcodeIndex < codes for one in graph.operators)
    sound &= all(0 <= one.buffer < buffers for one in graph.tensors)
    if not sound:
        raise ExportError(
            "the .tflite is damaged: it refers to tensors or operators that do not exist"
        )
    for tensor in graph.tensors:
        data, width = _data(tree, tensor), _WIDTHS.get(tensor.type)
        if data and width and tensor.sparsity is None and data != width * _count(tensor):
            raise ExportError(
                f"the .tflite is damaged: the constant {_name(tensor)} has {data} bytes, expected "
                f"{width * _count(tensor)}"
            )


def _check_steps(tree: Any, graph: Any) -> None:
    """Refuses steps at which XNNPACK ends the process, instead of saying what is wrong."""
    for tensor in graph.tensors:
        if _is_quantized(tensor) and not (np.array(tensor.quantization.scale) > 0).all():
            raise ExportError(
                f"the .tflite is damaged: the scale of {_name(tensor)} is not above 0"
            )
    for one in graph.operators:
        code = tree.operatorCodes[one.opcodeIndex]
        ends = [graph.tensors[n] for n in (*_list(one.inputs)[:2], *_list(one.outputs)[:1])]
        if max(code.builtinCode, code.deprecatedBuiltinCode) not in _LAYERS:
            continue
        if all(map(_is_quantized, ends)):
            picture, weights, result = (float(max(end.quantization.scale)) for end in ends)
            if not picture * weights < _MOST_STEPS * result:
                raise ExportError(
                    f"the .tflite is damaged, or badly quantized: the scale of {_name(ends[1])} is "
                    f"at least {_MOST_STEPS} times that of the output; convert it again"
                )


def _check_graphs(tree: Any) -> None:
    if len(tree.subgraphs) != 1:
        raise ExportError(
            f"the .tflite has {len(tree.subgraphs)} graphs, expected 1; conditions, loops and some "
            "converters add graphs; convert it again without them, or give an .onnx"
        )


def _check_operators(tree: Any) -> None:
    for code in tree.operatorCodes:
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind == _CUSTOM:
            name = (code.customCode or b"?").decode(errors="replace")
            if name.startswith("edgetpu"):
                raise ExportError(
                    "the .tflite is compiled for Coral's Edge TPU; give the one that it was "
                    "compiled from"
                )
            why = "of TensorFlow itself" if name.startswith("Flex") else "a custom one"
            raise ExportError(
                f"the .tflite has the operator {name}, {why}, which the device runtime does not "
                "support; convert it again with built-in operators only"
            )


def _list(numbers: Any) -> list[int]:
    return [] if numbers is None else [int(n) for n in numbers]


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(_list(tensor.shape))


def _count(tensor: Any) -> int:
    return int(np.prod(_shape(tensor), dtype=np.int64))


def _data(tree: Any, tensor: Any) -> int:
    """Bytes of a constant; 0: it is none."""
    data = tree.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def _name(tensor: Any) -> str:
    return (tensor.name or b"?").decode(errors="replace")
