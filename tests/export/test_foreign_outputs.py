"""Several outputs, labels instead of scores, scores of 8 bits: what is taken for the scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.load import open_model
from edgetl_export.load.output_activation import NOTHING, SOFTMAX, choose_activation
from edgetl_export.load.scaling import find_scaling
from edgetl_runtime.errors import ExportError

SCALING = find_scaling("-1..1")
FLOAT, HALF, DOUBLE, INT64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.INT64,
)
SOFT = helper.make_node("Softmax", ["logits"], ["shares"], axis=1)


@pytest.fixture
def proto(foreign_folder: Path) -> onnx.ModelProto:
    """The network, whose output is called `logits` and what they are made of `pooled`."""
    proto = onnx.load(foreign_folder / "model.onnx")
    old = proto.graph.output[0].name
    pooled = next(node for node in proto.graph.node if node.op_type == "GlobalAveragePool")
    names = {old: "logits", pooled.output[0]: "pooled"}
    for node in proto.graph.node:
        node.input[:] = [names.get(one, one) for one in node.input]
        node.output[:] = [names.get(one, one) for one in node.output]
    proto.graph.output[0].name = "logits"
    return proto


@pytest.fixture
def take(proto: onnx.ModelProto, tmp_path: Path) -> Callable[..., Any]:
    """Opens the network with more operators and other outputs."""

    def take(*nodes: onnx.NodeProto, **outputs: int) -> Any:
        proto.graph.node.extend(nodes)
        del proto.graph.output[:]
        proto.graph.output.extend(
            helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()
        )
        onnx.save(proto, tmp_path / "m.onnx")
        return open_model(tmp_path / "m.onnx", SCALING)

    return take


@pytest.fixture(scope="module")
def logits(foreign_folder: Path, drawn: list[np.ndarray]) -> np.ndarray:
    return open_model(foreign_folder / "model.onnx", SCALING).run(drawn)


@pytest.mark.parametrize(
    ("nodes", "outputs", "end"),
    [
        ([SOFT], {"logits": FLOAT, "shares": FLOAT}, "softmax"),
        ([SOFT], {"shares": FLOAT, "pooled": FLOAT}, "softmax"),
        ([], {"logits": FLOAT, "pooled": FLOAT}, "linear"),
    ],
)
def test_of_several_outputs_the_scores_are_taken_and_the_rest_is_named(
    take: Callable[..., Any], nodes: list[Any], outputs: dict[str, int], end: str
) -> None:
    foreign = take(*nodes, **outputs)
    kept = "shares" if end == "softmax" else "logits"
    (left,) = set(outputs) - {kept}
    assert (foreign.activation, foreign.outputs) == (end, 3)
    assert foreign.words == f"its output {kept} is used as the scores, {left} left out"


def test_the_same_scores_twice_are_taken_once(take: Callable[..., Any]) -> None:
    again = helper.make_node("Identity", ["shares"], ["again"])
    foreign = take(SOFT, again, shares=FLOAT, again=FLOAT)
    assert (foreign.activation, foreign.words) == ("softmax", "")


@pytest.mark.parametrize("kind", ["ArgMax", "TopK"])
def test_best_labels_alone_become_the_scores_that_they_are_made_of(
    proto: onnx.ModelProto,
    take: Callable[..., Any],
    drawn: list[np.ndarray],
    logits: np.ndarray,
    kind: str,
) -> None:
    """Sorted scores would pass for scores: the first label for every photo."""
    if kind == "ArgMax":
        foreign = take(helper.make_node("ArgMax", ["logits"], ["best"], axis=1), best=INT64)
    else:
        proto.graph.initializer.append(numpy_helper.from_array(np.array([3]), "k"))
        node = helper.make_node("TopK", ["shares", "k"], ["sorted", "best"], axis=1)
        foreign = take(SOFT, node, sorted=FLOAT, best=INT64)
    raw = foreign.run(drawn)
    np.testing.assert_array_equal(raw.argmax(axis=1), logits.argmax(axis=1))
    assert len(set(raw.argmax(axis=1))) > 1


@pytest.mark.parametrize("kind", [HALF, DOUBLE])
def test_scores_of_other_floats_become_float32(
    take: Callable[..., Any], drawn: list[np.ndarray], logits: np.ndarray, kind: int
) -> None:
    foreign = take(helper.make_node("Cast", ["logits"], ["other"], to=kind), other=kind)
    np.testing.assert_allclose(foreign.run(drawn), logits, atol=0.01)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_scores_of_8_bits_become_those_that_they_stand_for(
    proto: onnx.ModelProto,
    take: Callable[..., Any],
    drawn: list[np.ndarray],
    logits: np.ndarray,
    kind: type,
) -> None:
    zero = np.array(np.iinfo(kind).min, kind)
    steps = numpy_helper.from_array(np.float32(1 / 256), "step"), numpy_helper.from_array(zero, "z")
    proto.graph.initializer.extend(steps)
    node = helper.make_node("QuantizeLinear", ["shares", "step", "z"], ["bits"])
    foreign = take(SOFT, node, bits=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
    assert foreign.activation == "softmax"
    np.testing.assert_allclose(foreign.run(drawn), SOFTMAX.apply(logits), atol=1 / 256)


def test_a_sequence_is_refused_by_its_name(
    proto: onnx.ModelProto, tmp_path: Path, wording: str
) -> None:
    proto.graph.node.append(helper.make_node("SequenceConstruct", ["logits", "logits"], ["both"]))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_value_info("both", kind))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "m.onnx", SCALING)


def test_percents_are_not_taken_for_logits(
    take: Callable[..., Any], proto: Any, wording: str
) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(100), "hundred"))
    foreign = take(SOFT, helper.make_node("Mul", ["shares", "hundred"], ["percent"]), percent=FLOAT)
    assert foreign.activation == "other"
    with pytest.raises(ExportError, match=wording):
        choose_activation(np.array([[20.0, 80.0], [99.5, 0.5]], np.float32), "other")
    # Logits that happen to be positive.
    assert choose_activation(np.array([[2.0, 8.0], [3.0, 1.5]], np.float32), "other") == SOFTMAX


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_logits_of_a_quantized_onnx_are_known_as_such(
    foreign_folder: Path,
    drawn: list[np.ndarray],
    calibrating: Callable[..., Any],
    tmp_path: Path,
    kind: str,
) -> None:
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    source, target = foreign_folder / "model.onnx", tmp_path / "m.onnx"
    if kind == "dynamic":
        quantize_dynamic(source, target)
    else:
        reader = calibrating(onnx.load(source).graph.input[0].name, drawn)
        quantize_static(source, target, reader)
    foreign = open_model(target, SCALING)
    assert foreign.activation == "linear"
    assert choose_activation(np.array([[0.4, 0.3, 0.3]], np.float32), foreign.activation) == SOFTMAX


def test_an_onnx_of_plain_levels_takes_them_as_they_are(
    proto: onnx.ModelProto, drawn: list[np.ndarray], logits: np.ndarray, tmp_path: Path
) -> None:
    graph = proto.graph
    constants = [np.float32(127.5), np.float32(1)]
    for name, value in zip(("half", "one"), constants, strict=True):
        graph.initializer.append(numpy_helper.from_array(value, name))
    old, graph.input[0].name = graph.input[0].name, "levels"
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    front = [
        helper.make_node("Cast", ["levels"], ["floats"], to=FLOAT),
        helper.make_node("Div", ["floats", "half"], ["halves"]),
        helper.make_node("Sub", ["halves", "one"], [old]),
    ]
    for position, node in enumerate(front):
        graph.node.insert(position, node)
    onnx.save(proto, tmp_path / "m.onnx")
    (said,) = open_model(tmp_path / "m.onnx", SCALING).statements
    assert "its input of uint8 says that its pixel values are 0 to 255" in said.contradict(SCALING)
    foreign = open_model(tmp_path / "m.onnx", find_scaling("0..255"))
    np.testing.assert_allclose(foreign.run(drawn), logits, atol=1e-3)


def test_an_input_that_nobody_reads_is_none(
    proto: onnx.ModelProto, take: Callable[..., Any]
) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("unused", FLOAT, [1]))
    assert take(logits=FLOAT).outputs == 3


@pytest.fixture(scope="module")
def convert(
    foreign_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Callable[[Any], Any]], Any]:
    """Opens the .tflite of the network with more behind its logits."""
    import keras
    import tensorflow as tf

    from edgetl_export.graph.conversion import convert_to_tflite, freeze

    inner = keras.models.load_model(foreign_folder / "model.keras", compile=False)

    def convert(end: Callable[[Any], Any]) -> Any:
        def call(image: Any, training: bool) -> Any:
            return end(inner(image, training=training))

        frozen = freeze(call, (1, 32, 32, 3))
        path = tmp_path_factory.mktemp("ends") / "m.tflite"
        path.write_bytes(
            convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))
        )
        return open_model(path, SCALING)

    return convert


def test_a_tflite_of_several_outputs_keeps_its_scores(
    convert: Callable[..., Any], drawn: list[np.ndarray], logits: np.ndarray
) -> None:
    import tensorflow as tf

    foreign = convert(lambda raw: (raw, tf.nn.softmax(raw), tf.argmax(raw, 1)))
    assert foreign.activation == "softmax"
    assert " is used as the scores, " in foreign.words
    np.testing.assert_allclose(foreign.run(drawn), SOFTMAX.apply(logits), atol=1e-3)


def test_a_tflite_of_best_labels_keeps_the_scores_below_them(
    convert: Callable[..., Any], drawn: list[np.ndarray], logits: np.ndarray
) -> None:
    import tensorflow as tf

    for end in (lambda raw: tf.argmax(raw, 1), lambda raw: tf.math.top_k(tf.nn.softmax(raw), 3)[0]):
        raw = convert(end).run(drawn)
        np.testing.assert_array_equal(raw.argmax(axis=1), logits.argmax(axis=1))


def test_the_end_of_a_tflite_is_read_through_what_only_carries_it(
    convert: Callable[..., Any],
) -> None:
    import tensorflow as tf

    flat = convert(lambda raw: tf.reshape(tf.nn.softmax(raw), (1, 1, 1, 3)))
    assert flat.activation == "softmax"
    assert choose_activation(np.array([[0.2, 0.3, 0.4]], np.float32), flat.activation) == NOTHING
    assert convert(lambda raw: raw + tf.constant([0.1, 0.2, 0.3])).activation == "linear"
    assert convert(lambda raw: tf.nn.sigmoid(raw[:, :1])).activation == "sigmoid"
    assert convert(lambda raw: 100 * tf.nn.softmax(raw)).activation == "other"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_cut_file_is_called_so_in_our_own_words(
    foreign_folder: Path, tmp_path: Path, share: float, wording: str
) -> None:
    for name in ("float.tflite", "model.onnx"):
        data = (foreign_folder / name).read_bytes()
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        with pytest.raises(ExportError, match=wording):
            open_model(tmp_path / name, SCALING)


def test_a_tflite_for_an_edge_tpu_names_the_one_to_give(
    foreign_folder: Path, tmp_path: Path, wording: str
) -> None:
    from edgetl_export.graph.flatbuffer import read_tree, write_tree

    tree = read_tree((foreign_folder / "int8.tflite").read_bytes())
    code = tree.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = b"edgetpu-custom-op"
    (tmp_path / "m.tflite").write_bytes(write_tree(tree))
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "m.tflite", SCALING)
