"""The .tflite files: every precision follows Keras, in the bytes that it promises."""

import warnings
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgetl_export.evaluate.tensors import describe_tflite
from edgetl_export.graph.activations import choose_ranges, find_extremes
from edgetl_export.graph.model_graph import Graph
from edgetl_export.quantize.tflite_quantizer import convert, quantize
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import ExportError
from tests.export.engines import LiteRT


@pytest.fixture(scope="session")
def tiny_graph(tiny_model: Any) -> Graph:
    return Graph(convert(tiny_model))


@pytest.fixture(scope="session")
def tiny_ranges(tiny_graph: Graph, tiny_inputs: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    extremes = find_extremes(tiny_graph, tiny_inputs)
    return dict(choose_ranges(tiny_graph, extremes, 1.0))


def test_int8_follows_keras(
    tiny_graph: Graph,
    tiny_ranges: dict[str, tuple[float, float]],
    tiny_inputs: list[np.ndarray],
    tiny_expected: np.ndarray,
) -> None:
    data = quantize(tiny_graph.encode(), "int8", tiny_ranges)
    found = LiteRT(data).run(tiny_inputs)
    assert tiny_expected.std(axis=0).max() > 0.03
    np.testing.assert_allclose(found, tiny_expected, atol=0.02)


@pytest.mark.parametrize(
    ("precision", "share", "most"),
    [("float16", 0.6, 0.002), ("dynamic", 0.4, 0.02), ("int16x8", 0.45, 0.01)],
)
def test_other_precisions_follow_keras_in_fewer_bytes(
    tiny_graph: Graph,
    tiny_ranges: dict[str, tuple[float, float]],
    tiny_inputs: list[np.ndarray],
    tiny_expected: np.ndarray,
    precision: Any,
    share: float,
    most: float,
) -> None:
    ranges = tiny_ranges if precision == "int16x8" else {}
    data = quantize(tiny_graph.encode(), precision, ranges)
    assert len(data) < share * len(tiny_graph.encode())
    entry, _ = describe_tflite(data)
    assert (entry.dtype, entry.shape) == ("float32", (1, 32, 32, 3))
    np.testing.assert_allclose(LiteRT(data).run(tiny_inputs), tiny_expected, atol=most)


def test_a_layer_that_is_kept_stays_in_float(
    tiny_graph: Graph, tiny_ranges: dict[str, tuple[float, float]]
) -> None:
    name = tiny_graph.convolutions[1].name

    def kinds(data: bytes) -> set[str]:
        details = Interpreter(model_content=data).get_tensor_details()
        return {np.dtype(one["dtype"]).name for one in details if one["name"] == name}

    model = tiny_graph.encode()
    assert kinds(quantize(model, "int8", tiny_ranges)) == {"int8"}
    assert kinds(quantize(model, "mixed", tiny_ranges, keep=[name])) == {"float32"}


def test_one_step_of_the_int8_input_is_one_level(bundle: Bundle) -> None:
    model = LiteRT(bundle.read(bundle.variant("litert-int8")))
    assert model.entry["shape_signature"].tolist() == [1, 32, 32, 3]
    scale, zero_point = model.entry["quantization"]
    assert scale == pytest.approx(1, abs=1e-3)
    assert zero_point == 0


def test_every_layer_of_the_int8_file_is_quantized(bundle: Bundle) -> None:
    interpreter = LiteRT(bundle.read(bundle.variant("litert-int8"))).interpreter
    floats = [
        detail["name"]
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.float32 and len(detail["shape"]) == 4
    ]
    assert floats == []


def test_a_model_that_wants_int8_pixels_is_refused(
    tiny_graph: Graph, tiny_ranges: dict[str, tuple[float, float]], wording: str
) -> None:
    from litert_quantizer import quantizer, recipe

    work = quantizer.Quantizer(tiny_graph.encode(), recipe.static_wi8_ai8())
    pairs = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in tiny_ranges.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        done = work.quantize(pairs, enable_progress_report=False)
    with pytest.raises(ExportError, match=wording):
        describe_tflite(bytes(done.quantized_model))


def test_bytes_that_are_no_model_are_refused(wording: str) -> None:
    with pytest.raises(ExportError, match=wording):
        describe_tflite(b"no model at all" * 100)
