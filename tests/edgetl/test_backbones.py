"""The table of backbones against the networks that it builds."""

from pathlib import Path

import numpy as np
import pytest

from edgetl.networks.backbones import (
    BACKBONES,
    apply_scaling,
    build,
    count_multiply_adds,
    find_backbone,
    share_of_multiply_adds,
)
from edgetl_runtime.errors import EdgetlError

PROMISED = (
    *(f"mobilenet_v1_{width}" for width in ("0.25", "0.5", "0.75", "1.0")),
    *(f"mobilenet_v2_{width}" for width in ("0.35", "0.5", "0.75", "1.0", "1.3", "1.4")),
    *(f"mobilenet_v3_{size}" for size in ("small", "large")),
    *(f"mobilenet_v3_{size}_minimalistic" for size in ("small", "large")),
    *(f"efficientnet_b{number}" for number in range(8)),
    *(f"efficientnet_v2_b{number}" for number in range(4)),
    *(f"efficientnet_lite{number}" for number in range(5)),
    *("lenet", "cnn", "vgg16", "resnet50", "inception_v3", "densenet121"),
)
# By the papers; where there is no stem, the lowest block has no cut below it.
BLOCKS = {
    "mobilenet_v1_0.25": 13,
    "mobilenet_v2_0.35": 17,
    "mobilenet_v3_small": 11,
    "mobilenet_v3_large_minimalistic": 15,
    "efficientnet_b0": 16,
    "efficientnet_b1": 23,
    "efficientnet_b2": 23,
    "efficientnet_b3": 26,
    "efficientnet_b4": 32,
    "efficientnet_b5": 39,
    "efficientnet_b6": 45,
    "efficientnet_b7": 55,
    "efficientnet_v2_b0": 21,
    "efficientnet_v2_b1": 27,
    "efficientnet_v2_b2": 28,
    "efficientnet_v2_b3": 32,
    "efficientnet_lite0": 16,
    "efficientnet_lite1": 21,
    "efficientnet_lite2": 21,
    "efficientnet_lite3": 24,
    "efficientnet_lite4": 30,
    "vgg16": 5,
    "resnet50": 16,
    "inception_v3": 11,
    "densenet121": 4,
    "cnn": 4,
    "lenet": 4,
}
STEMLESS = ("vgg16", "cnn", "lenet")
# With the top, millions of parameters (the documentation of Keras) and of multiply-adds (Tan and
# Le 2019, table 2, and 2021, table 7). Building them takes seconds each; the smallest and the
# largest of both families are built.
PUBLISHED = {
    "efficientnet_b1": (7.9, 700),
    "efficientnet_b2": (9.2, 1000),
    "efficientnet_b3": (12.3, 1800),
    "efficientnet_b4": (19.5, 4200),
    "efficientnet_b5": (30.6, 9900),
    "efficientnet_b6": (43.3, 19000),
    "efficientnet_v2_b1": (8.2, 1200),
    "efficientnet_v2_b2": (10.2, 1700),
}
BUILT = tuple(name for name in BACKBONES if name not in PUBLISHED)
SCALED_BY_US = ("mobilenet_v2_0.35", "vgg16", "resnet50", "inception_v3", "densenet121", "lenet")


def test_table_has_all_that_is_promised() -> None:
    assert set(PROMISED) <= BACKBONES.keys()


def test_names_are_those_of_the_rows() -> None:
    assert all(name == row.name for name, row in BACKBONES.items())


@pytest.mark.parametrize("name", BUILT)
def test_facts_are_those_of_the_built_network(name: str) -> None:
    import keras

    backbone = BACKBONES[name]
    network = build(backbone, backbone.size_px)
    assert network.input_shape == (None, backbone.size_px, backbone.size_px, 3)
    assert network.count_params() == backbone.parameters
    assert count_multiply_adds(network) / 1e6 == pytest.approx(backbone.multiply_adds_m, abs=0.06)
    scales_by_itself = any(isinstance(layer, keras.layers.Rescaling) for layer in network.layers)
    assert scales_by_itself == (backbone.scaling == "inside")
    layers = {layer.name for layer in network.layers}
    assert layers.issuperset(backbone.taps)
    assert layers.issuperset(backbone.cuts)
    # Keras refuses a half that needs more than the cut; and each weight is in one half.
    for cut in {backbone.cuts[0], backbone.cuts[len(backbone.cuts) // 2], backbone.cuts[-1]}:
        tensor = network.get_layer(cut).output
        halves = keras.Model(network.input, tensor), keras.Model(tensor, network.output)
        assert sum(half.count_params() for half in halves) == backbone.parameters
    if backbone.pretrained:
        share = share_of_multiply_adds(network, backbone.cuts[backbone.auto_blocks - 1])
        assert 0.03 < share < 0.23


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_facts_between_the_smallest_and_the_largest_are_the_published_ones(
    name: str, published: tuple[float, float]
) -> None:
    backbone, (parameters_m, multiply_adds_m) = BACKBONES[name], published
    # What the top of 1000 classes weighs: Keras rounds the 1280 features of B0 to multiples of 8.
    width = {"b1": 1.0, "b2": 1.1, "b3": 1.2, "b4": 1.4, "b5": 1.6, "b6": 1.8}[name[-2:]]
    top = (round(1280 * width / 8) * 8 + 1) * 1000
    assert round((backbone.parameters + top) / 1e6, 1) == parameters_m
    assert backbone.multiply_adds_m == pytest.approx(multiply_adds_m, rel=0.05)


def test_multiply_adds_agree_with_the_published_ones() -> None:
    # The MobileNetV2 paper (Sandler et al. 2018, table 4) counts 300 million with the top.
    assert find_backbone("mobilenet_v2_1.0").multiply_adds_m == pytest.approx(300, abs=2)
    # He et al. 2016, table 1, with the top's 2 million.
    assert find_backbone("resnet50").multiply_adds_m == pytest.approx(3800, rel=0.02)


@pytest.mark.parametrize(("name", "blocks"), BLOCKS.items())
def test_there_is_a_cut_below_each_block_that_lies_on_something(name: str, blocks: int) -> None:
    assert len(BACKBONES[name].cuts) == blocks - (name in STEMLESS)


# One of each family, at the least size; at their own, the test of the facts cuts all of them.
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_0.25",
        "mobilenet_v2_0.35",
        "mobilenet_v3_small",
        "efficientnet_v2_b0",
        "efficientnet_lite0",
        "vgg16",
        "resnet50",
        "inception_v3",
        "densenet121",
        "cnn",
        "lenet",
    ],
)
def test_halves_at_a_cut_compute_what_the_network_does(name: str) -> None:
    import keras

    backbone = BACKBONES[name]
    keras.utils.set_random_seed(1)
    network = build(backbone, backbone.least_px)
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, *network.input_shape[1:]))
    images = pixels.astype(np.float32)
    tensor = network.get_layer(backbone.cuts[len(backbone.cuts) // 2]).output
    below, above = keras.Model(network.input, tensor), keras.Model(tensor, network.output)
    whole = np.array(network(images))
    assert whole.std() > 0
    np.testing.assert_allclose(above(below(images)), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25", "lenet"])
def test_a_higher_cut_leaves_less_to_compute(name: str) -> None:
    backbone = BACKBONES[name]
    network = build(backbone, backbone.least_px)
    shares = [share_of_multiply_adds(network, cut) for cut in backbone.cuts]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] < 1


@pytest.mark.parametrize("name", BACKBONES)
def test_auto_leaves_blocks_frozen(name: str) -> None:
    assert 1 <= BACKBONES[name].auto_blocks <= len(BACKBONES[name].cuts) // 2


# Inception's lowest cut has such a name, and the test of the facts builds it after many others.
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "cnn"])
def test_layers_have_the_same_names_whatever_was_built_before(name: str) -> None:
    backbone = BACKBONES[name]
    first, second = (build(backbone, backbone.least_px) for _ in range(2))
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", SCALED_BY_US)
def test_scaling_is_that_of_keras_applications(name: str) -> None:
    import keras

    module = {
        "vgg16": keras.applications.vgg16,
        "resnet50": keras.applications.resnet,
        "inception_v3": keras.applications.inception_v3,
        "densenet121": keras.applications.densenet,
    }.get(name, keras.applications.mobilenet_v2)
    expected = module.preprocess_input(_pictures()[0].astype(np.float32)[np.newaxis].copy())
    scaled = np.array(_scaling_model(name)(_pictures()[0].astype(np.float32)[np.newaxis]))
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["vgg16", "densenet121"])
def test_scaling_has_nothing_to_train_and_outlives_a_file_and_a_clone(
    name: str, tmp_path: Path
) -> None:
    import keras

    model = _scaling_model(name)
    model.save(tmp_path / "scaling.keras")
    images = np.stack(_pictures()).astype(np.float32)
    for other in (
        keras.saving.load_model(tmp_path / "scaling.keras"),
        keras.models.clone_model(model),
    ):
        assert not other.trainable_weights
        np.testing.assert_array_equal(other(images), model(images))


@pytest.mark.parametrize("name", ["vgg16", "densenet121"])
@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_int8_scaling_errs_by_no_more_than_a_step(name: str, engine: str) -> None:
    model, pictures = _scaling_model(name), _pictures()
    expected = np.array(model(pictures[0].astype(np.float32)[np.newaxis]))
    # All colours share one step; with ImageNet's means it is 1.08 to 1.09 levels.
    step = (expected.max() - expected.min()) / 255
    run = _run_litert_int8 if engine == "litert" else _run_onnx_int8
    error = run(model, pictures) - expected
    assert np.abs(error).max() < 0.51 * step
    assert np.abs(error.mean(axis=(0, 1, 2))).max() < 0.05 * step


def test_a_network_that_scales_by_itself_gets_the_image_as_it_is() -> None:
    import keras

    image = keras.Input((32, 32, 3))
    assert apply_scaling(find_backbone("efficientnet_v2_b0"), image) is image


def test_lenet_ends_in_one_map_element_at_its_own_size() -> None:
    assert build(find_backbone("lenet"), 32).output_shape == (None, 1, 1, 84)
    assert build(find_backbone("lenet"), 64).output_shape == (None, 9, 9, 84)


def test_lenet_trains_from_scratch_and_exports(photos: Path, tmp_path: Path) -> None:
    from edgetl.exporting.runs import export_run
    from edgetl.options import FittingOptions, TrainOptions
    from edgetl.run import Run
    from edgetl.training.train import train

    options = TrainOptions(backbone="lenet", weights="none", training=FittingOptions(epochs=2))
    train(photos, tmp_path / "run", options)
    bundle = export_run(Run.open(tmp_path / "run"), tmp_path / "parts.bundle").bundle
    variants = bundle.manifest.variants
    assert {one.engine for one in variants} == {"litert", "onnx"}
    assert all(one.metrics.agreement == 1.0 for one in variants if one.precision == "float32")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("mobilenet_v2_0.53", "mobilenet_v2_0.5"),
        ("MobileNet_V2_1.0", "mobilenet_v2_1.0"),
        ("efficientnet_v2b0", "efficientnet_v2_b0"),
        ("InceptionV3", "inception_v3"),
        ("LeNet-5", "lenet"),
    ],
)
def test_unknown_name_suggests_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(EdgetlError, match=f"unknown backbone '{wrong}'; did you mean {meant}?"):
        find_backbone(wrong)


def test_a_name_like_none_still_says_where_the_list_is(wording: str) -> None:
    with pytest.raises(EdgetlError, match=wording):
        find_backbone("#")


@pytest.mark.parametrize(
    ("name", "least_px"), [("mobilenet_v2_0.35", 32), ("lenet", 32), ("inception_v3", 75)]
)
def test_a_size_that_leaves_no_map_is_refused(name: str, least_px: int) -> None:
    with pytest.raises(EdgetlError, match=f"too small for {name}; {least_px} px is the least"):
        build(find_backbone(name), least_px - 1)
    assert find_backbone(name).least_px == least_px


def _pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8))


def _scaling_model(name: str):
    import keras

    image = keras.Input((16, 16, 3), name="image")
    return keras.Model(image, apply_scaling(find_backbone(name), image))


def _run_litert_int8(model, pictures: list[np.ndarray]) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    from edgetl_export.graph.activations import choose_ranges, find_extremes
    from edgetl_export.graph.model_graph import Graph
    from edgetl_export.quantize import tflite_quantizer

    graph = Graph(tflite_quantizer.convert(model))
    ranges = choose_ranges(graph, find_extremes(graph, pictures), 1.0)
    interpreter = Interpreter(
        model_content=tflite_quantizer.quantize(graph.encode(), "int8", ranges)
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pictures[0][np.newaxis])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _run_onnx_int8(model, pictures: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    from edgetl_export.quantize import onnx_quantizer, tflite_quantizer

    ready = onnx_quantizer.prepare(onnx_quantizer.convert(tflite_quantizer.convert(model)))
    ranges = onnx_quantizer.choose_ranges(onnx_quantizer.find_extremes(ready, pictures), 1.0)
    file = onnx_quantizer.quantize(ready, ranges)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    planes = pictures[0].transpose(2, 0, 1)[np.newaxis]
    (scaled,) = session.run(None, {session.get_inputs()[0].name: planes})
    return scaled
