"""Turns a trained classifier into files that a device runs, and measures those files.

    from edgetl_export import ExportOptions, export_model

    exported = export_model(trained, Path("parts.bundle"), ExportOptions(max_drop=0.5))

`trained` is a `Trained`: a float graph, its labels and photos, whoever trained it.
"""

from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
