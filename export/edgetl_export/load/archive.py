"""Archives: the zip that Teachable Machine, Azure and others put a model and its labels into."""

import lzma
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from edgetl_runtime.errors import EdgetlError, ExportError
from edgetl_runtime.system.containers import DAMAGE

# What Python raises of a zip that is damaged, locked, packed in an unknown way, or not to be read.
UNREADABLE: Final = (*DAMAGE, lzma.LZMAError, OSError)
LIMIT_BYTES: Final = 2**31 - 1
_LIMIT_FILES: Final = 10_000
_SUFFIXES: Final = (".tflite", ".lite", ".onnx", ".keras", ".h5", ".hdf5")
_SAVED_MODEL: Final = "saved_model.pb"
# A .keras, a bundle of edgetl and what PyTorch writes are zips, too, and no packed models.
_OTHERS: Final = ("model.weights.h5", "bundle.json", "data.pkl")


def find_models(names: Sequence[str]) -> list[str]:
    """The models among the names in a zip or a folder; of a SavedModel, its folder.

    Args:
        names: With / between folders.
    """
    found = []
    for path in map(PurePosixPath, names):
        # What macOS and others hide: `__MACOSX/._model.tflite` holds no model.
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        if path.name == _SAVED_MODEL:
            found.append(str(path.parent))
        elif path.suffix.lower() in _SUFFIXES:
            found.append(str(path))
    return found


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A model as a file or folder of its own; out of a zip it lies there as long as this is open.

    Errors name what they are about as if the zip were a folder.

    Args:
        path: A zip that holds one model, or anything else, which is given back as it is.

    Raises:
        ExportError: If the zip is locked, damaged, too large, or holds more than one model.
    """
    inside = _find_inside(path)
    if inside is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgetl-") as folder:
        _extract(path, Path(folder))
        try:
            yield Path(folder) / inside
        except EdgetlError as error:
            raise type(error)(str(error).replace(folder, str(path))) from error


def _find_inside(path: Path) -> str | None:
    """Where in a zip its model lies; None if this is not a zip with a model."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            # A .tflite ends in a zip of its metadata.
            if file.read(2) != b"PK":
                return None
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except UNREADABLE:
        # Whoever looks at the kind of the file says what is wrong with it.
        return None
    if any(PurePosixPath(name).name in _OTHERS for name in names):
        return None
    models = find_models(names)
    if len(models) > 1:
        raise ExportError(
            f"{path} holds {len(models)} models ({', '.join(models)}); unpack it, and give one"
        )
    return models[0] if models else None


def _extract(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(one.flag_bits & 1 for one in entries):
            raise ExportError(f"{path} is encrypted; unpack it, and give the model")
        total = sum(one.file_size for one in entries)
        if total > LIMIT_BYTES or len(entries) > _LIMIT_FILES:
            files = f"{len(entries):,} file{'s' * (len(entries) != 1)}"
            raise ExportError(
                f"{path} holds {files} of {total:,} bytes in all, expected {_LIMIT_FILES:,} "
                f"files of {LIMIT_BYTES:,} bytes at most; unpack it, and give the model"
            )
        try:
            # It leaves out `..` and the root, makes no links, and stops at the size promised.
            archive.extractall(folder)
        except UNREADABLE as error:
            raise ExportError(
                f"{path} cannot be unpacked ({error}); copy or download it again"
            ) from error
