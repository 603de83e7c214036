"""The networks: how Keras builds each, and the layers at which it may be cut."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edgetl.networks import efficientnet_lite

if TYPE_CHECKING:
    import keras

Shape = tuple[int, int, int]
Option = float | str
Builder = Callable[[Option, Shape, str | None], "keras.Model"]


def build_network(family: str, option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    """Builds a network without its top.

    Args:
        family: A key of the table of builders, such as `mobilenet_v2`.
        option: What the family varies: a width multiplier or a version.
        shape: Of the input: height, width, 3.
        weights: `imagenet` or None.

    Returns:
        A Keras model whose layers have the same names in every process.
    """
    network = _BUILDERS[family](option, shape, weights)
    _settle_names(network)
    return network


def find_cuts(family: str, option: Option) -> tuple[str, ...]:
    """The layers whose output alone feeds all that is above, from the top down.

    Above the n-th one are the top n blocks of the architecture, and whatever follows the last
    block; below the last one is the stem, or the first block where there is no stem.
    """
    _, *below_the_top = reversed(list(_OUTPUTS[family](option)))
    return tuple(below_the_top)


def _settle_names(network: "keras.Model") -> None:
    """Renumbers the layers that Keras named by a counter of the whole process.

    Else `max_pooling2d_1` would be `max_pooling2d_5` in the second network that is built.
    """
    seen: Counter[str] = Counter()
    for layer in network.layers:
        stem = re.sub(r"_\d+$", "", layer.name)
        if stem.replace("_", "") == type(layer).__name__.lower():
            layer.name = f"{stem}_{seen[stem]}" if seen[stem] else stem
            seen[stem] += 1


def _mobilenet_v1(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    return keras.applications.MobileNet(
        input_shape=shape, alpha=float(option), include_top=False, weights=weights
    )


def _mobilenet_v2(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    return keras.applications.MobileNetV2(
        input_shape=shape, alpha=float(option), include_top=False, weights=weights
    )


def _mobilenet_v3(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    version, _, minimalistic = str(option).partition(" ")
    builder = getattr(keras.applications, f"MobileNetV3{version}")
    return builder(
        input_shape=shape,
        minimalistic=bool(minimalistic),
        include_top=False,
        weights=weights,
        include_preprocessing=True,
    )


def _keras_application(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    """Whatever takes no more than a shape; the option is its name in `keras.applications`."""
    import keras

    builder = getattr(keras.applications, str(option))
    return builder(input_shape=shape, include_top=False, weights=weights)


def _efficientnet_lite(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    """Keras has neither the networks nor their weights; see `packaged_weights`."""
    return efficientnet_lite.build_efficientnet_lite(str(option), shape)


def _cnn(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    inputs = keras.Input(shape)
    maps = inputs
    for n, filters in enumerate((24, 48, 96, 128), 1):
        block = f"block{n}"
        maps = keras.layers.Conv2D(
            filters, 3, padding="same", use_bias=False, name=f"{block}_conv"
        )(maps)
        maps = keras.layers.BatchNormalization(momentum=0.9, name=f"{block}_bn")(maps)
        maps = keras.layers.ReLU(name=f"{block}_relu")(maps)
        maps = keras.layers.MaxPooling2D(name=f"{block}_pool")(maps)
    return keras.Model(inputs, maps, name="cnn")


def _lenet(option: Option, shape: Shape, weights: str | None) -> "keras.Model":
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, section II.B) up to its layer F6.

    At 32 px the last maps are 1x1, as in 1998. Where it departs from 1998: three colours go in;
    tanh(x) stands for 1.7159 tanh(2x/3); S2 and S4 average without a coefficient, a bias and a
    tanh of their own; each map of C3 sees all six of S2 (table I left some out to save work);
    F6 is a 1x1 convolution, so that larger images can be had; a softmax head takes the place
    of the ten radial basis functions.
    """
    import keras

    def convolve(maps: object, filters: int, size_px: int, name: str) -> object:
        return keras.layers.Conv2D(filters, size_px, activation="tanh", name=name)(maps)

    inputs = keras.Input(shape)
    maps = convolve(inputs, 6, 5, "c1")
    maps = keras.layers.AveragePooling2D(2, name="s2")(maps)
    maps = convolve(maps, 16, 5, "c3")
    maps = keras.layers.AveragePooling2D(2, name="s4")(maps)
    maps = convolve(maps, 120, 5, "c5")
    maps = convolve(maps, 84, 1, "f6")
    return keras.Model(inputs, maps, name="lenet")


_BUILDERS: dict[str, Builder] = {
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "efficientnet": _keras_application,
    "efficientnet_lite": _efficientnet_lite,
    "vgg": _keras_application,
    "resnet": _keras_application,
    "inception": _keras_application,
    "densenet": _keras_application,
    "cnn": _cnn,
    "lenet": _lenet,
}


# The rest gives, for each family, the layers that end the stem and each block, from the bottom
# up. All of these names are given by the builders, none by a counter, but for Inception's stem.


def _mobilenet_v1_outputs(option: Option) -> Iterable[str]:
    return ["conv1_relu", *(f"conv_pw_{n}_relu" for n in range(1, 14))]


def _mobilenet_v2_outputs(option: Option) -> Iterable[str]:
    yield from ("Conv1_relu", "expanded_conv_project_BN")
    for n in range(1, 17):
        # Only a block that keeps size and width has a residual (Sandler et al. 2018, table 2).
        first_of_its_width = n in (1, 3, 6, 10, 13, 16)
        yield f"block_{n}_project_BN" if first_of_its_width else f"block_{n}_add"


def _mobilenet_v3_outputs(option: Option) -> Iterable[str]:
    """The stem ends before its activation, whose name differs between the versions."""
    small = str(option).startswith("Small")
    # Howard et al. 2019, tables 1 and 2: blocks that change size or width.
    without_residual = (0, 1, 3, 6, 8) if small else (1, 3, 6, 10, 12)
    yield "conv_bn"
    for n in range(11 if small else 15):
        block = f"expanded_conv_{n}" if n else "expanded_conv"
        yield f"{block}_project_bn" if n in without_residual else f"{block}_add"


# Blocks in each stage of B0; the others multiply by a depth (Tan and Le 2019 and 2021).
_EFFICIENTNET_STAGES = ((1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 3, 5, 8))
_EFFICIENTNET_DEPTH = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)


def _efficientnet_outputs(option: Option) -> Iterable[str]:
    second = "V2" in str(option)
    depth = _EFFICIENTNET_DEPTH[int(str(option)[-1])]
    yield "stem_activation"
    for stage, blocks in enumerate(_EFFICIENTNET_STAGES[second], 1):
        for n in range(math.ceil(depth * blocks)):
            block = f"block{stage}{chr(ord('a') + n)}"
            # The first stage of V2 does not expand, and ends in an activation instead.
            first_end = "project_activation" if second and stage == 1 else "project_bn"
            yield f"{block}_add" if n else f"{block}_{first_end}"


def _efficientnet_lite_outputs(option: Option) -> Iterable[str]:
    return efficientnet_lite.list_outputs(str(option))


def _vgg_outputs(option: Option) -> Iterable[str]:
    return [f"block{n}_pool" for n in range(1, 6)]


_RESNET_BLOCKS = {"ResNet50": (3, 4, 6, 3)}
"""Of each stage (He et al. 2016, table 1)."""
_DENSENET_LAST = {"DenseNet121": 16}
"""Layers of the last dense block (Huang et al. 2017, table 1)."""


def _resnet_outputs(option: Option) -> Iterable[str]:
    yield "pool1_pool"
    for stage, blocks in enumerate(_RESNET_BLOCKS[str(option)], 2):
        yield from (f"conv{stage}_block{n}_out" for n in range(1, blocks + 1))


def _inception_outputs(option: Option) -> Iterable[str]:
    return ["max_pooling2d_1", *(f"mixed{n}" for n in range(11))]


def _densenet_outputs(option: Option) -> Iterable[str]:
    """Dense blocks with the transitions that end them, where the fewest channels pass."""
    last = _DENSENET_LAST[str(option)]
    return ["pool1", "pool2_pool", "pool3_pool", "pool4_pool", f"conv5_block{last}_concat"]


def _cnn_outputs(option: Option) -> Iterable[str]:
    return [f"block{n}_pool" for n in range(1, 5)]


def _lenet_outputs(option: Option) -> Iterable[str]:
    return ["s2", "s4", "c5", "f6"]


_OUTPUTS: dict[str, Callable[[Option], Iterable[str]]] = {
    "mobilenet_v1": _mobilenet_v1_outputs,
    "mobilenet_v2": _mobilenet_v2_outputs,
    "mobilenet_v3": _mobilenet_v3_outputs,
    "efficientnet": _efficientnet_outputs,
    "efficientnet_lite": _efficientnet_lite_outputs,
    "vgg": _vgg_outputs,
    "resnet": _resnet_outputs,
    "inception": _inception_outputs,
    "densenet": _densenet_outputs,
    "cnn": _cnn_outputs,
    "lenet": _lenet_outputs,
}
