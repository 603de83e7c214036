"""Scaling: what a model expects of a pixel, so that the device can hand over plain RGB levels."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.preprocessing import Frame

Channels = tuple[float, float, float]


class Scaling(msgspec.Struct, frozen=True):
    """`level * factor + offset`, for each of red, green and blue.

    Attributes:
        name: As `--scaling` has it.
        formula: For people.
        factor: Of the level, which is 0..255.
        offset: Added after.
    """

    name: str
    formula: str
    factor: Channels
    offset: Channels

    @property
    def is_plain(self) -> bool:
        """True if levels are taken as they are."""
        return self.factor == (1, 1, 1) and self.offset == (0, 0, 0)

    def apply(self, pictures: Sequence[Frame]) -> NDArray[np.float32]:
        """What the model expects of pictures.

        Args:
            pictures: uint8 (height, width, 3) RGB each.

        Returns:
            float32 (pictures, height, width, 3).
        """
        levels = np.stack(pictures).astype(np.float32)
        return levels * np.array(self.factor, np.float32) + np.array(self.offset, np.float32)


# Of ImageNet's photos, levels 0..1, red, green, blue; torchvision's models and most of PyTorch's.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _alike(value: float) -> Channels:
    return (value, value, value)


SCALINGS: tuple[Scaling, ...] = (
    Scaling("0..255", "the level as it is", _alike(1.0), _alike(0.0)),
    Scaling("0..1", "level / 255", _alike(1 / 255), _alike(0.0)),
    Scaling("-1..1", "level / 127.5 - 1", _alike(1 / 127.5), _alike(-1.0)),
    Scaling(
        "imagenet",
        "(level / 255 - mean) / deviation of ImageNet's photos, as torchvision has it",
        tuple(1 / (255 * one) for one in _DEVIATION),  # type: ignore[arg-type]
        tuple(-mean / one for mean, one in zip(_MEAN, _DEVIATION, strict=True)),  # type: ignore[arg-type]
    ),
)


def find_scaling(name: str) -> Scaling:
    """A scaling by its name.

    Raises:
        OptionsError: If there is none of that name.
    """
    for one in SCALINGS:
        if one.name == name:
            return one
    raise OptionsError(
        f"unknown scaling {name!r}; expected one of {', '.join(one.name for one in SCALINGS)}"
    )
