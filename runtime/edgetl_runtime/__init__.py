"""Classifies camera frames with an edgetl bundle.

    from edgetl_runtime import Classifier

    classifier = Classifier.open("parts.bundle")
    prediction = classifier(frame)     # uint8 (height, width, 3) BGR, as OpenCV reads it
    print(prediction.label, prediction.score)

or, from a camera, smoothed over frames:

    from edgetl_runtime import watch

    for answer in watch("parts.bundle", "/dev/video0"):
        print(answer.label, answer.score)

The names below load on first use, so that `edgetl-run --help` does not wait for numpy and OpenCV.
"""

# Nothing slow is imported here: what comes before the entry understands Ctrl-C shows a traceback.
import os

from edgetl_runtime.facade import load_lazily

# ONNX Runtime from 1.32 on reports its use to Microsoft, and keeps an id of the machine in the home
# folder and in TMPDIR, unless this is set before it is imported. Every module of ours that imports
# it has been through here; child processes inherit it. Set it to 0 to send them.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgetl_runtime.answers import Answer
    from edgetl_runtime.benchmarking.record import BoardBenchmark
    from edgetl_runtime.benchmarking.single_stream import benchmark
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.capture.camera import Camera
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.device import Device
    from edgetl_runtime.errors import (
        BundleError,
        CameraError,
        EdgetlError,
        EngineError,
        FrameError,
        OptionsError,
        OutputError,
        ServiceError,
        StorageError,
    )
    from edgetl_runtime.heatmaps.heat_map import HeatMap
    from edgetl_runtime.image.preprocessing import Preprocessing
    from edgetl_runtime.outputs.output import Output
    from edgetl_runtime.outputs.video import Video
    from edgetl_runtime.pipeline.pipeline import Pipeline
    from edgetl_runtime.pipeline.watching import watch
    from edgetl_runtime.prediction import Prediction
    from edgetl_runtime.settings.sections import (
        CollectSettings,
        ModelSettings,
        OutputSettings,
        PaceSettings,
        ServeSettings,
        ServiceSettings,
        Settings,
        SmoothingSettings,
        SourceSettings,
        ViewSettings,
    )

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BoardBenchmark",
    "Bundle",
    "BundleError",
    "Camera",
    "CameraError",
    "Classifier",
    "CollectSettings",
    "Device",
    "EdgetlError",
    "EngineError",
    "FrameError",
    "HeatMap",
    "ModelSettings",
    "OptionsError",
    "Output",
    "OutputError",
    "OutputSettings",
    "PaceSettings",
    "Pipeline",
    "Prediction",
    "Preprocessing",
    "ServeSettings",
    "ServiceError",
    "ServiceSettings",
    "Settings",
    "SmoothingSettings",
    "SourceSettings",
    "StorageError",
    "Video",
    "ViewSettings",
    "benchmark",
    "watch",
]

_HOME = {
    "Answer": "answers",
    "BoardBenchmark": "benchmarking.record",
    "Bundle": "bundle.reader",
    "BundleError": "errors",
    "Camera": "capture.camera",
    "CameraError": "errors",
    "Classifier": "classifier",
    "CollectSettings": "settings.sections",
    "Device": "device",
    "EdgetlError": "errors",
    "EngineError": "errors",
    "FrameError": "errors",
    "HeatMap": "heatmaps.heat_map",
    "ModelSettings": "settings.sections",
    "OptionsError": "errors",
    "Output": "outputs.output",
    "OutputError": "errors",
    "OutputSettings": "settings.sections",
    "PaceSettings": "settings.sections",
    "Pipeline": "pipeline.pipeline",
    "Prediction": "prediction",
    "Preprocessing": "image.preprocessing",
    "ServeSettings": "settings.sections",
    "ServiceError": "errors",
    "ServiceSettings": "settings.sections",
    "Settings": "settings.sections",
    "SmoothingSettings": "settings.sections",
    "SourceSettings": "settings.sections",
    "StorageError": "errors",
    "Video": "outputs.video",
    "ViewSettings": "settings.sections",
    "benchmark": "benchmarking.single_stream",
    "watch": "pipeline.watching",
}

__getattr__, __dir__ = load_lazily(
    __name__, {name: f"{__name__}.{home}" for name, home in _HOME.items()}
)
