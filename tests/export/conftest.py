"""What the tests of export share: the trained model, inputs, and the exported files."""

import hashlib
import json
import shutil
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
    """uint8 (32, 32, 3) of every photo."""
    from edgetl_export.calibration import load_inputs
    from edgetl_runtime.preprocessing import Preprocessing

    return load_inputs(sorted(photos.rglob("*.jpg")), Preprocessing(32, 32), "reading")


@pytest.fixture(scope="session")
def tiny_expected(tiny_model: Any, tiny_inputs: list[np.ndarray]) -> np.ndarray:
    """The small classifier's scores of those."""
    return np.asarray(tiny_model.predict_on_batch(np.stack(tiny_inputs).astype(np.float32)))


@pytest.fixture(scope="session")
def exploding_run(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model says the same as another's, but quantizes badly.

    One channel is a thousand times larger after a layer and as much smaller in the kernel of the
    next one, so that one step of 8 bits for the whole layer leaves nothing of the others.
    """
    from edgetl.networks.arrays import encode_weights
    from edgetl.run import Run

    folder = Path(shutil.copytree(tiny_run_folder, tmp_path_factory.mktemp("runs") / "exploding"))
    model: Any = Run.open(folder).load_model()
    backbone = next(layer for layer in model.layers if hasattr(layer, "layers"))
    norm, conv = backbone.get_layer("block2_bn"), backbone.get_layer("block3_conv")
    gamma, beta, *statistics = norm.get_weights()
    (kernel,) = conv.get_weights()
    gamma[0], beta[0], kernel[:, :, 0] = gamma[0] * 1000, beta[0] * 1000, kernel[:, :, 0] / 1000
    norm.set_weights([gamma, beta, *statistics])
    conv.set_weights([kernel])
    weights = encode_weights(model)
    (folder / "weights.npz").write_bytes(weights)
    record = json.loads((folder / "run.json").read_text())
    record["model_sha256"] = hashlib.sha256(weights).hexdigest()
    (folder / "run.json").write_text(json.dumps(record))
    return folder
