"""Specifications of a model's input and output."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgetl_runtime.errors import EngineError
from edgetl_runtime.text.wording import count_noun

_EXPORT_AGAIN = "export the bundle again with: edgetl export"


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model's input or output.

    Attributes:
        name: The tensor's name in the model.
        shape: Batch 1 first.
        dtype: `uint8` takes the pixels as they are; `float32` takes the levels 0..255.
        layout: Axis order: `nhwc` and `nchw` for images, `nc` for scores.
    """

    name: str
    shape: tuple[Annotated[int, msgspec.Meta(gt=0)], ...]
    dtype: Literal["uint8", "float32"]
    layout: Literal["nhwc", "nchw", "nc"]


def picture_size(tensor: TensorSpec) -> tuple[int, int] | None:
    """(height, width) of an image tensor, or None if it is none of batch 1 and 3 channels."""
    match (tensor.layout, tensor.shape):
        case ("nhwc", (1, height, width, 3)) | ("nchw", (1, 3, height, width)):
            return height, width
    return None


def only(tensors: Sequence[Any], kind: str) -> Any:
    """The one input of a model.

    Raises:
        EngineError: If there are more or none.
    """
    if len(tensors) != 1:
        raise EngineError(f"the model has {len(tensors)} {kind}s, expected 1; {_EXPORT_AGAIN}")
    return tensors[0]


def split_outputs(tensors: Sequence[Any], revealed: Sequence[int] | None) -> tuple[Any, list[Any]]:
    """The scores and what was revealed besides them: features, then maps.

    Args:
        tensors: The model's outputs.
        revealed: Channels of each map that was revealed; None if nothing was.

    Raises:
        EngineError: If there are more or fewer.
    """
    expected = 1 if revealed is None else 2 + len(revealed)
    if len(tensors) != expected:
        raise EngineError(
            f"the model has {count_noun(len(tensors), 'output')}, expected {expected}; "
            + _EXPORT_AGAIN
        )
    return tensors[0], list(tensors[1:])


def check_maps(maps: Sequence[NDArray[np.float32]], channels: Sequence[int]) -> None:
    """Refuses maps that are not those that the bundle promises.

    Args:
        maps: float32 (height, width, channels) each.
        channels: Of each.

    Raises:
        EngineError: Naming both.
    """
    found = [one.shape[-1] for one in maps]
    if found != list(channels):
        raise EngineError(
            f"the feature maps have {found} channels, the bundle says {list(channels)}; "
            + _EXPORT_AGAIN
        )


def check_tensor(expected: TensorSpec, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Refuses a model whose tensor is not the one that the bundle promises.

    Raises:
        EngineError: Naming both.
    """
    found = (tuple(int(n) for n in shape), np.dtype(dtype).name)
    if found != (expected.shape, expected.dtype):
        raise EngineError(
            f"tensor {expected.name} is {found[1]} {found[0]}, the bundle says {expected.dtype} "
            f"{expected.shape}; {_EXPORT_AGAIN}"
        )
