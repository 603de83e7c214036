"""The files of a bundle, whichever engine runs them: what they take, put out, and weigh."""

import numpy as np
import pytest

from edgetl_export.evaluate.tensors import describe
from edgetl_runtime.bundle.reader import Bundle
from tests.export.engines import open_model

ENGINES = ("litert", "onnx")
KINDS = {"int8": np.uint8, "float32": np.float32}
NAMES = [f"{engine}-{precision}" for engine in ENGINES for precision in KINDS]
SHAPES = {"litert": (1, 32, 32, 3), "onnx": (1, 3, 32, 32)}


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_goes_in_and_float_probabilities_come_out(
    bundle: Bundle, tiny_inputs: list[np.ndarray], name: str
) -> None:
    engine, _, precision = name.partition("-")
    model = open_model(engine, bundle.read(bundle.variant(name)))
    assert model.tensors() == [(KINDS[precision], SHAPES[engine]), (np.float32, (1, 4))]
    np.testing.assert_allclose(model.run(tiny_inputs).sum(axis=1), 1, atol=0.02)


@pytest.mark.parametrize("engine", ENGINES)
def test_float32_agrees_with_keras(
    bundle: Bundle, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray, engine: str
) -> None:
    model = open_model(engine, bundle.read(bundle.variant(f"{engine}-float32")))
    # The last one is that of the unknown.
    scores = model.run(tiny_inputs)[:, :-1]
    scores /= scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, tiny_expected, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_is_much_smaller_than_float32(bundle: Bundle, engine: str) -> None:
    int8, float32 = (bundle.variant(f"{engine}-{precision}").bytes for precision in KINDS)
    assert int8 < 0.45 * float32


@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_describes_the_files_as_they_are(bundle: Bundle, name: str) -> None:
    variant = bundle.variant(name)
    assert describe(variant.engine, bundle.read(variant)) == (variant.input, variant.output)
