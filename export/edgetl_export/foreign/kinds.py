"""Kinds: what a file is that somebody gives as a model, judged by its content."""

import zipfile
from pathlib import Path
from typing import Final, Literal

from edgetl_runtime.errors import ExportError

Kind = Literal["tflite", "onnx", "keras", "h5", "saved_model"]

EXPECTED: Final = "a .tflite, .onnx, .keras or .h5 file or the folder of a SavedModel"
_SAVED_MODEL: Final = "saved_model.pb"
_LOOKED_AT: Final = 512
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_TO_ONNX: Final = "export it to .onnx where it was trained (torch.onnx.export), and give that"
_CODE: Final = {
    "keras": "a .keras file can run code of whoever made it when it is opened",
    "h5": "an .h5 file of Keras can run code of whoever made it when it is opened",
    "saved_model": (
        "a SavedModel is a program, which can read and write files of yours when it runs"
    ),
}
# What begins like this is no model that can be taken; how it goes on as a sentence.
_BEGINNINGS: Final = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file; fetch it: git lfs pull"),
    (b"\x1f\x8b", "is packed with gzip; unpack it first: tar -xzf or gunzip"),
    (b"\x80", f"is a pickle, such as PyTorch writes; {_TO_ONNX}"),
    (b"<", "is a web page or XML, not a model; did the download end on a log-in page?"),
)
# Of files whose content tells little.
_SUFFIXES: Final = {
    ".pt": f"is of PyTorch; {_TO_ONNX}",
    ".pth": f"is of PyTorch; {_TO_ONNX}",
    ".safetensors": f"holds weights without their network; {_TO_ONNX}",
    ".mlmodel": "is of Core ML; take the model that it was made from",
    ".pb": (
        "is a graph of TensorFlow alone; save the model as a SavedModel where it was trained, "
        "model.export(FOLDER), and give that folder"
    ),
}
# A name in a zip that says what the zip is.
_CONTENTS: Final = (
    ("bundle.json", "is a bundle of edgetl already; see what is in it: edgetl inspect"),
    ("data.pkl", f"is of PyTorch; {_TO_ONNX}"),
    (_SAVED_MODEL, "is a zip of a SavedModel; unpack it, and give the folder"),
    (".tflite", "is a zip with a .tflite; unpack it, and give that"),
    (".h5", "is a zip with a model of Keras; unpack it, and give the .h5"),
    (".onnx", "is a zip with an .onnx; unpack it, and give that"),
)


def find_kind(path: Path, *, trust: bool) -> Kind:
    """What a model is; no more than its beginning and its list of contents are read.

    Args:
        path: File or folder.
        trust: Whether it may run code.

    Raises:
        ExportError: If it is missing, of no known kind, or not trusted.
    """
    if not path.exists():
        raise ExportError(f"{path} does not exist; expected {EXPECTED}")
    kind = _look_at_folder(path) if path.is_dir() else _look_at_file(path)
    if kind in _CODE and not trust:
        raise ExportError(f"{path} is not opened: {_CODE[kind]}. If you trust it, add --trust")
    return kind


def _look_at_folder(path: Path) -> Kind:
    if (path / _SAVED_MODEL).is_file():
        return "saved_model"
    if (path / "model.json").is_file():
        raise ExportError(
            f"{path} is a model for TensorFlow.js; export it as TensorFlow Lite where it was "
            "trained, and give the .tflite"
        )
    raise ExportError(f"{path} is no SavedModel (no {_SAVED_MODEL}); expected {EXPECTED}")


def _look_at_file(path: Path) -> Kind:
    start = _read_start(path)
    if start.startswith(_HDF5):
        return "h5"
    if start[4:8] == b"TFL3":
        return "tflite"
    if start.startswith(b"PK"):
        return _look_into_zip(path)
    return _judge_rest(path, start)


def _read_start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror})") from error
    if not start:
        raise ExportError(f"{path} is empty; copy or download it again")
    return start


def _judge_rest(path: Path, start: bytes) -> Kind:
    suffix = path.suffix.lower()
    known = next((words for magic, words in _BEGINNINGS if start.lstrip().startswith(magic)), "")
    if words := known or _SUFFIXES.get(suffix, ""):
        raise ExportError(f"{path} {words}")
    # An .onnx has no mark of its own; its reader says whether it is one.
    if suffix == ".onnx":
        return "onnx"
    if suffix in (".tflite", ".keras", ".h5"):
        raise ExportError(
            f"{path} does not hold what its name says, or is damaged; copy or download it again"
        )
    raise ExportError(f"{path} is of no known kind; expected {EXPECTED}")


def _look_into_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ExportError(
            f"{path} is a zip, such as a .keras file, that is damaged; copy or download it again"
        ) from error
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    for ending, words in _CONTENTS:
        if any(name.endswith(ending) for name in names):
            raise ExportError(f"{path} {words}")
    raise ExportError(f"{path} is a zip without a model that is known; expected {EXPECTED}")
