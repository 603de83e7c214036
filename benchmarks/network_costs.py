"""Counts what networks cost and writes edgetl/estimation/costs.json.

    .venv/bin/python benchmarks/network_costs.py [--only NAME]...

Run it after a backbone was added, or the network of a published latency. It builds every backbone
at three or four sizes, without weights: minutes. --only counts these again and keeps the others.
Networks of published figures have their classifier of 1000 classes; those that Keras does not
have are written out here as torchvision and the papers have them (SqueezeNet: Iandola et al. 2016
and its version 1.1; ResNet-18 and ResNet-50 with the stride in the 3x3 convolution: He et al.
2016; Wide ResNet-50-2: Zagoruyko and Komodakis 2016).
"""

import argparse
from collections.abc import Iterable

import keras
import msgspec

from edgetl.estimation.costs import ANCHOR_PX, TABLE, Costs, CostTable, read_costs
from edgetl.estimation.counting import count_costs
from edgetl.networks.backbones import BACKBONES, Backbone, build

SMALLEST_PX = 96
APPLICATIONS = {
    "mobilenet_v1_1.0": "MobileNet",
    "mobilenet_v2_1.0": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3Small",
    "mobilenet_v3_large": "MobileNetV3Large",
    "efficientnet_b0": "EfficientNetB0",
    "efficientnet_v2_b0": "EfficientNetV2B0",
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
}
SQUEEZENET_PX = {"squeezenet_1.0": 224, "squeezenet_1.1": 224}
# Blocks of each stage, bottleneck or not, width of the 3x3 convolution.
RESNETS = {
    "resnet18": ((2, 2, 2, 2), False, 1),
    "resnet50_v1.5": ((3, 4, 6, 3), True, 1),
    "wide_resnet50_2": ((3, 4, 6, 3), True, 2),
}
NAMES = (*APPLICATIONS, *SQUEEZENET_PX, *RESNETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = tuple(dict.fromkeys((*NAMES, *BACKBONES)))
    parser.add_argument("--only", action="append", choices=sorted(names))
    chosen = parser.parse_args().only or names
    table = read_costs() if TABLE.is_file() else CostTable({}, {})
    for name in chosen:
        if name in NAMES:
            table.published[name] = count_published(name)
            print(f"{name}, with its top: {table.published[name].macs / 1e6:.1f}", flush=True)
        if name in BACKBONES:
            table.backbones[name] = count_backbone(BACKBONES[name])
            print(name, *(f"{row.macs / 1e6:.1f}" for row in table.backbones[name]), flush=True)
        # Each takes seconds to minutes: none is lost if the next fails.
        write(table)


def write(table: CostTable) -> None:
    """One row a line, so that a change can be read."""
    lines = [
        f'"{name}": [\n' + ",\n".join(f"  {encode(row)}" for row in table.backbones[name]) + "]"
        for name in BACKBONES
        if name in table.backbones
    ]
    published = table.published
    tops = [f'"{name}": {encode(published[name])}' for name in NAMES if name in published]
    body = '{"backbones": {\n%s\n},\n"published": {\n%s\n}}\n'
    TABLE.write_text(body % (",\n".join(lines), ",\n".join(tops)))


def encode(row: Costs) -> str:
    return msgspec.json.encode(row).decode()


def count_backbone(backbone: Backbone) -> tuple[Costs, ...]:
    return tuple(count(build(backbone, size_px)) for size_px in choose_sizes(backbone))


def choose_sizes(backbone: Backbone) -> list[int]:
    """Three multiples of ANCHOR_PX, and the backbone's own size if it is none."""
    own = backbone.size_px
    if own <= SMALLEST_PX:
        return [own, 2 * own, 3 * own]
    if own % ANCHOR_PX == 0:
        return [SMALLEST_PX, own, ANCHOR_PX * round(1.5 * own / ANCHOR_PX)]
    return [SMALLEST_PX, 224, 384, own]


def count_published(name: str) -> Costs:
    if name in APPLICATIONS:
        builder = getattr(keras.applications, APPLICATIONS[name])
        return count(builder(weights=None, input_shape=(224, 224, 3)))
    if name in SQUEEZENET_PX:
        return count(make_squeezenet(name, SQUEEZENET_PX[name]))
    return count(make_resnet(*RESNETS[name]))


def count(network: keras.Model) -> Costs:
    costs = count_costs(network)
    keras.backend.clear_session()
    return costs


def make_squeezenet(name: str, size_px: int) -> keras.Model:
    inputs = keras.Input((size_px, size_px, 3))
    if name == "squeezenet_1.0":
        maps = convolve(inputs, 96, 7, 2, "valid")
        stages: Iterable[tuple[int, ...]] = ((16, 16, 32), (32, 48, 48, 64), (64,))
    else:
        maps = convolve(inputs, 64, 3, 2, "valid")
        stages = ((16, 16), (32, 32), (48, 48, 64, 64))
    for squeezes in stages:
        maps = keras.layers.MaxPooling2D(3, 2)(maps)
        for squeeze in squeezes:
            maps = fire(maps, squeeze)
    maps = convolve(maps, 1000, 1)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))


def fire(maps: object, squeeze: int) -> object:
    maps = convolve(maps, squeeze, 1)
    halves = [convolve(maps, 4 * squeeze, 1), convolve(maps, 4 * squeeze, 3)]
    return keras.layers.Concatenate()(halves)


def make_resnet(blocks: tuple[int, ...], bottleneck: bool, width: int) -> keras.Model:
    inputs = keras.Input((224, 224, 3))
    maps = keras.layers.MaxPooling2D(3, 2, padding="same")(convolve(inputs, 64, 7, 2))
    for stage, count_of_blocks in enumerate(blocks):
        for block in range(count_of_blocks):
            stride = 2 if stage and not block else 1
            maps = residual(maps, 64 * 2**stage, stride, bottleneck, width)
    maps = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(inputs, keras.layers.Dense(1000)(maps))


def residual(maps: object, filters: int, stride: int, bottleneck: bool, width: int) -> object:
    outputs = 4 * filters if bottleneck else filters
    shortcut = maps
    if stride > 1 or maps.shape[-1] != outputs:
        shortcut = convolve(maps, outputs, 1, stride)
    if bottleneck:
        inside = convolve(convolve(maps, filters * width, 1), filters * width, 3, stride)
        inside = convolve(inside, outputs, 1)
    else:
        inside = convolve(convolve(maps, filters, 3, stride), filters, 3)
    return keras.layers.Add()([shortcut, inside])


def convolve(
    maps: object, filters: int, size_px: int, stride: int = 1, padding: str = "same"
) -> object:
    return keras.layers.Conv2D(filters, size_px, stride, padding=padding)(maps)


if __name__ == "__main__":
    main()
