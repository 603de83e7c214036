"""Shared by all tests: drawn photos, random weights, and one run and one bundle made of them.

Imports nothing heavy, since tests/runtime also runs where only the device package is installed.
"""

import functools
import os
import re
import shutil
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.authority import Authority
from tests.browsers.browser import NotInstalledError
from tests.browsers.chromium import Chromium

if TYPE_CHECKING:
    from edgetl_export.quantize.tradeoff import Tradeoff

TESTS = Path(__file__).parent
PARTS = ("bolt", "gear", "washer")
PHOTOS_A_PART = 16
SIZE_PX = 64
BACKBONE = "mobilenet_v2_0.35"
# Set before TensorFlow is imported, which reads them once.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "SILENT"}


# What tests/install_parts.sh installs, in the words of a skipped test.
TOOLS = re.compile(
    "chromium|firefox|webkit|xvfb|mosquitto|ffmpeg|nginx|openssl|promtool|gcc|systemd-analyze|"
    "gstreamer|mediapipe|npm|certutil",
    re.IGNORECASE,
)
# With one of these a test trains, or talks to a browser or a broker.
SLOW = {
    *("run_folder", "bundle_folder", "tiny_run_folder", "finetuned_run_folder", "foreign_folder"),
    *("weights_file", "real_data", "browser", "broker", "locked_broker", "trained", "exploding"),
    *("tiny_model", "chromium", "asking_chromium", "firefox", "webkit", "any_browser"),
}
# Files whose tests took more than 5 s together when last measured: they start programs, wait for
# limits, or import TensorFlow.
SLOW_FILES = {
    *("arrivals", "camera", "connections", "containers", "doctor", "ending", "files_as_sources"),
    *("http", "main", "models", "outward", "rtsp", "running", "server", "sources", "streams"),
    *("supervision", "trial", "uploads", "video", "videos", "web", "file", "commands"),
    *("backbones", "cheap_checks", "cheap_errors", "cli", "cli_data", "cli_export", "comparison"),
    *("cross_validation", "data_check", "devices", "door", "drawings", "duplicates", "evaluate"),
    *("features", "fitting", "foreign", "foreign_embedded", "foreign_formats", "foreign_keras"),
    *("foreign_meaning", "foreign_pictures", "labels", "manifest", "memory", "model", "preview"),
    *(
        "quantize_report",
        "report",
        "resume",
        "run",
        "run_export",
        "tensorboard",
        "train",
        "weights",
    ),
    *("activations", "attempts", "equalization", "graph", "mcnemar", "metadata", "plausibility"),
    *("conversion", "tradeoff", "weights"),
    *("app_json", "apps_page", "bench_report", "estimation", "import_zip"),
}
_KERAS_HOME = tempfile.TemporaryDirectory()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("edgetl")
    group.addoption("--quick", action="store_true", help="Leave out what trains or needs a tool.")
    group.addoption(
        "--strict-tools", action="store_true", help="A test that skips for want of a tool fails."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    slow = [one for one in items if _is_slow(one)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [one for one in items if one not in set(slow)]


def _is_slow(item: pytest.Item) -> bool:
    name = item.path.stem.removeprefix("test_")
    return name in SLOW_FILES or bool(SLOW & set(getattr(item, "fixturenames", ())))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (
        report.skipped
        and item.config.getoption("--strict-tools")
        and TOOLS.search(report.longreprtext)
    ):
        report.outcome = "failed"
    return report


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background jobs ignore Ctrl-C, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Keras looks for downloaded weights in its own cache, which it chooses when it is imported.
    os.environ |= QUIET | {"KERAS_HOME": _KERAS_HOME.name}
    # Keras 3.15 on NumPy 2: TensorFlow's tensors lack the new `copy` argument.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:keras",
    )


@functools.cache
def _read_messages() -> dict[str, dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((TESTS / "messages.toml").read_text(encoding="utf-8"))


@pytest.fixture
def wording(request: pytest.FixtureRequest) -> Any:
    """The words of errors that this test expects, from messages.toml: one pattern, or a list."""
    file = request.path.relative_to(TESTS).as_posix()
    return _read_messages()[file][request.node.originalname]


@pytest.fixture(autouse=True, scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the user's caches, and none depends on what lies in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("EDGETL_WEIGHTS_DIR", raising=False)
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature cache that nothing was put into yet."""
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "own_cache"))
    return tmp_path / "own_cache"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with weights/, trashnet/CLASS/*.jpg, photos/ and odd_images/."""
    if not os.environ.get("EDGETL_TEST_DATA"):
        pytest.skip("EDGETL_TEST_DATA is not set")
    return Path(os.environ["EDGETL_TEST_DATA"]).resolve()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 16 drawn photos; read only."""
    import cv2

    from edgetl.drawings import draw_part

    root = tmp_path_factory.mktemp("photos")
    for part in PARTS:
        (root / part).mkdir()
        for seed in range(PHOTOS_A_PART):
            cv2.imwrite(str(root / part / f"{seed:02d}.jpg"), draw_part(part, seed, 96))
    return root


@pytest.fixture
def photos_copy(photos: Path, tmp_path: Path) -> Path:
    """The drawn photos, to be changed at will."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.fixture(scope="session")
def weights_file(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest MobileNet V2, for 64 px."""
    import keras
    import numpy as np

    from edgetl.networks.backbones import build, find_backbone
    from edgetl_runtime.image.decoding import read_picture
    from edgetl_runtime.image.preprocessing import Preprocessing

    keras.utils.set_random_seed(0)
    network = build(find_backbone(BACKBONE), SIZE_PX)
    # With the statistics of real images; without, features of random layers fade to nothing.
    apply = Preprocessing(SIZE_PX, SIZE_PX).apply
    inputs = np.stack([apply(read_picture(file)) for file in sorted(photos.rglob("*.jpg"))])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(inputs.astype(np.float32) / 127.5 - 1, training=True)
    path = tmp_path_factory.mktemp("weights") / "FILE.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture(scope="session")
def run_folder(photos: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head trained on the frozen random backbone; read only."""
    from edgetl.options import FittingOptions, TrainOptions
    from edgetl.training.train import train

    folder = tmp_path_factory.mktemp("runs") / "run"
    options = TrainOptions(
        backbone=BACKBONE,
        weights=str(weights_file),
        size_px=SIZE_PX,
        finetune="none",
        training=FittingOptions(epochs=8),
    )
    train(photos, folder, options)
    return folder


@pytest.fixture(scope="session")
def bundle_folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, exported; read only."""
    from edgetl.exporting.runs import export_run
    from edgetl.run import Run
    from edgetl_export.options import ExportOptions

    folder = tmp_path_factory.mktemp("bundles") / "parts.bundle"
    # A few validation photos more or less are no reason to spend minutes on repairs.
    settings = ExportOptions(max_drop=20, max_class_drop=50, strict=True)
    export_run(Run.open(run_folder), folder, settings)
    return folder


@pytest.fixture(scope="session")
def tiny_run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained from scratch, which exports in two seconds; read only."""
    from edgetl.options import FittingOptions, TrainOptions
    from edgetl.training.train import train

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    # Of three seeds this is the one whose network beats a guess on the few validation photos.
    options = TrainOptions(
        backbone="cnn",
        weights="none",
        size_px=32,
        seed=2,
        augment="none",
        training=FittingOptions(epochs=6, batch=4, learning_rate=1e-3),
    )
    train(photos, folder, options)
    return folder


@pytest.fixture(scope="session")
def finetuned_run_folder(
    photos: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A head, then head and the top two blocks of the frozen random backbone; read only."""
    from edgetl.options import FittingOptions, SplitOptions, TrainOptions
    from edgetl.training.train import train

    folder = tmp_path_factory.mktemp("runs") / "finetuned"
    options = TrainOptions(
        backbone=BACKBONE,
        weights=str(weights_file),
        size_px=SIZE_PX,
        finetune=2,
        views=1,
        split=SplitOptions(val_fraction=0.2, test_fraction=0.2),
        # Slow enough that validation gets better after the first step, too, the only one of an
        # epoch: the kernel of the head is nearly zero before it, so that it moves nothing below.
        # At 2e-4 the second step can be too long, depending on a few pixels' levels.
        training=FittingOptions(
            epochs=2,
            learning_rate=1e-6,
            finetune_epochs=3,
            finetune_learning_rate=5e-5,
            monitor="loss",
        ),
    )
    train(photos, folder, options)
    return folder


@pytest.fixture(scope="session")
def foreign_folder(
    photos: Path,
    make_foreign_models: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A classifier that edgetl did not train, in every form; read only."""
    folder = tmp_path_factory.mktemp("foreign")
    make_foreign_models(photos, folder)
    return folder


@pytest.fixture(scope="session")
def make_foreign_models() -> Callable[..., None]:
    """Trains a classifier of a folder of photos without edgetl, and writes it in every form.

    It takes levels scaled to -1..1 and outputs logits, in the order of labels.txt, which are
    multiplied by `softer`.
    """
    return _write_foreign_models


def _write_foreign_models(photos: Path, folder: Path, softer: float = 1.0) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    from edgetl_export.graph.conversion import convert_to_tflite
    from edgetl_export.quiet_stderr import divert_stderr
    from edgetl_runtime.image.decoding import read_picture
    from edgetl_runtime.image.preprocessing import Preprocessing

    labels = ("washer", "bolt", "gear")
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    maps = image
    for filters in (8, 16, 16):
        maps = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(maps)
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(image, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(8e-3), loss)
    apply = Preprocessing(32, 32).apply
    files = [file for label in labels for file in sorted((photos / label).glob("*.jpg"))]
    inputs = np.stack([apply(read_picture(file)) for file in files]).astype(np.float32) / 127.5 - 1
    model.fit(inputs, np.repeat(np.arange(3), PHOTOS_A_PART), epochs=60, verbose=0)
    model.layers[-1].set_weights([softer * one for one in model.layers[-1].get_weights()])
    model.save(folder / "model.keras")
    with divert_stderr():
        model.export(folder / "saved", verbose=False)
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "float.tflite").write_bytes(convert_to_tflite(converter))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "dynamic.tflite").write_bytes(convert_to_tflite(converter))
    converter.representative_dataset = lambda: ([one[np.newaxis]] for one in inputs)
    for kind in ("float32", "uint8", "int8"):
        converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
        (folder / f"{kind}.tflite").write_bytes(convert_to_tflite(converter))
    _write_onnx(model, folder / "model.onnx")


def _write_onnx(model: object, target: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    from edgetl_export.quiet_stderr import divert_stderr

    function = tf.function(lambda image: model(image, training=False))
    signature = (tf.TensorSpec((None, 32, 32, 3), tf.float32, name="image"),)
    with divert_stderr():
        tf2onnx.convert.from_function(function, signature, opset=17, output_path=str(target))


@pytest.fixture
def calibrating() -> Callable[[str, Sequence[Any]], Any]:
    """Makes ONNX Runtime's reader of calibration pictures, each scaled to -1..1.

    It takes the name of the model's input, and uint8 (height, width, 3) RGB pictures.
    """
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str, pictures: Sequence[Any]) -> None:
            scaled = (one[np.newaxis] / np.float32(127.5) - 1 for one in pictures)
            self._rows = ({name: one.astype(np.float32)} for one in scaled)

        def get_next(self) -> Any:
            return next(self._rows, None)

    return Reader


@pytest.fixture(scope="session")
def tradeoff() -> "Tradeoff":
    """Two recipes, one of them repaired, of a network of three layers; no model was run."""
    from edgetl_export.evaluate.gate import Gate
    from edgetl_export.quantize.distribution import BINS, Distribution
    from edgetl_export.quantize.tradeoff import Layer, Measured, Outcome, Tradeoff

    exact = Measured(
        recipe="litert-float32",
        precision="float32",
        repair="",
        kept=(),
        bytes=1_600_000,
        top1=0.9,
        drop=0.0,
        agreement=1.0,
        worst_class="bolt",
        worst_class_drop=0.0,
        failures=(),
        unsure=(),
        latency_ms=2.0,
        latency_ratio=1.0,
    )
    change = {"recipe": "litert-int8", "precision": "int8", "bytes": 600_000, "latency_ratio": 0.5}
    int8 = msgspec.structs.replace(exact, **change, latency_ms=1.0, repair="head refitted")
    plain = msgspec.structs.replace(
        int8, repair="", top1=0.85, drop=0.05, agreement=0.9, failures=("5.0 points below",)
    )
    costs = {"first": 0.008, "middle": 0.0005, "last": 0.0}
    return Tradeoff(
        backbone="mobilenet_v2_0.35",
        top1=0.9,
        examples=400,
        calibration_photos=160,
        kept=4,
        gate=Gate(1.0, 5.0),
        engines={"litert": "ai-edge-litert 2.3.0"},
        outcomes=(
            Outcome("litert-int8", "litert", (plain, int8), 1),
            Outcome("litert-float32", "litert", (exact,), 0),
        ),
        layers=tuple(Layer(name, "convolution", cost, 1000, 0.25) for name, cost in costs.items()),
        distributions=(
            Distribution("first", (-1.0, 9.0), (-1.0, 3.0), (*range(BINS),), ((-2.0, 1.0),)),
        ),
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    try:
        browser = Chromium(tmp_path_factory.mktemp("profile"))
    except NotInstalledError as error:
        pytest.skip(str(error))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server_context(authority: Authority) -> ssl.SSLContext:
    """Of a server on 127.0.0.1 whose certificate `authority` signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("server"))
    return context
