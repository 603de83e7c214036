"""The table of backbones: how each is built, what it takes, and what is known of it."""

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from edgetl_runtime.errors import EdgetlError

if TYPE_CHECKING:
    import keras

Quantizes = Literal["well", "fairly", "badly"]
Scaling = Literal["-1..1", "inside"]
MIN_SIZE_PX = 32


class Backbone(msgspec.Struct, frozen=True):
    """A feature extractor.

    Attributes:
        name: As the command line has it.
        family: The builder in `_BUILDERS`.
        option: What the builder takes: a width multiplier or a version.
        size_px: Default input size, a square.
        scaling: `-1..1`: x / 127.5 - 1 comes first in our graph; `inside`: the network has it.
        licence: Of the ImageNet weights.
        parameters: Number of weights without the top.
        multiply_adds_m: Millions of multiply-adds for one picture of the default size.
        quantizes: To int8 after training. Sources: for MobileNet V3 and EfficientNet V1 the
            reports collected in TensorFlow's and google-coral's issue trackers (squeeze-and-
            excite and swish break); for the others `benchmarks/` and the EfficientNet-Lite notes.
        taps: Layers whose pooled maps are features; the last one is the network's end. A
            middle layer beside the end helps where photos differ in texture more than in
            objects (the idea of Head2Toe, Evci et al. 2022).
        pretrained: True if ImageNet weights exist.
    """

    name: str
    family: str
    option: float | str
    size_px: int
    scaling: Scaling
    licence: str
    parameters: int
    multiply_adds_m: float
    quantizes: Quantizes
    taps: tuple[str, ...] = ()
    pretrained: bool = True


def find_backbone(name: str) -> Backbone:
    """Looks a backbone up.

    Raises:
        EdgetlError: If there is none of that name; it suggests the nearest.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    near = difflib.get_close_matches(name.lower(), BACKBONES, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}? " if near else ""
    raise EdgetlError(f"unknown backbone {name!r}; {hint}`edgetl backbones` lists them all")


def build(backbone: Backbone, size_px: int, *, weights: str | None = None) -> "keras.Model":
    """Builds the network without its top.

    Args:
        backbone: Which network.
        size_px: Side of the input, at least 32.
        weights: `imagenet` lets Keras find or download the weights; None gives random ones.

    Returns:
        A Keras model: float32 (batch, size_px, size_px, 3) in the network's own input range ->
        the maps of its last layer.

    Raises:
        EdgetlError: If the network cannot take this size.
    """
    if size_px < MIN_SIZE_PX:
        raise EdgetlError(f"--size {size_px} is too small; {MIN_SIZE_PX} px is the least")
    return _BUILDERS[backbone.family](backbone, (size_px, size_px, 3), weights)


def count_multiply_adds(model: "keras.Model") -> int:
    """Multiply-adds of all convolutions and dense layers for one picture."""
    import keras
    import numpy as np

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += int(np.prod(layer.output.shape[1:]) * np.prod(layer.kernel_size))
        elif isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


Shape = tuple[int, int, int]


def _mobilenet_v1(backbone: Backbone, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    return keras.applications.MobileNet(
        input_shape=shape, alpha=float(backbone.option), include_top=False, weights=weights
    )


def _mobilenet_v2(backbone: Backbone, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    return keras.applications.MobileNetV2(
        input_shape=shape, alpha=float(backbone.option), include_top=False, weights=weights
    )


def _mobilenet_v3(backbone: Backbone, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    version, _, minimalistic = str(backbone.option).partition(" ")
    builder = getattr(keras.applications, f"MobileNetV3{version}")
    return builder(
        input_shape=shape,
        minimalistic=bool(minimalistic),
        include_top=False,
        weights=weights,
        include_preprocessing=True,
    )


def _efficientnet(backbone: Backbone, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    builder = getattr(keras.applications, f"EfficientNet{backbone.option}")
    return builder(input_shape=shape, include_top=False, weights=weights)


def _cnn(backbone: Backbone, shape: Shape, weights: str | None) -> "keras.Model":
    import keras

    inputs = keras.Input(shape)
    maps = inputs
    for filters in (24, 48, 96, 128):
        maps = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(maps)
        maps = keras.layers.BatchNormalization(momentum=0.9)(maps)
        maps = keras.layers.ReLU()(maps)
        maps = keras.layers.MaxPooling2D()(maps)
    return keras.Model(inputs, maps, name="cnn")


_BUILDERS: dict[str, Callable[[Backbone, Shape, str | None], "keras.Model"]] = {
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "efficientnet": _efficientnet,
    "cnn": _cnn,
}

_APACHE = "Apache-2.0"
# Measured on TrashNet, 5 folds, one view: MobileNetV2 0.35 with the end alone 0.830, with block 13
# 0.841, with all of these 0.850; EfficientNetV2-B0 (one split) 0.883 and 0.914.
_V2_TAPS = (
    "block_6_expand_relu",
    "block_10_expand_relu",
    "block_13_expand_relu",
    "block_16_expand_relu",
    "out_relu",
)
_EFFICIENTNET_TAPS = ("block6a_expand_activation", "top_activation")


def _table() -> tuple[Backbone, ...]:
    rows: list[Backbone] = []
    for option, parameters, cost in _V1:
        rows.append(
            Backbone(
                f"mobilenet_v1_{option}",
                "mobilenet_v1",
                option,
                224,
                "-1..1",
                _APACHE,
                parameters,
                cost,
                "well",
            )
        )
    for option, parameters, cost in _V2:
        rows.append(
            Backbone(
                f"mobilenet_v2_{option}",
                "mobilenet_v2",
                option,
                224,
                "-1..1",
                _APACHE,
                parameters,
                cost,
                "well",
                _V2_TAPS,
            )
        )
    for name, option_v3, parameters, cost, quantizes in _V3:
        rows.append(
            Backbone(
                f"mobilenet_v3_{name}",
                "mobilenet_v3",
                option_v3,
                224,
                "inside",
                _APACHE,
                parameters,
                cost,
                quantizes,
            )
        )
    for name, option_e, size, parameters, cost, quantizes in _EFFICIENTNET:
        rows.append(
            Backbone(
                f"efficientnet_{name}",
                "efficientnet",
                option_e,
                size,
                "inside",
                _APACHE,
                parameters,
                cost,
                quantizes,
                _EFFICIENTNET_TAPS,
            )
        )
    rows.append(
        Backbone(
            "cnn",
            "cnn",
            "",
            96,
            "-1..1",
            "none: trained from scratch",
            *_CNN,
            "well",
            pretrained=False,
        )
    )
    return tuple(rows)


# Parameters and millions of multiply-adds; tests/edgetl/test_backbones.py counts them again.
_V1 = (
    (0.25, 218_544, 40.8),
    (0.5, 829_536, 149.0),
    (0.75, 1_832_976, 324.6),
    (1.0, 3_228_864, 567.7),
)
_V2 = (
    (0.35, 410_208, 58.0),
    (0.5, 706_224, 95.9),
    (0.75, 1_382_064, 207.8),
    (1.0, 2_257_984, 299.5),
    (1.3, 3_766_048, 507.7),
    (1.4, 4_363_712, 580.4),
)
_V3: tuple[tuple[str, str, int, float, Quantizes], ...] = (
    ("small", "Small", 939_120, 54.9, "badly"),
    ("small_minimalistic", "Small minimalistic", 441_000, 50.7, "well"),
    ("large", "Large", 2_996_352, 214.1, "badly"),
    ("large_minimalistic", "Large minimalistic", 1_437_608, 206.6, "well"),
)
_EFFICIENTNET: tuple[tuple[str, str, int, int, float, Quantizes], ...] = (
    ("b0", "B0", 224, 4_049_571, 384.5, "badly"),
    ("b1", "B1", 240, 6_575_239, 685.5, "badly"),
    ("b2", "B2", 260, 7_768_569, 992.2, "badly"),
    ("b3", "B3", 300, 10_783_535, 1825.6, "badly"),
    ("b4", "B4", 380, 17_673_823, 4392.0, "badly"),
    ("b5", "B5", 456, 28_513_527, 10264.3, "badly"),
    ("b6", "B6", 528, 40_960_143, 19065.3, "badly"),
    ("b7", "B7", 600, 64_097_687, 37743.3, "badly"),
    ("v2_b0", "V2B0", 224, 5_919_312, 716.8, "fairly"),
    ("v2_b1", "V2B1", 240, 6_931_124, 1195.5, "fairly"),
    ("v2_b2", "V2B2", 260, 8_769_374, 1696.1, "fairly"),
    ("v2_b3", "V2B3", 300, 12_930_622, 3009.9, "fairly"),
)
_CNN = (164_264, 69.7)

BACKBONES: dict[str, Backbone] = {row.name: row for row in _table()}
