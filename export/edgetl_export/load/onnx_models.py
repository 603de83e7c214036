"""An .onnx that somebody else made: float32, or quantized already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, compose, helper, inliner, numpy_helper, shape_inference

from edgetl_export.evaluate.scoring import run_described
from edgetl_export.evaluate.tensors import describe_onnx
from edgetl_export.load.external import load_external
from edgetl_export.load.layout import read_layout
from edgetl_export.load.output_activation import OutputActivation
from edgetl_export.load.outputs import choose_scores, find_activation, float_scores, read_by
from edgetl_export.load.scaling import Scaling
from edgetl_export.load.source import Size, SourceModel
from edgetl_export.load.statements import Statement, read_graph
from edgetl_export.quantize.onnx_quantizer import IR_VERSION, OPSET
from edgetl_export.quiet_stderr import divert_stderr
from edgetl_export.trained import ModelFormat
from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores
from edgetl_runtime.text.quoting import quote_error

_LIMIT_BYTES = 2**31 - 1
# Steps for each channel need it.
_LEAST_OPSET = 13
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# What others take is cast to.
_INPUTS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8)
_OTHER_FLOATS = (TensorProto.FLOAT16, TensorProto.DOUBLE)
_PREFIX = "model/"
_INPUT, _OUTPUT = "image", "scores"


class OnnxModel:
    """See `source.Foreign`."""

    is_coarse = False

    def __init__(self, file: Path, scaling: Scaling, size_px: Size | None = None) -> None:
        """Checks an .onnx and puts the scaling in front of it.

        Raises:
            ExportError: If it is damaged, larger than 2 GiB, has operators or an opset that ONNX
                Runtime lacks, has data outside its folder, or takes or outputs something else
                than one image and one list of scores.
        """
        self._file, self._size_px = file, size_px
        try:
            self._open(_read(file), file.parent, scaling, size_px)
        except UnicodeDecodeError as error:
            # Protobuf notices only when a name is looked at.
            raise ExportError(f"{file} is damaged: a name in it is not text ({error})") from error

    def _open(
        self, proto: onnx.ModelProto, folder: Path, scaling: Scaling, size_px: Size | None
    ) -> None:
        _sort(proto)
        self.words = choose_scores(proto)
        float_scores(proto)
        _check_operators(proto)
        load_external(proto, folder)
        proto = _modernize(proto)
        entry = _find_input(proto)
        said = _check_kind(entry)
        channels, last, self.size = read_layout(proto, entry, size_px)
        _fix_input(entry, channels, last, self.size)
        _forget_shapes(proto)
        self.form = ModelFormat("onnx", _find_precision(proto))
        self.activation = find_activation(proto)
        self.scaling = scaling.fit_to(channels)
        self.statements = said + read_graph(proto, entry.name)
        self._proto = _wrap(proto, entry.name, self.scaling, last, self.size)
        self.outputs = _shape_output(self._proto)
        self._data = self._encode()

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run`.

        Raises:
            EngineError: If ONNX Runtime fails.
        """
        return run_described("onnx", self._data, describe_onnx(self._data), pictures)

    def run_with(self, scaling: Scaling, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run_with`."""
        return OnnxModel(self._file, scaling, self._size_px).run(pictures)

    def finish(self, added: OutputActivation) -> SourceModel:
        """See `Foreign.finish`; afterwards there is nothing left to be done with this object."""
        if added.pair is not None:
            factors, offsets = added.pair
            _append(self._proto, "Mul", np.array([factors], np.float32))
            _append(self._proto, "Add", np.array([offsets], np.float32))
            _set_shape(self._proto.graph.output[0], (1, 2))
        if added.softmax:
            _append(self._proto, "Softmax", axis=1)
        return SourceModel(self._encode(), self.form)

    def _encode(self) -> bytes:
        try:
            onnx.checker.check_model(self._proto, full_check=True)
        except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
            raise ExportError(f"the .onnx is not valid: {quote_error(error)}") from error
        return bytes(self._proto.SerializeToString(deterministic=True))


def _read(file: Path) -> onnx.ModelProto:
    try:
        size = file.stat().st_size
        if size > _LIMIT_BYTES:
            raise ExportError(
                f"{file} has {size:,} bytes; an .onnx larger than 2 GiB cannot be read, and no "
                "small device would run it"
            )
        proto = onnx.load_model_from_string(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file} cannot be read ({error.strerror})") from error
    except DecodeError as error:
        raise ExportError(
            f"{file} is not an .onnx, or a damaged one; copy or download it again"
        ) from error
    if not proto.graph.node:
        raise ExportError(f"{file} is not an .onnx, or a damaged one: it has no operators")
    return proto


def _sort(proto: onnx.ModelProto) -> None:
    """Operators in the order of their work; the converter to 16 bits appends some at the end."""
    from onnxruntime.transformers.onnx_model import OnnxModel as Model

    done = {one.name for one in (*proto.graph.input, *proto.graph.initializer)} | {""}
    for node in proto.graph.node:
        if not set(node.input) <= done:
            try:
                Model(proto).topological_sort()
            except RuntimeError as error:
                raise ExportError(
                    f"the .onnx is damaged: its operator {node.op_type} has an input that no other "
                    "one outputs; copy or download it again"
                ) from error
            return
        done |= set(node.output)


def _check_operators(proto: onnx.ModelProto) -> None:
    own = {(one.domain, one.name) for one in proto.functions}
    for node in proto.graph.node:
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise ExportError(
                f"the .onnx has the operator {node.op_type} of {node.domain}, which ONNX Runtime "
                "lacks; export it again with standard operators only"
            )
    if proto.ir_version > onnx.IR_VERSION:
        raise ExportError(
            f"the .onnx is of version {proto.ir_version} of the format (IR), this edgetl reads up "
            f"to {onnx.IR_VERSION}; export it again with opset {OPSET}"
        )
    newest = onnx.defs.onnx_opset_version()
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            raise ExportError(
                f"the .onnx has opset {opset.version}, this edgetl reads up to {newest}; export "
                f"it again with opset {OPSET}"
            )


def _modernize(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Without local functions, and not older than quantization can handle."""
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    versions = [one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")]
    if not versions:
        raise ExportError("the .onnx does not say its opset; export it again")
    if versions[0] < _LEAST_OPSET:
        try:
            with divert_stderr():
                proto = onnx.version_converter.convert_version(proto, OPSET)
        except (RuntimeError, onnx.version_converter.ConvertError) as error:
            raise ExportError(
                f"the .onnx has opset {versions[0]}, which cannot be brought to {OPSET} "
                f"({quote_error(error)}); export it again with opset {OPSET}"
            ) from error
    proto.ir_version = max(proto.ir_version, IR_VERSION)
    return proto


def _find_input(proto: onnx.ModelProto) -> onnx.ValueInfoProto:
    graph = proto.graph
    constants = {one.name for one in graph.initializer}
    # Old files list their constants among the inputs.
    read = {name for node in graph.node for name in read_by(node)}
    inputs: list[onnx.ValueInfoProto] = [
        one for one in graph.input if one.name not in constants and one.name in read
    ]
    for kind, ends in (("input", inputs), ("output", list(graph.output))):
        if len(ends) != 1:
            names = ", ".join(one.name for one in ends)
            raise ExportError(
                f"the .onnx has {len(ends)} {kind}s ({names}), expected 1; export the classifier "
                "only"
            )
    return inputs[0]


def _check_kind(entry: onnx.ValueInfoProto) -> tuple[Statement, ...]:
    """Refuses an input that is neither floats nor plain levels; the latter say their range."""
    kind = entry.type.tensor_type.elem_type
    name = TensorProto.DataType.Name(kind).lower()
    if kind not in _INPUTS:
        raise ExportError(f"the .onnx takes {name}, expected float32; export it again with float32")
    return (Statement("its input of uint8", (0.0, 255.0)),) if kind == TensorProto.UINT8 else ()


def _fix_input(
    entry: onnx.ValueInfoProto, channels: int, last: bool, size: tuple[int, int]
) -> None:
    """Batch 1 and a fixed size."""
    _set_shape(entry, (1, *size, channels) if last else (1, channels, *size))


def _forget_shapes(proto: onnx.ModelProto) -> None:
    """All shapes behind the input are found again."""
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")


def _find_precision(proto: onnx.ModelProto) -> Precision:
    kinds = {node.op_type for node in proto.graph.node}
    if "DynamicQuantizeLinear" in kinds:
        return "dynamic"
    if kinds & {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}:
        return "int8"
    if "DequantizeLinear" in kinds:
        return "dynamic"
    halves = any(one.data_type == TensorProto.FLOAT16 for one in proto.graph.initializer)
    return "float16" if halves else "float32"


def _wrap(
    proto: onnx.ModelProto,
    entry: str,
    scaling: Scaling,
    last: bool,
    size: tuple[int, int],
) -> onnx.ModelProto:
    """Puts the scaling in front; what is inside gets names that ours cannot collide with."""
    del proto.metadata_props[:]
    # Constants among the inputs would be inputs again.
    kept = [one for one in proto.graph.input if one.name == entry]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    wrapped = _name_apart(proto)
    graph = wrapped.graph
    entry, exit_ = graph.input[0].name, graph.output[0].name
    front = _Front(entry)
    if scaling.order != "rgb":
        front.add("Conv", scaling.matrix[:, :, np.newaxis, np.newaxis])
    elif not scaling.is_plain:
        front.add("Mul", np.array(scaling.factor, np.float32).reshape(1, 3, 1, 1))
    if any(scaling.offset):
        front.add("Add", np.array(scaling.offset, np.float32).reshape(1, -1, 1, 1))
    if last:
        front.add("Transpose", perm=[0, 2, 3, 1])
    kind = graph.input[0].type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        front.add("Cast", to=kind)
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = front.join() or [helper.make_node("Identity", [_INPUT], [entry], "entry")]
    for position, node in enumerate(nodes):
        graph.node.insert(position, node)
    graph.initializer.extend(front.constants)
    graph.input[0].name = _INPUT
    _set_shape(graph.input[0], (1, 3, *size))
    graph.node.append(helper.make_node("Identity", [exit_], [_OUTPUT], "exit"))
    graph.output[0].name = _OUTPUT
    return wrapped


def _name_apart(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Short names, which a quantized file repeats for each step; layers in layers keep theirs."""
    graph = proto.graph
    nested = any(one.HasField("g") or one.graphs for node in graph.node for one in node.attribute)
    if nested or graph.sparse_initializer:
        prefixed: onnx.ModelProto = compose.add_prefix(proto, _PREFIX)
        return prefixed
    names = {one.name: f"c{number}" for number, one in enumerate(graph.initializer)}
    written = [graph.input[0].name, *(name for node in graph.node for name in node.output)]
    names |= {name: f"v{number}" for number, name in enumerate(written)}
    # An empty name is an input or output that is left out.
    names[""] = ""
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for named in (*graph.initializer, graph.input[0], graph.output[0]):
        named.name = names.get(named.name, named.name)
    return proto


class _Front:
    """A chain of operators from the input to what was the input."""

    def __init__(self, target: str) -> None:
        self._target, self._nodes = target, list[onnx.NodeProto]()
        self.constants: list[TensorProto] = []

    def add(self, kind: str, values: Any = None, **attributes: Any) -> None:
        name = f"picture_{kind.lower()}"
        inputs = [self._nodes[-1].output[0] if self._nodes else _INPUT]
        if values is not None:
            self.constants.append(numpy_helper.from_array(values, f"{name}_values"))
            inputs.append(f"{name}_values")
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))

    def join(self) -> list[onnx.NodeProto]:
        if self._nodes:
            self._nodes[-1].output[0] = self._target
        return self._nodes


def _append(proto: onnx.ModelProto, kind: str, values: Any = None, **attributes: Any) -> None:
    """An operator behind the scores."""
    name = f"scores_before_{kind.lower()}"
    proto.graph.node[-1].output[0] = name
    inputs = [name]
    if values is not None:
        proto.graph.initializer.append(numpy_helper.from_array(values, f"{name}_values"))
        inputs.append(f"{name}_values")
    proto.graph.node.append(
        helper.make_node(kind, inputs, [_OUTPUT], f"scores_{kind.lower()}", **attributes)
    )


def _shape_output(proto: onnx.ModelProto) -> int:
    """Makes the scores (1, outputs) float32; returns the number of outputs."""
    scores = proto.graph.output[0]
    found = _infer_shape(proto)
    outputs = max(found, default=0)
    if not found or int(np.prod(found)) != outputs or outputs < 1:
        raise ExportError(f"the .onnx outputs {found}, expected the scores of one image, (1, n)")
    if scores.type.tensor_type.elem_type in _OTHER_FLOATS:
        _append(proto, "Cast", to=TensorProto.FLOAT)
        scores.type.tensor_type.elem_type = TensorProto.FLOAT
    if scores.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ExportError("the .onnx does not output float32; export it again with float32 scores")
    if len(found) != 2:
        _append(proto, "Reshape", np.array([1, outputs], np.int64))
    _set_shape(scores, (1, outputs))
    return outputs


def _infer_shape(proto: onnx.ModelProto) -> tuple[int, ...]:
    """What comes out for one image, by running it: inference stops at computed shapes."""
    import onnxruntime

    from edgetl_runtime.engines.onnx_engine import EXACT, error_types

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(*EXACT)
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            # It would print on stdout that it tries the same again.
            enable_fallback=False,
        )
        (entry,) = session.get_inputs()
        (scores,) = session.run(None, {_INPUT: np.zeros(entry.shape, np.float32)})
    except error_types(onnxruntime) as error:
        hint = ""
        # A name that is not text is bytes.
        if any(str(node.op_type).startswith("QLinear") for node in proto.graph.node):
            hint = "; quantize it again in QDQ format, or with uint8 activations"
        raise ExportError(
            f"ONNX Runtime cannot run this .onnx ({quote_error(error)}){hint}"
        ) from error
    return tuple(np.shape(scores))


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))
