"""What a file can put out besides its scores, and the memory beside it, in every precision."""

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgetl_export.graph.hiding import add_hidden_outputs, conceal_onnx
from edgetl_export.graph.model_graph import Graph
from edgetl_export.options import ExportOptions
from edgetl_export.package.bundling import export_model
from edgetl_export.package.memorizing import Memorizer
from edgetl_export.quantize import onnx_quantizer, tflite_quantizer
from edgetl_export.recipes import RECIPES
from edgetl_export.trained import Trained
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.memory import MOST_BYTES, read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.engines.hidden_outputs import Reveal, Seen
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame

NAMES = [recipe.name for recipe in RECIPES]
CHANNELS = (128,)
CALIBRATED = ("int8", "mixed", "int16x8")
# Of the largest feature; one step of 8 bits is 1/255.
ROUNDING = {"int8": 0.01, "mixed": 0.01, "float16": 2e-3}
# Logits that are a scale of 8 bits apart.
SCORE_ROUNDING = {"int8": 0.02, "mixed": 0.02, "dynamic": 0.02, "float16": 2e-3}


@pytest.fixture(scope="module")
def everything(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small classifier in every precision of both engines."""
    out = tmp_path_factory.mktemp("everything") / "all.bundle"
    options = ExportOptions(recipes=tuple(NAMES), repair="none", allow_drop=True)
    return export_model(trained, out, options).bundle


def look(bundle: Bundle, name: str, reveal: Reveal, pictures: Sequence[Frame]) -> list[Seen]:
    variant = bundle.variant(name)
    tensors = (variant.input, variant.output)
    model = bundle.read(variant)
    engine = open_engine(variant.engine, model, tensors, 1, variant.hidden, reveal)
    return [engine.look(one) for one in pictures]


def run(bundle: Bundle, variant: Variant, pictures: Sequence[Frame]) -> list[np.ndarray]:
    engine = open_engine(variant.engine, bundle.read(variant), (variant.input, variant.output), 1)
    return [engine.run(one) for one in pictures]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_announces_its_scores_only(everything: Bundle, name: str) -> None:
    data = everything.read(everything.variant(name))
    if name.startswith("litert"):
        interpreter = Interpreter(model_content=data)
        assert len(interpreter.get_output_details()) == 1
        outputs: Any = interpreter.get_signature_list()
        assert all(len(one["outputs"]) == 1 for one in outputs.values())
    else:
        assert len(onnxruntime.InferenceSession(data).get_outputs()) == 1


@pytest.mark.parametrize("reveal", ["features", "maps"])
@pytest.mark.parametrize("name", NAMES)
def test_looking_leaves_the_scores_as_they_are(
    everything: Bundle, drawn: list[Frame], name: str, reveal: Reveal
) -> None:
    plain = run(everything, everything.variant(name), drawn)
    seen = [one.scores for one in look(everything, name, reveal, drawn)]
    # Without a graph's inner ends ONNX Runtime leaves casts to float16 and back out.
    within = 1e-3 if name == "onnx-float16" else 1e-6
    np.testing.assert_allclose(seen, plain, atol=within)


@pytest.mark.parametrize("name", NAMES)
def test_the_means_of_the_maps_are_the_features(
    everything: Bundle, drawn: list[Frame], name: str
) -> None:
    variant = everything.variant(name)
    assert variant.hidden is not None
    assert variant.hidden.map_channels == CHANNELS
    for one in look(everything, name, "maps", drawn):
        assert [values.dtype for values in (one.features, *one.maps)] == [np.float32] * 2
        means = np.concatenate([values.mean(axis=(0, 1)) for values in one.maps])
        if variant.precision in CALIBRATED:
            # Calibration leaves the range that hardly any photo reaches out.
            means = means.clip(max=one.features.max())
        within = ROUNDING.get(variant.precision, 1e-3) * one.features.max()
        np.testing.assert_allclose(one.features, means, atol=within)


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_the_memory_makes_the_scores_of_the_features(
    everything: Bundle, drawn: list[Frame], name: str
) -> None:
    variant = everything.variant(name)
    memory = read_memory(everything, variant)
    assert memory is not None
    for one in look(everything, name, "features", drawn):
        logits = one.features @ memory.kernel + memory.bias
        powers = np.exp(logits - logits.max())
        within = SCORE_ROUNDING.get(variant.precision, 1e-3)
        # Without that of the unknown.
        scores = one.scores[:-1] / one.scores[:-1].sum()
        np.testing.assert_allclose(powers / powers.sum(), scores, atol=within)


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_holds_the_features_of_the_photos_of_both_parts(
    everything: Bundle, trained: Trained, name: str
) -> None:
    variant = everything.variant(name)
    memory = read_memory(everything, variant)
    assert memory is not None
    truth = [photo.index for photo in trained.training]
    held_out = [photo.index for photo in trained.validation.photos]
    assert sorted(memory.classes[~memory.held_out]) == sorted(truth)
    assert sorted(memory.classes[memory.held_out]) == sorted(held_out)
    photos = [*trained.training, *trained.validation.photos]
    inputs = [trained.preprocessing.apply(read_picture(one.file)) for one in photos]
    seen = np.stack([one.features for one in look(everything, name, "features", inputs)])
    order = np.lexsort(seen.astype(np.float16).T)
    np.testing.assert_array_equal(
        memory.rows[np.lexsort(memory.rows.T)], seen.astype(np.float16)[order]
    )


def test_two_exports_have_equal_memories(
    bundle: Bundle, trained: Trained, everything: Bundle
) -> None:
    one, other = (which.variant("litert-float32").memory for which in (bundle, everything))
    assert one is not None
    assert one == other


def test_a_memory_stays_below_its_limit_with_many_classes(everything: Bundle) -> None:
    """Rows give way to the head; without room for the head there is none."""
    variant = everything.variant("litert-float32")
    memory = read_memory(everything, variant)
    assert variant.memory is not None
    assert variant.memory.bytes < MOST_BYTES
    assert memory is not None


@pytest.mark.parametrize("classes", [60, 1_000, 2_000])
def test_rows_give_way_to_the_head(trained: Trained, classes: int) -> None:
    labels = tuple(f"class {n}" for n in range(classes))
    many = msgspec.structs.replace(trained, labels=labels)
    file = _finish(many, classes)
    memory = Memorizer(many).remember(file)
    if memory is None:
        assert 128 * classes * 4 > MOST_BYTES - 2 * 10**4
        return
    assert memory.kernel.nbytes + memory.rows.nbytes < MOST_BYTES
    assert len(memory.rows) == (len(trained.training) + len(trained.validation.photos)) * (
        classes < 1_000
    )


def _finish(trained: Trained, classes: int) -> Any:
    """The small classifier's file with a head of so many classes."""
    from edgetl_export.graph.hiding import conceal_tflite
    from edgetl_export.quantize.model_files import FileWriter
    from edgetl_export.quantize.repairs import Plan
    from edgetl_export.recipes import find_recipes

    file = FileWriter(trained).write(Plan(find_recipes(["litert-float32"])[0]))
    data, ending = add_hidden_outputs(file.data)
    assert ending is not None
    hidden = conceal_tflite(data, ending)
    head = Head(np.zeros((128, classes), np.float32), np.zeros(classes, np.float32))
    return msgspec.structs.replace(file, data=hidden.data, hidden=hidden.outputs, head=head)


def test_features_that_are_not_means_have_no_maps() -> None:
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    maps = layers.Conv2D(8, 3, 2, activation="relu")(image)
    scores = layers.Dense(3, "softmax")(layers.GlobalMaxPooling2D()(maps))
    graph = tflite_quantizer.convert(keras.Model(image, scores))
    _, ending = add_hidden_outputs(graph)
    assert ending is not None
    assert (ending.maps, ending.map_channels) == ((), ())
    concealed = conceal_onnx(onnx_quantizer.convert(graph))
    assert concealed is not None
    assert (concealed.outputs.maps, concealed.outputs.map_channels) == (b"", ())


def test_a_classifier_without_a_softmax_at_its_end_has_no_hidden_outputs() -> None:
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3))
    maps = layers.Conv2D(8, 3, 2, activation="relu")(image)
    scores = layers.Dense(3, "sigmoid")(layers.GlobalAveragePooling2D()(maps))
    graph = tflite_quantizer.convert(keras.Model(image, scores))
    assert add_hidden_outputs(graph) == (graph, None)
    assert conceal_onnx(onnx_quantizer.convert(graph)) is None


def test_maps_in_another_order_than_the_features_are_told_apart(
    everything: Bundle, trained: Trained
) -> None:
    """A file whose maps do not make up its features is not taken at its word."""
    shuffled = onnx.load_from_string(everything.read(everything.variant("onnx-float32")))
    assert _are_means(everything, trained, bytes(shuffled.SerializeToString()))
    (pool,) = (one for one in shuffled.graph.node if one.op_type == "GlobalAveragePool")
    pool.op_type = "GlobalMaxPool"
    assert not _are_means(everything, trained, bytes(shuffled.SerializeToString()))


def _are_means(bundle: Bundle, trained: Trained, data: bytes) -> bool:
    from edgetl_export.quantize.model_files import ModelFile
    from edgetl_export.quantize.repairs import Plan
    from edgetl_export.recipes import find_recipes

    variant = bundle.variant("onnx-float32")
    assert variant.hidden is not None
    hidden = msgspec.structs.replace(variant.hidden, offset=len(data))
    plan = Plan(find_recipes(["onnx-float32"])[0])
    file = ModelFile(plan, data, (variant.input, variant.output), hidden=hidden)
    return Memorizer(trained).are_means(file)


def test_the_metadata_can_still_be_read(everything: Bundle) -> None:
    """The labels lie in a zip behind the flatbuffer, which a changed length must not move."""
    import zipfile

    for name in ("litert-int8", "litert-float16"):
        data = everything.read(everything.variant(name))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            named = archive.read("labels.txt").decode().split()
            assert named == list(everything.manifest.outputs)


def test_a_float_file_reads_as_a_graph_again(everything: Bundle) -> None:
    graph = Graph(everything.read(everything.variant("litert-float32")))
    assert graph.shape(graph.output) == (1, len(everything.manifest.outputs))
