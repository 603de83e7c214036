"""Turns a trained classifier into files that a device runs, and measures those files.

    from edgetl_export import ExportOptions, export_model

    exported = export_model(trained, Path("parts.bundle"), ExportOptions(max_drop=0.5))

`trained` is a `Trained`: a float graph, its labels and photos, whoever trained it.
"""

from typing import TYPE_CHECKING

from edgetl_runtime.facade import load_lazily

if TYPE_CHECKING:
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import Exported, export_model
    from edgetl_export.trained import Trained

__all__ = ["ExportOptions", "Exported", "Trained", "export_model"]

_HOME = {
    "ExportOptions": "options",
    "Exported": "package.bundling",
    "Trained": "trained",
    "export_model": "package.bundling",
}

__getattr__, __dir__ = load_lazily(
    __name__, {name: f"{__name__}.{home}" for name, home in _HOME.items()}
)
