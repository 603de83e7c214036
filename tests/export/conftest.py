"""What the tests of export share: the trained model, inputs, and the exported files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl_runtime.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture(scope="session")
def inputs(photos: Path, bundle: Bundle) -> np.ndarray:
    """uint8 (9, 64, 64, 3): what the device makes of nine photos."""
    from edgetl_runtime.pictures import read_picture

    files = sorted(photos.rglob("*.jpg"))[::5][:9]
    return np.stack([bundle.manifest.preprocessing.apply(read_picture(file)) for file in files])


@pytest.fixture(scope="session")
def expected(run_folder: Path, inputs: np.ndarray) -> np.ndarray:
    """The trained Keras model's scores of the inputs."""
    from edgetl.run import Run

    scores: Any = Run.open(run_folder).load_model().predict_on_batch(inputs.astype(np.float32))
    return np.asarray(scores)


@pytest.fixture(scope="session")
def tiny_model(tiny_run_folder: Path) -> Any:
    """A small Keras classifier for 32 px."""
    from edgetl.run import Run

    return Run.open(tiny_run_folder).load_model()


@pytest.fixture(scope="session")
def tiny_inputs(photos: Path) -> list[np.ndarray]:
    """uint8 (32, 32, 3) of every photo; the first one holds black and white."""
    from edgetl_export.calibration import load_inputs
    from edgetl_runtime.preprocessing import Preprocessing

    return load_inputs(sorted(photos.rglob("*.jpg")), Preprocessing(32, 32))


@pytest.fixture(scope="session")
def tiny_expected(tiny_model: Any, tiny_inputs: list[np.ndarray]) -> np.ndarray:
    """The small classifier's scores of those."""
    return np.asarray(tiny_model.predict_on_batch(np.stack(tiny_inputs).astype(np.float32)))
