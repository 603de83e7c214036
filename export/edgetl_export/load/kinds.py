"""Kinds: what a file is that somebody gives as a model, judged by its content."""

import codecs
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from edgetl_export.load.archive import find_models
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.filetypes import TEXT, UNKNOWN, judge_data
from edgetl_runtime.system.containers import DAMAGE

Kind = Literal["tflite", "onnx", "keras", "h5", "saved_model"]

EXPECTED: Final = (
    "a .tflite, .onnx, .keras or .h5 file, the folder of a SavedModel, or a zip with one of these"
)
_SAVED_MODEL: Final = "saved_model.pb"
_LOOKED_AT: Final = 4096
# What begins like the protobuf of an .onnx: its version, then the maker, the graph or the opset.
_ONNX: Final = re.compile(rb"\x08[\x03-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_TO_ONNX: Final = "export it to .onnx where it was trained (torch.onnx.export), and give that"
_CODE: Final = {
    "keras": "a .keras file can run code of its author when it is opened",
    "h5": "a Keras .h5 file can run code of its author when it is opened",
    "saved_model": ("a SavedModel is a program, which can read and write your files"),
}
_DOWNLOADED: Final = "did the download end on an error or log-in page?"
_OPENVINO: Final = "is an OpenVINO model; give the .onnx, .keras or .tflite that it was made from"
_CORE_ML: Final = "is a Core ML model; give the model that it was made from"
_TENSORFLOW_JS: Final = (
    "is a TensorFlow.js model; export it as TensorFlow Lite where it was trained, and give "
    "the .tflite"
)
_EDGE_IMPULSE: Final = (
    "is a program of Edge Impulse with the model compiled into it; download TensorFlow Lite "
    "(float32 or int8) from the project's dashboard, and give that .tflite"
)
_COMPILED: Final = "is compiled for one chip; give the .onnx or .tflite that it was made from"
# Of models that cannot be taken: what begins like this, and how it goes on as a sentence.
_BEGINNINGS: Final = (
    (b"\x80", f"is a pickle, such as PyTorch writes; {_TO_ONNX}"),
    (b"<?xml", f"is XML, not a model; if it is from OpenVINO, {_OPENVINO.partition('; ')[2]}"),
    (b"<net", _OPENVINO),
    (b"RKNN", _COMPILED),
    (b"\x7fELF", f"is a program, not a model; if it is an .eim, it {_EDGE_IMPULSE}"),
    (b"GGUF", "is a language model (GGUF), not an image classifier"),
)
# Remedies for files that are not models, by a word in the name of their type.
_REMEDIES: Final = {
    "image": "photos are given with --data",
    "drawing": "photos are given with --data",
    "archive": "unpack it, and give the model inside",
    "Git LFS": "fetch it: git lfs pull",
    "web page": _DOWNLOADED,
}
# Marks of other formats behind the first four bytes.
_MARKS: Final = {
    b"ORTM": "is in ONNX Runtime's own format (.ort); give the .onnx that it was made from",
    b"ET12": f"is an ExecuTorch model; {_TO_ONNX}",
}
# Of files whose content tells little.
_SUFFIXES: Final = {
    ".pt": f"is a PyTorch model; {_TO_ONNX}",
    ".pth": f"is a PyTorch model; {_TO_ONNX}",
    ".safetensors": f"holds weights without their network; {_TO_ONNX}",
    ".bin": f"holds weights without their network; {_TO_ONNX}",
    ".data": "holds weights of an .onnx; give the .onnx, and leave this beside it",
    **dict.fromkeys((".mlmodel", ".mlpackage"), _CORE_ML),
    **dict.fromkeys((".engine", ".plan", ".trt", ".hef", ".kmodel", ".dlc"), _COMPILED),
    ".pb": (
        "is a graph of TensorFlow alone; save the model as a SavedModel where it was trained, "
        "model.export(FOLDER), and give that folder; where a service exports it, choose ONNX or "
        "TensorFlow Lite"
    ),
}
_BUNDLE: Final = "is already an edgetl bundle; to see its content: edgetl inspect"
_OURS: Final = {"bundle.json", "run.json"}
_RUN: Final = "is an edgetl run; export it without --model: edgetl export RUN --out BUNDLE"
# A name in a zip or a folder that says what it is.
_CONTENTS: Final = (
    ("bundle.json", _BUNDLE),
    ("run.json", _RUN),
    ("data.pkl", f"is a PyTorch model; {_TO_ONNX}"),
    ("edge-impulse-sdk/", _EDGE_IMPULSE),
    ("model.json", _TENSORFLOW_JS),
    (".mlmodel", _CORE_ML),
    ("com.apple.CoreML/", _CORE_ML),
    (".safetensors", f"holds weights without their network; {_TO_ONNX}"),
    (".npy", f"holds arrays without their network; {_TO_ONNX}"),
    (".pb", _SUFFIXES[".pb"]),
    (".pth", f"is a PyTorch model; {_TO_ONNX}"),
    (".pt", f"is a PyTorch model; {_TO_ONNX}"),
    (".zip", "holds another zip; unpack it, and give what is inside"),
)


def find_kind(path: Path, *, trust: bool) -> Kind:
    """The type of a model file; only its beginning and list of contents are read.

    Args:
        path: File or folder.
        trust: Whether it may run code.

    Raises:
        ExportError: If it is missing, of no known kind, or not trusted.
    """
    try:
        if not path.exists():
            raise ExportError(f"{path} does not exist; expected {EXPECTED}")
        kind = _look_at_folder(path) if path.is_dir() else _look_at_file(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror})") from error
    if kind in _CODE and not trust:
        raise ExportError(f"{path} is not opened: {_CODE[kind]}. If you trust it, add --trust")
    return kind


def _look_at_folder(path: Path) -> Kind:
    if (path / _SAVED_MODEL).is_file():
        return "saved_model"
    inside = sorted(one.name + "/" * one.is_dir() for one in path.iterdir())
    deeper = (str(one.relative_to(path)) for one in path.glob(f"*/{_SAVED_MODEL}"))
    models = find_models([*inside, *sorted(deeper)])
    words = _SUFFIXES.get(path.suffix.lower(), "")
    if not models or _OURS & set(inside):
        words = words or _judge_names(inside)
    if words:
        raise ExportError(f"{path} {words}")
    hint = (
        f"it has {', '.join(models[:3])}; give one of these" if models else f"expected {EXPECTED}"
    )
    raise ExportError(f"{path} is not a SavedModel (no {_SAVED_MODEL}); {hint}")


def _look_at_file(path: Path) -> Kind:
    if not path.is_file():
        # Reading a pipe could wait for ever.
        raise ExportError(f"{path} is a pipe or a device, not a file; expected {EXPECTED}")
    start = _read_start(path)
    if start.startswith(_HDF5):
        return "h5"
    if start[4:8] == b"TFL3":
        return "tflite"
    if start.startswith(b"PK"):
        return _look_into_zip(path)
    return _judge_rest(path, start)


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if not start:
        raise ExportError(f"{path} is empty; copy or download it again")
    return start.removeprefix(codecs.BOM_UTF8)


def _judge_rest(path: Path, start: bytes) -> Kind:
    suffix = path.suffix.lower()
    if path.name == _SAVED_MODEL:
        raise ExportError(f"{path} is one file of a SavedModel; give its folder: {path.parent}")
    words = _judge_start(start) or _judge_type(start) or _SUFFIXES.get(suffix, "")
    words = words or _judge_text(start)
    if words:
        raise ExportError(f"{path} {words}")
    # An .onnx has no mark of its own; its reader says whether it is one.
    if suffix == ".onnx" or _ONNX.match(start):
        return "onnx"
    if suffix in (".tflite", ".keras", ".h5"):
        raise ExportError(
            f"{path} is not of the type that its name says, or is damaged; copy or download it "
            "again"
        )
    raise ExportError(f"{path} is of an unknown type; expected {EXPECTED}")


def _judge_start(start: bytes) -> str:
    if (words := _MARKS.get(start[4:8])) is not None:
        return words
    # A length of a table in JSON, and the JSON.
    if start[8:9] == b"{" and not any(start[4:8]):
        return f"holds weights without their network (safetensors); {_TO_ONNX}"
    bare = start.lstrip()
    return next((words for magic, words in _BEGINNINGS if bare.startswith(magic)), "")


def _judge_type(start: bytes) -> str:
    """What a file is that is known to be no model; empty if it could be one, or is a text."""
    known = UNKNOWN if _ONNX.match(start) else judge_data(start)
    if known in (UNKNOWN, TEXT):
        return ""
    remedy = next((words for noun, words in _REMEDIES.items() if noun in known.name), "")
    # Behind a comma stands what OpenCV cannot read.
    return f"is {known.name.partition(',')[0]}, not a model{'; ' * bool(remedy)}{remedy}"


def _judge_text(start: bytes) -> str:
    """What a text file is; empty if it is none."""
    if judge_data(start) != TEXT:
        return ""
    # The last character may be cut.
    text = start.decode("utf-8", "ignore")
    if "modelTopology" in text or "weightsManifest" in text or "tfjs" in text.lower():
        return _TENSORFLOW_JS
    first = text.strip().partition("\n")[0].strip()[:40]
    return f"is text, not a model; it begins with {first!r}; {_DOWNLOADED}"


def _judge_names(names: Sequence[str]) -> str:
    """What holds these names; empty if none of them says it."""
    for sign, words in _CONTENTS:
        for name in names:
            rooted = f"/{name}"
            if (
                (sign.startswith(".") and name.lower().endswith(sign))
                or rooted.endswith(f"/{sign}")
                or (sign.endswith("/") and f"/{sign}" in rooted)
            ):
                return words
    return ""


def _look_into_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except DAMAGE as error:
        raise ExportError(
            f"{path} is a zip, such as a .keras file, that is damaged; copy or download it again"
        ) from error
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    models = find_models(names)
    if models and not _OURS & set(names):
        raise ExportError(f"{path} is a zip with {models[0]}; unpack it, and give that")
    words = _judge_names(names) or f"is a zip without a known model; expected {EXPECTED}"
    raise ExportError(f"{path} {words}")
