"""Models trained elsewhere: read, checked, and wrapped so that plain RGB levels go in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetl_export.load.kinds import find_kind as find_kind
from edgetl_export.load.scaling import Scaling
from edgetl_export.load.source import Foreign, Size
from edgetl_runtime.errors import EngineError, ExportError


def open_model(
    path: Path, scaling: Scaling, *, size_px: Size | None = None, trust: bool = False
) -> Foreign:
    """Opens a model that edgetl did not train.

    Args:
        path: File or folder; its content tells what it is.
        scaling: What the model expects of a pixel.
        size_px: Side of the input, or (width, height), where the model leaves that free.
        trust: Open what can run code: .keras, .h5 and SavedModel.

    Raises:
        ExportError: If it is missing, damaged, not trusted, or no classifier of images; it names
            the file.
    """
    with naming(path):
        return _open(path, scaling, size_px, trust=trust)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the name of a model before an error that does not have it.

    Args:
        path: Of the model.
    """
    try:
        yield
    except (ExportError, EngineError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _open(path: Path, scaling: Scaling, size_px: Size | None, *, trust: bool) -> Foreign:
    kind = find_kind(path, trust=trust)
    if kind == "tflite":
        from edgetl_export.load.tflite_models import TfliteModel

        return TfliteModel(_read(path), scaling, size_px)
    if kind == "onnx":
        from edgetl_export.load.onnx_models import OnnxModel

        return OnnxModel(path, scaling, size_px)
    from edgetl_export.load import keras_models

    if kind == "saved_model":
        return keras_models.open_saved_model(path, scaling, size_px)
    return keras_models.open_keras(path, kind, scaling, size_px)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror})") from error
