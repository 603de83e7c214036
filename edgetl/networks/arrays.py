"""The weights of a network as a file that holds numbers only: a .npz, which runs no code."""

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from edgetl_runtime.system.containers import DAMAGE

if TYPE_CHECKING:
    import keras

# A .npy starts with its shape and type, in less than this.
_HEADER_BYTES = 4096


def encode_weights(model: "keras.Model") -> bytes:
    """The arrays of `model.weights`, in that order, named `0`, `1` and so on, as a .npz."""
    file = io.BytesIO()
    np.savez(file, **{str(n): np.asarray(one) for n, one in enumerate(model.weights)})  # type: ignore[arg-type]
    return file.getvalue()


def decode_weights(data: bytes, model: "keras.Model") -> None:
    """Puts the arrays of `encode_weights` into a network of the same architecture.

    Raises:
        ValueError: If the bytes are not such a file, or its arrays belong to another network.
    """
    wanted = model.weights
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = [f"{n}.npy" for n in range(len(wanted))]
            if file.namelist() != names:
                raise ValueError(f"it holds {len(file.namelist())} arrays, not {len(names)}")
            for name, variable in zip(names, wanted, strict=True):
                variable.assign(_read(file, name, tuple(variable.shape), str(variable.dtype)))
    except (*DAMAGE, MemoryError) as error:
        raise ValueError(str(error) or "it does not fit into memory") from error


def _read(
    file: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    expected = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    # Before a number is read, so that a small file cannot fill the memory.
    if not 0 < file.getinfo(name).file_size - expected <= _HEADER_BYTES:
        raise ValueError(f"array {name} is not {dtype} {shape}")
    with file.open(name) as stream:
        array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = np.lib.format.read_array(
            stream, allow_pickle=False
        )
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(f"array {name} is {array.dtype} {array.shape}, not {dtype} {shape}")
    return array
