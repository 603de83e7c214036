"""Image classification on small devices: from a folder of photos to a camera.

    import edgetl

    run = edgetl.train("photos", out="runs/parts")
    print(run.evaluate("photos-of-tomorrow").top1, run.predict("photo.jpg").label)
    bundle = run.export("parts.bundle", max_drop=0.5)

The names below load on first use: importing this package imports nothing heavy, and TensorFlow
comes with the first call that needs it. The commands (`edgetl --help`) call the same functions.
"""

from edgetl_runtime import __version__ as __version__
from edgetl_runtime.facade import load_lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgetl.api import compare, evaluate, export, resume, train
    from edgetl.estimation.choosing import choose_network
    from edgetl.options import FittingOptions, HeadOptions, SplitOptions, TrainOptions
    from edgetl.run import Run
    from edgetl_export.bundle import Bundle
    from edgetl_export.options import ExportOptions
    from edgetl_runtime.errors import (
        BundleError,
        DatasetError,
        EdgetlError,
        ExportError,
        FrameError,
        GateError,
        OptionsError,
        RunError,
        StorageError,
        TrainingError,
        WeightsError,
    )

_HOMES = {
    "edgetl.api": ("compare", "evaluate", "export", "resume", "train"),
    "edgetl.estimation.choosing": ("choose_network",),
    "edgetl.options": ("FittingOptions", "HeadOptions", "SplitOptions", "TrainOptions"),
    "edgetl.run": ("Run",),
    "edgetl_export.bundle": ("Bundle",),
    "edgetl_export.options": ("ExportOptions",),
    "edgetl_runtime.errors": (
        *("BundleError", "DatasetError", "EdgetlError", "ExportError", "FrameError", "GateError"),
        *("OptionsError", "RunError", "StorageError", "TrainingError", "WeightsError"),
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Bundle",
    "BundleError",
    "DatasetError",
    "EdgetlError",
    "ExportError",
    "ExportOptions",
    "FittingOptions",
    "FrameError",
    "GateError",
    "HeadOptions",
    "OptionsError",
    "Run",
    "RunError",
    "SplitOptions",
    "StorageError",
    "TrainOptions",
    "TrainingError",
    "WeightsError",
    "choose_network",
    "compare",
    "evaluate",
    "export",
    "resume",
    "train",
]

__getattr__, __dir__ = load_lazily(__name__, _HOME)
