"""A file's memory: its head, and what known photos look like to it.

It lies beside the model file as an uncompressed .npz, by which a device learns new classes without
the photos, and draws what the head looked at. It is read strictly: nothing is unpickled, and no
array is longer than its bytes.
"""

import io
import zipfile
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError
from edgetl_runtime.system.containers import DAMAGE

MEMORY_SUFFIX: Final = ".memory.npz"
MOST_BYTES: Final = 1_000_000
_DETECTOR: Final = "detector."
_ARRAY_SUFFIX: Final = ".npy"
_DTYPES: Final = {
    "kernel": "float32",
    "bias": "float32",
    "rows": "float16",
    "classes": "int16",
    "held_out": "bool",
}
_FIRST_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_EXPORT_AGAIN: Final = "export the bundle again with: edgetl export"


class Memory(msgspec.Struct, frozen=True, eq=False):
    """The head of a file, and features of photos as this very file puts them out.

    Attributes:
        kernel: float32 (features, classes): the logits are features @ kernel + bias.
        bias: float32 (classes,).
        rows: float16 (rows, features): `Seen.features` of photos; may be empty.
        classes: int16 (rows,): index of each photo's label.
        held_out: bool (rows,): True for validation photos, which check and never fit.
        detector: Arrays of the detector of unknown things, by name; may be empty.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    rows: NDArray[np.float16]
    classes: NDArray[np.int16]
    held_out: NDArray[np.bool_]
    detector: dict[str, NDArray[Any]] = {}

    @property
    def head(self) -> Head:
        """The head of the file."""
        return Head(self.kernel, self.bias)


def encode_memory(memory: Memory) -> bytes:
    """The bytes of the .npz; equal for equal arrays."""
    arrays = {name: getattr(memory, name) for name in _DTYPES}
    arrays |= {_DETECTOR + name: memory.detector[name] for name in sorted(memory.detector)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(
                data, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            archive.writestr(zipfile.ZipInfo(name + _ARRAY_SUFFIX, _FIRST_MOMENT), data.getvalue())
    return stream.getvalue()


def read_memory(bundle: Bundle, variant: Variant) -> Memory | None:
    """Reads the memory of a variant.

    Args:
        bundle: An opened bundle.
        variant: One of its variants.

    Returns:
        None if the variant has none. The arrays are read-only.

    Raises:
        BundleError: If its file is damaged, or does not fit the bundle.
    """
    if variant.memory is None:
        return None
    data = bundle.read(variant.memory)
    file = variant.memory.file
    try:
        memory = _decode(data)
    except (*DAMAGE, KeyError, OSError, TypeError) as error:
        raise BundleError(f"{bundle.path / file} is no memory: {error}; {_EXPORT_AGAIN}") from error
    if wrong := _find_misfit(memory, len(bundle.labels), variant):
        raise BundleError(f"{bundle.path / file} does not fit: {wrong}; {_EXPORT_AGAIN}")
    return memory


def _decode(data: bytes) -> Memory:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("it is compressed")
        arrays = {
            one.filename.removesuffix(_ARRAY_SUFFIX): _read_array(archive.read(one))
            for one in members
        }
    known = {name: arrays.pop(name) for name in _DTYPES}
    detector = {name.removeprefix(_DETECTOR): array for name, array in arrays.items()}
    return Memory(**known, detector=detector)


def _read_array(data: bytes) -> NDArray[Any]:
    """An array of the format of .npy, never larger than its bytes."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array has another version than 1.0")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if is_fortran:
        raise ValueError("an array is in Fortran order")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


def _find_misfit(memory: Memory, classes: int, variant: Variant) -> str:
    for name, dtype in _DTYPES.items():
        if getattr(memory, name).dtype.name != dtype:
            return f"{name} is {getattr(memory, name).dtype.name}, expected {dtype}"
    kernel, rows = memory.kernel, memory.rows
    count, features = sum(rows.shape[:1]), sum(kernel.shape[:1])
    channels = variant.hidden.map_channels if variant.hidden else ()
    expected = {
        "kernel": (sum(channels) or features, classes),
        "bias": (classes,),
        "rows": (count, features),
        "classes": (count,),
        "held_out": (count,),
    }
    for name, shape in expected.items():
        if getattr(memory, name).shape != shape:
            return f"{name} is {getattr(memory, name).shape}, expected {shape}"
    if not all(np.isfinite(one).all() for one in (memory.kernel, memory.bias, rows)):
        return "it holds NaN or infinity"
    if count and not (memory.classes.min() >= 0 and memory.classes.max() < classes):
        return f"a row is of another class than the {classes}"
    return ""
