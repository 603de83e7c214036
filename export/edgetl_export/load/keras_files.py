"""Files of Keras: opened by the Keras that wrote them, or told why not."""

import importlib
import importlib.util
import json
import re
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from edgetl_export.load.archive import LIMIT_BYTES, UNREADABLE
from edgetl_export.quiet_stderr import divert_stderr
from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.quoting import quote_error

_FAILURES: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    NotImplementedError,
    RuntimeError,
    OSError,
    zipfile.BadZipFile,
)
_KERAS_2: Final = "tf_keras"
# The layers of the largest networks take some hundred kilobytes.
_MOST_TEXT_BYTES: Final = 2**26
_REMEDY: Final = "export it with model.export(FOLDER) where it was trained, and give that folder"
# How Keras names what it does not know, in the midst of many words.
_UNKNOWN_LAYER: Final = re.compile(
    r"Could not locate (?:class|function) '([^']+)'|Unknown layer: '?([\w>]+)|"
    r"Could not deserialize '([^']+)'"
)
# Alone, or behind its module or package.
_LAMBDA: Final = re.compile(r"\bLambda$")
_CAUSE: Final = re.compile(r"Exception encountered: (?!<class)([^\n]+)")


class _Record(msgspec.Struct, frozen=True):
    """The record of a Keras file.

    Attributes:
        version: Of the Keras that wrote it; empty if it does not say.
        network: Its layers as JSON.
    """

    version: str
    network: str


def load(file: Path, kind: Literal["keras", "h5"]) -> Any:
    """Opens a file that is trusted; code of others inside (Lambda) is refused still.

    What Keras 2 wrote is opened by `tf_keras`, where that is installed.

    Returns:
        The model, of whichever Keras.

    Raises:
        ExportError: If it is damaged, holds weights alone, or has layers that are unknown here.
    """
    record = _read_h5(file) if kind == "h5" else _read_keras(file)
    try:
        network = json.loads(record.network)
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"{file} is damaged: the description of its layers is not JSON; copy or download it "
            "again"
        ) from error
    if _has_lambda(network):
        raise ExportError(
            f"{file} has a Lambda layer, which can contain any code and is not run here; {_REMEDY}"
        )
    old = record.version.startswith("2.")
    try:
        # Keras goes by the name: a link gives it the right one.
        with (
            tempfile.TemporaryDirectory() as folder,
            divert_stderr(),
            warnings.catch_warnings(action="ignore"),
        ):
            named = Path(folder) / f"model.{kind}"
            named.symlink_to(file.resolve())
            if old and importlib.util.find_spec(_KERAS_2) is not None:
                return importlib.import_module(_KERAS_2).models.load_model(named, compile=False)
            import keras

            return keras.models.load_model(named, _of_keras_2() if old else None, compile=False)
    except _FAILURES as error:
        raise ExportError(f"{file} {_explain(error, record.version)}") from error


def _has_lambda(part: Any) -> bool:
    """Looked for in what the text means: JSON can spell a name in many ways."""
    if isinstance(part, dict):
        name = str(part.get("class_name", ""))
        return bool(_LAMBDA.search(name)) or any(map(_has_lambda, part.values()))
    return isinstance(part, list) and any(map(_has_lambda, part))


def _read_h5(file: Path) -> _Record:
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(file) as opened:
            network = opened.attrs.get("model_config")
            version = opened.attrs.get("keras_version", "")
    except OSError as error:
        raise ExportError(f"{file} is damaged or incomplete; copy or download it again") from error
    if network is None:
        raise ExportError(
            f"{file} contains weights or other arrays, but no Keras model; save the whole model "
            "where it was trained, model.save('model.keras'), and give that"
        )
    return _Record(*(one.decode() if isinstance(one, bytes) else one for one in (version, network)))


def _read_keras(file: Path) -> _Record:
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(file, archive)
            network = archive.read("config.json").decode("utf-8", "replace")
            about = json.loads(archive.read("metadata.json"))
            spoilt = archive.testzip()
    except (*UNREADABLE, KeyError) as error:
        raise ExportError(f"{file} is damaged or incomplete; copy or download it again") from error
    if spoilt is not None:
        raise ExportError(f"{file} is damaged: its {spoilt} is; copy or download it again")
    return _Record(str(about.get("keras_version", "")) if isinstance(about, dict) else "", network)


def _check_sizes(file: Path, archive: zipfile.ZipFile) -> None:
    """Before anything is unpacked: a small file can hold more than the memory."""
    sizes = {one.filename: one.file_size for one in archive.infolist()}
    texts = sum(sizes.get(name, 0) for name in ("config.json", "metadata.json"))
    if sum(sizes.values()) > LIMIT_BYTES or texts > _MOST_TEXT_BYTES:
        raise ExportError(
            f"{file} holds {sum(sizes.values()):,} bytes when unpacked, more than a model for a "
            "small device"
        )


def _of_keras_2() -> dict[str, Any]:
    """Layers that Keras 2 wrote down with options that Keras 3 does not know."""
    import keras

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            # It is as many as there are channels, whatever was written down.
            options.pop("groups", None)
            super().__init__(*arguments, **options)

    return {"DepthwiseConv2D": DepthwiseConv2D}


def _explain(error: Exception, version: str) -> str:
    """Why a file cannot be opened and what to do, after its name."""
    import keras
    import tensorflow as tf

    if version.startswith("2.") and importlib.util.find_spec(_KERAS_2) is None:
        fitting = ".".join(tf.__version__.split(".")[:2])
        return (
            f"was made by Keras {version}, which Keras {keras.__version__} cannot read; install "
            f"its reader, and run this again: pip install 'tf_keras=={fitting}.*'"
        )
    if _count(version) > _count(keras.__version__):
        return (
            f"was made by Keras {version}, which is newer than the installed Keras "
            f"{keras.__version__}; {_REMEDY}"
        )
    unknown = _UNKNOWN_LAYER.search(str(error))
    if unknown is not None:
        name = next(filter(None, unknown.groups()))
        return f"has {name}, which is not a layer of Keras {keras.__version__}; {_REMEDY}"
    causes = _CAUSE.findall(str(error))
    quoted = quote_error(ValueError(causes[-1])) if causes else quote_error(error)
    return f"cannot be opened by Keras ({quoted}); {_REMEDY}"


def _count(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:3])
