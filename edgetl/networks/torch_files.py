"""Weights that PyTorch saved, read without PyTorch, and without running code.

A pickle may call any function. What this one may name is four classes, and what is made of them are
descriptions of arrays; whatever else a file names ends the reading. It takes the form that PyTorch
wrote before 1.6 (`torch/serialization.py`, `_legacy_save`): three pickles (a magic number, a
protocol, sizes of types), one of the tensors, one of the keys of their storages, then each storage
as an int64 count and its numbers.
"""

import math
import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import WeightsError

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_TYPES: Final[dict[str, np.dtype[np.generic]]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
_MOST_BYTES: Final = 2**30
_MOST_DIMENSIONS: Final = 8
_MOST_OBJECTS: Final = 100_000
# Of pickles of protocol 2, all that named tensors need.
_OPERATIONS: Final = frozenset(
    "PROTO MARK STOP GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 "
    "LONG1 BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT "
    "SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET".split()
)


class _Storage(msgspec.Struct, frozen=True):
    """Numbers that tensors are views of."""

    kind: str
    key: str
    count: int


class _Tensor(msgspec.Struct, frozen=True):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_file(path: Path) -> dict[str, NDArray[np.generic]]:
    """Reads the tensors of a file.

    Args:
        path: Of the file, in the old form.

    Returns:
        float32 or int64 arrays by name.

    Raises:
        WeightsError: If it is damaged, in another form, or holds anything but tensors.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _Refused(f"it is larger than {_MOST_BYTES:,} bytes")
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    except _Refused as error:
        raise WeightsError(
            f"{path} is not a file of weights that PyTorch saved in its old form: {error}; get it "
            "again, or give --weights another one"
        ) from error


class _Refused(Exception):
    """What is wrong with a file."""


class _Unpickler(pickle.Unpickler):
    """Makes descriptions of tensors, and runs nothing."""

    def find_class(self, module: str, name: str) -> object:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _describe,
            **{("torch", kind): kind for kind in _TYPES},
        }
        if (module, name) not in known:
            raise _Refused(f"it names {module}.{name}")
        return known[module, name]

    def persistent_load(self, told: object) -> _Storage:
        match told:
            case ("storage", str(kind), str(key), str(), int(count), None) if kind in _TYPES:
                if 0 <= count * _TYPES[kind].itemsize <= _MOST_BYTES:
                    return _Storage(kind, key, count)
        raise _Refused("a storage is described in another way")


def _describe(*told: object) -> _Tensor:
    match told:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), _):
            numbers = (offset, *shape, *strides)
            fits = len(shape) == len(strides) <= _MOST_DIMENSIONS
            if fits and all(type(one) is int and one >= 0 for one in numbers):
                return _Tensor(storage, offset, shape, strides)
    raise _Refused("a tensor is described in another way")


def _read(file: BinaryIO) -> dict[str, NDArray[np.generic]]:
    if (_load(file), _load(file)) != (_MAGIC, _PROTOCOL):
        raise _Refused("it begins otherwise")
    sizes = _load(file)
    if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
        raise _Refused("its numbers are not little-endian")
    tensors, keys = _check_named(_load(file)), _load(file)
    if not isinstance(keys, list):
        raise _Refused("it has no list of storages")
    storages = {one.storage.key: one.storage for one in tensors.values()}
    if sorted(storages) != sorted(map(str, keys)):
        raise _Refused("its list of storages is another one")
    numbers = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _view(numbers[one.storage.key], one) for name, one in tensors.items()}


def _check_named(loaded: object) -> dict[str, _Tensor]:
    is_named = isinstance(loaded, dict) and all(
        isinstance(name, str) and isinstance(one, _Tensor) for name, one in loaded.items()
    )
    if not is_named:
        raise _Refused("it holds more than named tensors")
    return cast("dict[str, _Tensor]", loaded)


def _load(file: BinaryIO) -> object:
    start = file.tell()
    try:
        _check_operations(file)
        file.seek(start)
        return _Unpickler(file).load()
    except _Refused:
        raise
    # An unpickler that meets damaged bytes raises nearly anything.
    except Exception as error:
        raise _Refused(f"it is damaged ({type(error).__name__})") from error


def _check_operations(file: BinaryIO) -> None:
    """Before anything is made: an unpickler allots memory for whatever number it is told."""
    for operation, told, _ in pickletools.genops(file):
        if operation.name not in _OPERATIONS:
            raise _Refused(f"it has the operation {operation.name}")
        if operation.name == "LONG_BINPUT" and int(told or 0) > _MOST_OBJECTS:
            raise _Refused("it numbers too many objects")


def _read_storage(file: BinaryIO, storage: _Storage) -> NDArray[np.generic]:
    kind = _TYPES[storage.kind]
    count = int.from_bytes(file.read(8), "little", signed=True)
    data = file.read(storage.count * kind.itemsize)
    if count != storage.count or len(data) != storage.count * kind.itemsize:
        raise _Refused("a storage has another length")
    return np.frombuffer(data, kind)


def _view(numbers: NDArray[np.generic], tensor: _Tensor) -> NDArray[np.generic]:
    """A copy in C order of the part of a storage that is the tensor."""
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((length - 1) * stride for length, stride in steps)
    if 0 in tensor.shape or last >= len(numbers):
        raise _Refused("a tensor lies outside of its storage")
    if math.prod(tensor.shape) > len(numbers):
        raise _Refused("a tensor has more values than its storage")
    item = numbers.itemsize
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        tensor.shape,
        [stride * item for stride in tensor.strides],
        writeable=False,
    )
    return view.copy()
