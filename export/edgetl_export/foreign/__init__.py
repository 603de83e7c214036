"""Models trained elsewhere: read, checked, and wrapped so that plain RGB levels go in."""

from pathlib import Path

from edgetl_export.foreign.scaling import Scaling
from edgetl_export.foreign.source import Foreign, Size
from edgetl_runtime.errors import ExportError

EXPECTED = "a .tflite, .onnx or .keras file or the folder of a SavedModel"
_SAVED_MODEL = "saved_model.pb"


def open_model(
    path: Path, scaling: Scaling, *, size_px: Size | None = None, trust: bool = False
) -> Foreign:
    """Opens a model that edgetl did not train.

    Args:
        path: File or folder; its name tells what it is.
        scaling: What the model expects of a pixel.
        size_px: Side of the input, or (width, height), where the model leaves that free.
        trust: Open what can run code: .keras and SavedModel.

    Raises:
        ExportError: If it is missing, damaged, not trusted, or no classifier of pictures.
    """
    kind = _find_kind(path)
    if kind in _REASONS and not trust:
        raise ExportError(f"{path} is not opened: {_REASONS[kind]}. If you trust it, add --trust")
    if kind == ".tflite":
        from edgetl_export.foreign.tflite import TfliteModel

        return TfliteModel(_read(path), scaling, size_px)
    if kind == ".onnx":
        from edgetl_export.foreign.onnx import OnnxModel

        return OnnxModel(path, scaling, size_px)
    from edgetl_export.foreign import keras

    open_ = keras.open_keras if kind == ".keras" else keras.open_saved_model
    return open_(path, scaling, size_px)


_REASONS = {
    ".keras": "a .keras file can run code of whoever made it when it is opened",
    _SAVED_MODEL: (
        "a SavedModel is a program, which can read and write files of yours when it runs"
    ),
}


def _find_kind(path: Path) -> str:
    if not path.exists():
        raise ExportError(f"{path} does not exist; expected {EXPECTED}")
    if path.is_dir():
        if not (path / _SAVED_MODEL).is_file():
            raise ExportError(f"{path} is no SavedModel (no {_SAVED_MODEL}); expected {EXPECTED}")
        return _SAVED_MODEL
    if path.suffix.lower() not in (".tflite", ".onnx", ".keras"):
        raise ExportError(f"{path} is of no known kind; expected {EXPECTED}")
    return path.suffix.lower()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror})") from error
