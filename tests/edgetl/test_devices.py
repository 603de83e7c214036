"""Several devices and half precision: the same training, and a finished model in float32.

TensorFlow divides a processor into logical devices only before its first use: hence a process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_HEAD = """
import json, os, sys
from pathlib import Path
import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from edgetl.networks.backbones import build, find_backbone
from edgetl.training.checkpoint import Checkpoints
from edgetl.training.devices import one_device, training_devices
from edgetl.training.fitting import Fitter
from edgetl.training.steps import Stage
from edgetl.networks.head import build_head
from edgetl.dataset.manifest import scan
from edgetl.networks.model import Cut, build_upper, set_trainable
from edgetl.options import HeadOptions, TrainOptions, FittingOptions
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import CachedRows
from edgetl.training.stages import Learner
from edgetl.networks.weights import find_weights
from edgetl_runtime.image.preprocessing import Preprocessing

folder, lenet = Path(sys.argv[1]), find_backbone("lenet")

def make_head(width=12, **options):
    plain = np.zeros(width, np.float32), np.ones(width, np.float32)
    return build_head(plain, 3, HeadOptions(**options), l2=0.01)

def make_upper():
    network, cut = build(lenet, 32), Cut("blocks", 1)
    set_trainable(lenet, network, cut)
    upper = build_upper(lenet, network, cut)
    return keras.Model(upper.input, make_head(upper.output_shape[-1])(upper.output))

def make_rows(count, width, seed):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, width), np.float32)
    return CachedRows(list(rows), np.arange(count), random.integers(0, 3, count))

def check_finite(model):
    return all(np.isfinite(keras.ops.convert_to_numpy(one)).all() for one in model.variables)
"""
_FIT = (
    _HEAD
    + """
MODELS = {
    "linear": make_head,
    "mlp": lambda: make_head(kind="mlp", hidden=(8,)),
    "upper": make_upper,
    "random": lambda: make_head(kind="mlp", hidden=(8,), dropout=0.3, batch_norm=True),
}

def fit(name, count, replicas):
    keras.utils.set_random_seed(0)
    with training_devices(replicas) as device:
        model = MODELS[name]()
        width = model.input_shape[-1]
        rows, judged = make_rows(count, width, 1), make_rows(9, width, 2)
        recipe = make_recipe("head", FittingOptions(batch=8), epochs=3)
        stage = Stage(0, "head", model, 3, rows, judged, recipe)
        checkpoints = Checkpoints(folder / f"{name}{count}{replicas}")
        history = Fitter(checkpoints, seed=0).fit(stage)
    return {"device": device, "finite": check_finite(model), **history.curves}

# Of 21 rows the last batch has 5, of 17 it has one: less than there are replicas.
print(json.dumps({
    f"{name} {count}": [fit(name, count, replicas) for replicas in (None, 2)]
    for name in MODELS for count in (21, 17)
}))
"""
)
_LEARN = (
    _HEAD
    + """
weights = folder / "lenet.weights.h5"
keras.utils.set_random_seed(0)
build(lenet, 32).save_weights(weights)

def learn(policy, replicas):
    os.environ["EDGETL_CACHE"] = str(folder / f"cache_{policy}_{replicas}")
    keras.config.set_dtype_policy(policy)
    options = TrainOptions(
        backbone="lenet", weights=str(weights), size_px=32, views=1, finetune=1,
        training=FittingOptions(epochs=2, finetune_epochs=2),
    )
    with training_devices(replicas) as device:
        learned = Learner(
            manifest=scan(Path(sys.argv[2]), seed=0),
            options=options,
            backbone=lenet,
            weights=find_weights(options.weights, lenet, 32),
            preprocessing=Preprocessing(width_px=32, height_px=32),
            fitter=Fitter(Checkpoints(folder / f"{policy}_{replicas}"), seed=options.seed),
        ).learn()
        kept = keras.config.dtype_policy().name
    layers = {layer.dtype_policy.name for layer in learned.model.layers}
    return {
        "device": device,
        "kept": kept,
        "dtypes": sorted(layers | {str(one.dtype) for one in learned.model.variables}),
        "losses": [one.curves["val_loss"] for one in learned.histories],
        "scores": learned.predictions[0].probabilities.tolist(),
        "exported": learned.model(np.full((1, 32, 32, 3), 99, np.float32)).numpy().tolist(),
    }

print(json.dumps({
    "one": learn("float32", None),
    "two": learn("float32", 2),
    "half": learn("mixed_float16", None),
}))
"""
)


def run_child(program: str, *arguments: Path) -> Any:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Curves of each model on one device and on two."""
    return run_child(_FIT, tmp_path_factory.mktemp("fitted"))


@pytest.fixture(scope="module")
def learned(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A head and then a block, from photos to the finished model."""
    return run_child(_LEARN, tmp_path_factory.mktemp("learned"), photos)


@pytest.mark.parametrize("rows", [21, 17])
@pytest.mark.parametrize("model", ["linear", "mlp", "upper"])
def test_two_devices_fit_as_one_does(fitted: Any, model: str, rows: int) -> None:
    one, two = fitted[f"{model} {rows}"]
    assert (one.pop("device"), two.pop("device")) == ("CPU", "2 CPU devices")
    for curve, values in one.items():
        assert two[curve] == pytest.approx(values, abs=1e-4), curve


@pytest.mark.parametrize("rows", [21, 17])
def test_a_device_without_rows_does_not_spoil_batch_statistics(fitted: Any, rows: int) -> None:
    assert fitted[f"random {rows}"][1]["finite"]


def test_photos_become_the_same_model_on_two_devices(learned: Any) -> None:
    one, two = learned["one"], learned["two"]
    assert two["device"] == "2 CPU devices"
    for figure in ("losses", "scores", "exported"):
        for row, other in zip(one[figure], two[figure], strict=True):
            assert other == pytest.approx(row, abs=1e-3)


def test_half_precision_ends_in_a_float32_model(learned: Any) -> None:
    one, half = learned["one"], learned["half"]
    assert half["kept"] == "mixed_float16"
    assert half["dtypes"] == ["float32"]
    for row, other in zip(one["losses"], half["losses"], strict=True):
        assert other == pytest.approx(row, abs=0.02)
        assert other != row
