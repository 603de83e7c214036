"""The trade-off: every figure is that of the very file, and of the layer that it names."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from edgetl_export.evaluate.gate import Gate
from edgetl_export.graph.activations import Extremes, collect_statistics
from edgetl_export.graph.model_graph import Graph
from edgetl_export.progress import shown
from edgetl_export.quantize.distribution import BINS, find_distributions
from edgetl_export.quantize.latency import measure_latencies
from edgetl_export.quantize.model_files import FileWriter
from edgetl_export.quantize.repairs import PHOTOS, Plan
from edgetl_export.quantize.tradeoff import WORST, Tradeoff, measure_tradeoff
from edgetl_export.recipes import find_recipes
from edgetl_export.trained import Trained

T = TypeVar("T")
# One photo of the few that validate is more than a point.
WIDE = Extremes(np.array([-70.0], np.float32), np.array([90.0], np.float32))
LENIENT, STRICT = Gate(20.0, 60.0), Gate(0.0, 5.0)


@pytest.fixture(scope="module")
def found(trained: Trained) -> Tradeoff:
    return measure_tradeoff(trained, find_recipes(["int8", "litert-float16"]), LENIENT)


def test_recipes_come_in_the_order_that_a_device_prefers(found: Tradeoff) -> None:
    names = [outcome.recipe for outcome in found.outcomes]
    assert names == ["litert-int8", "litert-float16", "onnx-int8"]
    assert set(found.engines) == {"litert", "onnx"}
    assert found.engines["onnx"].startswith("onnxruntime ")


def test_figures_are_those_of_the_file(found: Tradeoff, trained: Trained) -> None:
    plain = found.outcomes[0].plain
    file = FileWriter(trained).write(Plan(*find_recipes(["litert-int8"])))
    assert plain.bytes == len(file.data)
    assert plain.precision == "int8"
    assert found.top1 - plain.drop == pytest.approx(plain.top1)
    assert found.examples == len(trained.validation.photos)
    float16 = found.outcomes[1].chosen
    assert float16.agreement == 1.0
    assert float16.worst_class_drop == 0.0
    assert plain.bytes < float16.bytes < len(trained.graph)


def test_int8_is_shown_before_and_after_the_repair(found: Tradeoff) -> None:
    outcome = found.outcomes[0]
    assert [one.repair for one in outcome.tried] == ["", "head refitted"]
    assert outcome.chosen.agreement == max(one.agreement for one in outcome.tried)


def test_a_repair_that_takes_another_recipe_is_named(exploding: Trained) -> None:
    (outcome,) = measure_tradeoff(
        exploding, find_recipes(["litert-int8"]), STRICT, repair="thorough"
    ).outcomes
    assert outcome.recipe == outcome.plain.recipe == "litert-int8"
    assert outcome.plain.failures
    assert outcome.plain.kept == ()
    # The first that passes ends the search.
    assert [one.passed for one in outcome.tried] == [False] * outcome.best + [True]
    assert outcome.chosen.recipe == "litert-mixed"
    assert outcome.chosen.repair.endswith(" in float")
    assert outcome.chosen.kept
    assert outcome.chosen.latency_ms != outcome.plain.latency_ms


def test_plain_and_chosen_files_are_timed_against_float32_of_their_engine(found: Tradeoff) -> None:
    for outcome in found.outcomes:
        for one in (outcome.plain, outcome.chosen):
            assert one.latency_ms is not None
            assert one.latency_ms > 0
            assert one.latency_ratio is not None
            assert 0.05 < one.latency_ratio < 20
    # The float32 files were not asked for, yet each is the measure of its engine.
    litert = [outcome.chosen for outcome in found.outcomes if outcome.engine == "litert"]
    references = [one.latency_ms / one.latency_ratio for one in litert]  # type: ignore[operator]
    assert references == pytest.approx(references[:1] * len(references))


def test_a_slower_file_takes_longer(trained: Trained) -> None:
    writer = FileWriter(trained)
    names = ["litert-float32", "litert-int16x8"]
    files = [writer.write(Plan(*find_recipes([name]))) for name in names]
    seen: list[str] = []

    def show(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        seen.append(f"{description}: {total}")
        yield from items

    pictures = writer.inputs(1)
    with shown(show):
        fast, slow = measure_latencies(files, pictures[0])
    assert 0 < fast < slow
    assert seen == ["timing the files in turn: 13"]


def test_layers_are_sorted_and_their_bytes_are_part_of_the_file(
    found: Tradeoff, trained: Trained
) -> None:
    divergences = [layer.divergence for layer in found.layers]
    assert divergences == sorted(divergences, reverse=True)
    assert {layer.kind for layer in found.layers} <= {"convolution", "depthwise", "dense"}
    assert [layer.kind for layer in found.layers].count("dense") == 1
    for layer in found.layers:
        assert layer.share == pytest.approx(4 * layer.parameters / len(trained.graph))
    assert 0.3 < sum(layer.share for layer in found.layers) < 1


def test_distributions_are_of_the_most_sensitive_layers(found: Tradeoff) -> None:
    names = [layer.name for layer in found.layers[:WORST]]
    assert [one.name for one in found.distributions] == names
    for one in found.distributions:
        assert one.whole[0] <= one.chosen[0] < one.chosen[1]
        sizes = [max(map(abs, span)) for span in one.weights]
        assert sizes == sorted(sizes, reverse=True)


def test_every_input_is_counted_in_its_bin(trained: Trained) -> None:
    writer = FileWriter(trained)
    graph, extremes, ranges = writer.observe()
    layer = graph.convolutions[-1]
    pictures = writer.inputs(PHOTOS)
    entry = graph.name(layer.inputs[0])
    (one,) = find_distributions(graph, [layer.name], extremes, ranges, pictures)
    (wider,) = find_distributions(graph, [layer.name], {**extremes, entry: WIDE}, ranges, pictures)
    seen = collect_statistics(
        graph.encode(), pictures, lambda get: get(layer.inputs[0]).reshape(-1)
    )
    values = np.concatenate([*seen])
    assert one.whole == (values.min(), values.max())
    assert one.chosen == ranges[entry]
    for found in (one, wider):
        expected, _ = np.histogram(values, BINS, found.whole)
        # At an edge rounding may choose the neighbour.
        assert np.abs(np.array(found.counts) - expected).sum() <= 1e-3 * values.size
        assert sum(found.counts) == values.size
    kernel = graph.values(layer.kernel).reshape(graph.shape(layer.kernel)[0], -1)
    assert sorted(one.weights) == sorted(
        zip(kernel.min(axis=1).tolist(), kernel.max(axis=1).tolist(), strict=True)
    )


def test_a_depthwise_layer_has_its_channels_last(trained: Trained) -> None:
    writer = FileWriter(trained)
    graph, extremes, ranges = writer.observe()
    layer = next(one for one in graph.convolutions if graph.shape(one.kernel)[0] == 1)
    (one,) = find_distributions(graph, [layer.name], extremes, ranges, writer.inputs(2))
    assert len(one.weights) == graph.shape(layer.kernel)[-1] > 1


def test_a_tradeoff_is_json_and_back(found: Tradeoff) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Tradeoff) == found


def test_layers_have_the_names_of_the_float_graph(found: Tradeoff, trained: Trained) -> None:
    names = {one.name for one in Graph(trained.graph).operators}
    assert {layer.name for layer in found.layers} <= names
