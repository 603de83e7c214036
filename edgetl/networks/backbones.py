"""The table of backbones: what each takes, what is known of it, and where it may be cut."""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from edgetl.networks.architectures import build_network, find_cuts
from edgetl_runtime.errors import OptionsError

if TYPE_CHECKING:
    import keras

Quantizes = Literal["well", "fairly", "badly"]
Scaling = Literal["-1..1", "lite", "caffe", "torch", "inside"]
Triple = tuple[float, float, float]


class Backbone(msgspec.Struct, frozen=True, kw_only=True):
    """A feature extractor.

    Attributes:
        name: As the command line has it.
        family: The builder in `edgetl.networks.architectures`.
        option: What the builder takes: a width multiplier or a version.
        size_px: Default input size, a square.
        scaling: What comes first in our graph, see `apply_scaling`: `-1..1`: x / 127.5 - 1;
            `lite`: (x - 127) / 128, as EfficientNet-Lite has it;
            `caffe`: blue, green, red, less ImageNet's means; `torch`: less ImageNet's means, by
            its deviations; `inside`: nothing, since the network scales by itself.
        parameters: Number of weights without the top.
        multiply_adds_m: Millions of multiply-adds for one image of the default size.
        quantizes: To int8 after training. Sources: for MobileNet V3 and EfficientNet V1 the
            reports collected in TensorFlow's and google-coral's issue trackers (squeeze-and-
            excite and swish break); for ResNet and Inception Krishnamoorthi 2018, and for
            DenseNet the ONNX model zoo's int8 file, which loses 0.8 points of ImageNet (a long
            chain of concatenations shares one scale); VGG, LeNet and `cnn` are convolutions in a
            row; for the others `benchmarks/` and the EfficientNet-Lite notes.
        licence: Of the ImageNet weights.
        auto_blocks: How many top blocks `--finetune auto` trains: those with at most
            about a fifth of the multiply-adds, and at least one.
        taps: Layers whose pooled maps are features; the last one is the network's end. A
            middle layer beside the end helps where photos differ in texture more than in
            objects (the idea of Head2Toe, Evci et al. 2022).
        pretrained: True if ImageNet weights exist.
        least_px: The smallest input size of which the network leaves a map.
    """

    name: str
    family: str
    option: float | str
    size_px: int
    scaling: Scaling
    parameters: int
    multiply_adds_m: float
    quantizes: Quantizes
    licence: str = "Apache-2.0"
    auto_blocks: int = 1
    taps: tuple[str, ...] = ()
    pretrained: bool = True
    least_px: int = 32

    @property
    def cuts(self) -> tuple[str, ...]:
        """Layers at which the network may be cut in two, from the top down.

        Above the output of `cuts[n - 1]` are the top n blocks and what follows them; nothing
        else crosses a cut. A block is the architecture's own: an inverted residual, a
        depthwise-separable pair, a stage of VGG, a residual block, an Inception module, a dense
        block with the transition that follows it, a convolution of `cnn` or `lenet` with its
        pooling. Below the last cut is the stem, or the first block where there is no stem.
        """
        return find_cuts(self.family, self.option)


DEFAULT_BACKBONE = "efficientnet_lite0"


def find_backbone(name: str) -> Backbone:
    """Looks a backbone up.

    Raises:
        OptionsError: If there is none of that name; it suggests the nearest.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    near = difflib.get_close_matches(name.lower(), BACKBONES, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}? " if near else ""
    raise OptionsError(f"unknown backbone {name!r}; {hint}`edgetl backbones` lists them all")


def build(backbone: Backbone, size_px: int, *, weights: str | None = None) -> "keras.Model":
    """Builds the network without its top.

    Args:
        backbone: Which network.
        size_px: Side of the input, at least `backbone.least_px`.
        weights: `imagenet` lets Keras find or download the weights; None gives random ones.

    Returns:
        A Keras model: float32 (batch, size_px, size_px, 3) in the network's own input range ->
        the maps of its last layer. Its layers have the same names in every process.

    Raises:
        OptionsError: If the network cannot take this size.
    """
    if size_px < backbone.least_px:
        raise OptionsError(
            f"--size {size_px} is too small for {backbone.name}; {backbone.least_px} px is the "
            f"least, {backbone.size_px} px its own"
        )
    return build_network(backbone.family, backbone.option, (size_px, size_px, 3), weights)


def apply_scaling(backbone: Backbone, image: "keras.KerasTensor") -> "keras.KerasTensor":
    """Puts a backbone's input scaling into a graph.

    What swaps or weighs channels is one frozen 1x1 convolution: int8 then rounds once, by a
    third of a level on average, which is what 8 bits cost. A reversal, a Rescaling or a
    Normalization with a value for each channel rounds its constants too (up to 1.4 levels),
    and all but the second leave ONNX Runtime without the quantizer at the input.

    Args:
        backbone: Whose scaling.
        image: float32 (batch, height, width, 3) RGB 0..255.

    Returns:
        float32 (batch, height, width, 3) as `build`'s network takes it: the output of a layer
        `scaling` that must stay frozen, or `image` itself for `inside`.
    """
    import keras

    if backbone.scaling == "inside":
        return image
    if backbone.scaling == "-1..1":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)
    if backbone.scaling == "lite":
        return keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="scaling")(image)
    kernel, bias = _CAFFE if backbone.scaling == "caffe" else _TORCH
    constant = keras.initializers.Constant
    return keras.layers.Conv2D(
        3,
        1,
        kernel_initializer=constant([[list(row) for row in kernel]]),
        bias_initializer=constant(list(bias)),
        trainable=False,
        dtype="float32",
        name="scaling",
    )(image)


def count_multiply_adds(model: "keras.Model") -> int:
    """Multiply-adds of all convolutions and dense layers for one image."""
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


def share_of_multiply_adds(network: "keras.Model", cut: str) -> float:
    """The part of a network's multiply-adds, 0..1, that lies above a cut."""
    import keras

    above = keras.Model(network.get_layer(cut).output, network.output)
    return count_multiply_adds(above) / count_multiply_adds(network)


# What keras.applications' `preprocess_input` calls caffe and torch, as (kernel, bias) of a 1x1
# convolution: kernel[channel in][channel out]. Means of ImageNet's training photos: of blue,
# green, red as Simonyan and Zisserman 2014 subtract them, and of red, green, blue with their
# deviations as Torch's reference training has them, there of pixels 0..1.
_CAFFE: tuple[tuple[Triple, Triple, Triple], Triple] = (
    ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    (-103.939, -116.779, -123.68),
)
_TORCH: tuple[tuple[Triple, Triple, Triple], Triple] = (
    (
        (1 / (255 * 0.229), 0.0, 0.0),
        (0.0, 1 / (255 * 0.224), 0.0),
        (0.0, 0.0, 1 / (255 * 0.225)),
    ),
    (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)

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
# Also how well it quantizes, and the top blocks of `auto`.
_V3: tuple[tuple[str, str, int, float, Quantizes, int], ...] = (
    ("small", "Small", 939_120, 54.9, "badly", 1),
    ("small_minimalistic", "Small minimalistic", 441_000, 50.7, "well", 1),
    ("large", "Large", 2_996_352, 214.1, "badly", 2),
    ("large_minimalistic", "Large minimalistic", 1_437_608, 206.6, "well", 2),
)
_EFFICIENTNET: tuple[tuple[str, str, int, int, float, Quantizes, int], ...] = (
    ("b0", "B0", 224, 4_049_571, 384.5, "badly", 2),
    ("b1", "B1", 240, 6_575_239, 685.5, "badly", 2),
    ("b2", "B2", 260, 7_768_569, 992.2, "badly", 2),
    ("b3", "B3", 300, 10_783_535, 1825.6, "badly", 2),
    ("b4", "B4", 380, 17_673_823, 4392.0, "badly", 3),
    ("b5", "B5", 456, 28_513_527, 10264.3, "badly", 3),
    ("b6", "B6", 528, 40_960_143, 19065.3, "badly", 4),
    ("b7", "B7", 600, 64_097_687, 37743.3, "badly", 5),
    ("v2_b0", "V2B0", 224, 5_919_312, 716.8, "fairly", 4),
    ("v2_b1", "V2B1", 240, 6_931_124, 1195.5, "fairly", 4),
    ("v2_b2", "V2B2", 260, 8_769_374, 1696.1, "fairly", 4),
    ("v2_b3", "V2B3", 300, 12_930_622, 3009.9, "fairly", 5),
)
_EFFICIENTNET_LITE = (
    ("lite0", 224, 3_413_024, 383.9),
    ("lite1", 240, 4_189_344, 598.9),
    ("lite2", 260, 4_869_168, 858.5),
    ("lite3", 280, 6_992_768, 1382.0),
    ("lite4", 300, 11_837_936, 2551.8),
)


def _mobilenets() -> Iterator[Backbone]:
    for width, parameters, cost in _V1:
        yield Backbone(
            name=f"mobilenet_v1_{width}",
            family="mobilenet_v1",
            option=width,
            size_px=224,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="-1..1",
            quantizes="well",
            auto_blocks=2,
        )
    for width, parameters, cost in _V2:
        yield Backbone(
            name=f"mobilenet_v2_{width}",
            family="mobilenet_v2",
            option=width,
            size_px=224,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="-1..1",
            quantizes="well",
            auto_blocks=2,
            taps=_V2_TAPS,
        )
    for name, version, parameters, cost, quantizes, auto_blocks in _V3:
        yield Backbone(
            name=f"mobilenet_v3_{name}",
            family="mobilenet_v3",
            option=version,
            size_px=224,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="inside",
            quantizes=quantizes,
            auto_blocks=auto_blocks,
        )


def _efficientnets() -> Iterator[Backbone]:
    for name, version, size_px, parameters, cost, quantizes, auto_blocks in _EFFICIENTNET:
        yield Backbone(
            name=f"efficientnet_{name}",
            family="efficientnet",
            option=f"EfficientNet{version}",
            size_px=size_px,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="inside",
            quantizes=quantizes,
            auto_blocks=auto_blocks,
            taps=_EFFICIENTNET_TAPS,
        )


def _efficientnets_lite() -> Iterator[Backbone]:
    for version, size_px, parameters, cost in _EFFICIENTNET_LITE:
        yield Backbone(
            name=f"efficientnet_{version}",
            family="efficientnet_lite",
            option=version,
            size_px=size_px,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="lite",
            quantizes="well",
            auto_blocks=2,
            taps=_EFFICIENTNET_TAPS,
        )


def _classics() -> Iterator[Backbone]:
    """Those of the teaching material.

    No taps: whether a middle layer helps these has not been measured. Licences as the Keras
    documentation named them up to version 2.2.
    """
    yield Backbone(
        name="vgg16",
        family="vgg",
        option="VGG16",
        size_px=224,
        parameters=14_714_688,
        multiply_adds_m=15346.6,
        scaling="caffe",
        quantizes="well",
        licence="CC-BY-4.0",
    )
    yield Backbone(
        name="resnet50",
        family="resnet",
        option="ResNet50",
        size_px=224,
        parameters=23_587_712,
        multiply_adds_m=3855.9,
        scaling="caffe",
        quantizes="well",
        licence="MIT",
        auto_blocks=3,
    )
    yield Backbone(
        name="inception_v3",
        family="inception",
        option="InceptionV3",
        size_px=299,
        parameters=21_802_784,
        multiply_adds_m=5711.2,
        scaling="-1..1",
        quantizes="well",
        auto_blocks=3,
        least_px=75,
    )
    yield Backbone(
        name="densenet121",
        family="densenet",
        option="DenseNet121",
        size_px=224,
        parameters=7_037_504,
        multiply_adds_m=2833.1,
        scaling="torch",
        quantizes="fairly",
        licence="BSD-3-Clause",
    )


def _from_scratch() -> Iterator[Backbone]:
    figures = (("cnn", 96, 164_264, 69.7), ("lenet", 32, 61_156, 0.7))
    for name, size_px, parameters, cost in figures:
        yield Backbone(
            name=name,
            family=name,
            option="",
            size_px=size_px,
            parameters=parameters,
            multiply_adds_m=cost,
            scaling="-1..1",
            quantizes="well",
            licence="none: trained from scratch",
            pretrained=False,
        )


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        *_mobilenets(),
        *_efficientnets(),
        *_efficientnets_lite(),
        *_classics(),
        *_from_scratch(),
    )
}
