"""Scaling: what a model expects of a pixel, so that the device can hand over plain RGB levels."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import ExportError, OptionsError
from edgetl_runtime.image.preprocessing import Frame

Channels = tuple[float, ...]
Order = Literal["rgb", "bgr", "grey"]

# Of red, green and blue in the brightness of a grey image: ITU-R BT.601, as Pillow, OpenCV and
# TensorFlow have it.
_LUMA = (0.299, 0.587, 0.114)
_WHITE = 255


class Scaling(msgspec.Struct, frozen=True):
    """`level * factor + offset`, for each channel of the model.

    Attributes:
        name: As `--scaling` has it.
        formula: For people.
        factor: Of the level, which is 0..255; one for each channel, in the model's order.
        offset: Added after.
        order: Of the model's channels; `grey` is one channel, the brightness.
    """

    name: str
    formula: str
    factor: Channels
    offset: Channels
    order: Order = "rgb"

    @property
    def is_plain(self) -> bool:
        """True if red, green and blue are taken as they are."""
        return self.order == "rgb" and set(self.factor) == {1} and not any(self.offset)

    @property
    def is_uniform(self) -> bool:
        """True if red, green and blue are treated alike, and in this order."""
        return self.order == "rgb" and len(set(self.factor)) == len(set(self.offset)) == 1

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The weights of red, green and blue in each channel of the model, (channels, 3)."""
        colours = {"rgb": np.eye(3), "bgr": np.eye(3)[::-1], "grey": np.array([_LUMA])}
        mixed: NDArray[np.float64] = colours[self.order] * np.array(self.factor)[:, np.newaxis]
        return mixed.astype(np.float32)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest number that it makes of any level."""
        ends = [
            level * factor + offset
            for level in (0, _WHITE)
            for factor, offset in zip(self.factor, self.offset, strict=True)
        ]
        return min(ends), max(ends)

    def apply(self, pictures: Sequence[Frame]) -> NDArray[np.float32]:
        """Scales images as the model expects them.

        Args:
            pictures: uint8 (height, width, 3) RGB each.

        Returns:
            float32 (images, height, width, channels).
        """
        levels = np.stack(pictures).astype(np.float32)
        offset = np.array(self.offset, np.float32)
        if self.order == "rgb":
            return levels * np.array(self.factor, np.float32) + offset
        return levels @ self.matrix.T + offset

    def swap(self) -> "Scaling":
        """The scaling of a model with red and blue swapped."""
        order: Order = "rgb" if self.order == "bgr" else "bgr"
        plain = _reverse_numbers(_CAFFE_NUMBERS.get(self.name, self.name.removeprefix(_BGR)))
        name = plain if order == "rgb" else f"{_BGR}{plain}"
        return Scaling(name, self.formula, self.factor[::-1], self.offset[::-1], order)

    def fit_to(self, channels: int) -> "Scaling":
        """The scaling for a number of channels; with one, the brightness.

        Raises:
            ExportError: If it treats red, green and blue differently, and the model is grey.
        """
        if channels != 1 or self.order == "grey":
            return self
        if not self.is_uniform:
            raise ExportError(
                f"the model takes gray images, one channel, but --scaling {self.name} has values "
                "for red, green and blue; give 0..255, 0..1, -1..1 or one number each, such as "
                '--scaling "mean=0.5 std=0.25"'
            )
        return Scaling(self.name, self.formula, self.factor[:1], self.offset[:1], "grey")


# Of ImageNet's photos, levels 0..1, red, green, blue; torchvision's models and most of PyTorch's.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of the same photos, levels 0..255, blue, green, red: Caffe's models, and those of Keras that have
# its weights (`keras.applications` VGG and ResNet).
_CAFFE_MEAN = (103.939, 116.779, 123.68)
_CAFFE_NUMBERS = {"caffe": "mean=103.939,116.779,123.68 std=1"}
_BGR = "bgr "
_OWN = re.compile(r"(mean|std)=(.*)")
_OWN_NUMBERS = re.compile(r"(?<==)[^\s=]+,[^\s=]+")
_EXPECTED = (
    'give your own numbers as --scaling "mean=0.5,0.4,0.3 std=0.25,0.25,0.2", for '
    '(value / 255 - mean) / std, or for values 0..255, such as "mean=127.5 std=127.5"; prefix bgr '
    "if the model takes blue first"
)


def _alike(value: float) -> Channels:
    return (value, value, value)


def _standardize(mean: Channels, deviation: Channels, unit: float) -> tuple[Channels, Channels]:
    """Factor and offset of (level / unit - mean) / deviation."""
    factor = tuple(1 / (unit * one) for one in deviation)
    return factor, tuple(-middle / one for middle, one in zip(mean, deviation, strict=True))


SCALINGS: tuple[Scaling, ...] = (
    Scaling("0..255", "value unchanged", _alike(1.0), _alike(0.0)),
    Scaling("0..1", "value / 255", _alike(1 / 255), _alike(0.0)),
    Scaling("-1..1", "value / 127.5 - 1", _alike(1 / 127.5), _alike(-1.0)),
    Scaling(
        "imagenet",
        "(value / 255 - mean) / std of ImageNet, as in torchvision",
        *_standardize(_MEAN, _DEVIATION, _WHITE),
    ),
    Scaling(
        "caffe",
        "value - mean of ImageNet, blue first, as in Caffe and Keras' VGG and ResNet",
        *_standardize(_CAFFE_MEAN, _alike(1.0), 1),
        "bgr",
    ),
)


def find_scaling(text: str) -> Scaling:
    """A scaling by its name, or by numbers of one's own.

    Args:
        text: A name of `SCALINGS`, or `mean=M std=S` with one number, or one for each channel in
            the model's order. They are of levels 0..1, or of levels 0..255 where one of them is
            above 1. `bgr` before either: the model takes blue first.

    Raises:
        OptionsError: If there is none of that name, or the numbers cannot be meant.
    """
    # As it is pasted from a program: blanks behind commas, brackets around.
    words = re.sub(r"\s*([,=])\s*", r"\1", re.sub(r"[\[\]()]", "", text.lower())).split()
    blue_first = words[:1] == ["bgr"]
    if blue_first:
        del words[0]
    for one in SCALINGS:
        if words == [one.name]:
            if blue_first and one.order == "bgr":
                raise OptionsError(f"{one.name} is already bgr; give --scaling {one.name}")
            return one.swap() if blue_first else one
    if words and all("=" in word for word in words):
        return _read_numbers(text, words, "bgr" if blue_first else "rgb")
    names = ", ".join(one.name for one in SCALINGS)
    raise OptionsError(f"unknown scaling {text!r}; expected one of {names}; {_EXPECTED}")


def _read_numbers(text: str, words: Sequence[str], order: Order) -> Scaling:
    found: dict[str, Channels] = {}
    for word in words:
        match = _OWN.fullmatch(word)
        numbers = _read_channels(match[2]) if match else None
        if match is None or numbers is None or match[1] in found:
            raise OptionsError(f"--scaling: {word!r} in {text!r} cannot be read; {_EXPECTED}")
        found[match[1]] = numbers
    if len(found) < len(("mean", "std")):
        raise OptionsError(f"--scaling {text!r} needs both mean= and std=; {_EXPECTED}")
    mean, deviation = found["mean"], found["std"]
    unit = _find_unit(text, mean, deviation)
    shown = "value / 255" if unit == _WHITE else "level"
    return Scaling(
        f"{_BGR if order == 'bgr' else ''}mean={_show(mean)} std={_show(deviation)}",
        f"({shown} - {_show(mean)}) / {_show(deviation)}{', blue first' * (order == 'bgr')}",
        *_standardize(mean, deviation, unit),
        order,
    )


def _read_channels(text: str) -> Channels | None:
    """One number for all channels, or three; None if it is neither."""
    try:
        numbers = tuple(float(one) for one in text.split(","))
    except ValueError:
        return None
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        return None
    return numbers * 3 if len(numbers) == 1 else numbers


def _find_unit(text: str, mean: Channels, deviation: Channels) -> float:
    """What levels are divided by first: 255 where all numbers are 0..1, else 1."""
    if min(deviation) <= 0 or max(*mean, *deviation) > _WHITE or min(mean) < 0:
        raise OptionsError(
            f"--scaling {text!r} is out of range: expected mean 0..255 and std above 0, up to 255"
        )
    if max(*mean, *deviation) <= 1:
        return _WHITE
    if any(0 < one <= 1 for one in mean) or (max(mean) > 1 and min(deviation) < 1):
        raise OptionsError(
            f"--scaling {text!r} mixes units: give mean and std both for values 0..1, or both for "
            "values 0..255"
        )
    return 1


def _reverse_numbers(name: str) -> str:
    """`mean=1,2,3 std=4` becomes `mean=3,2,1 std=4`; any other name is left as it is."""
    return _OWN_NUMBERS.sub(lambda found: ",".join(found[0].split(",")[::-1]), name)


def _show(numbers: Channels) -> str:
    """As short as it can be given."""
    return ",".join(f"{one:g}" for one in (numbers[:1] if len(set(numbers)) == 1 else numbers))
