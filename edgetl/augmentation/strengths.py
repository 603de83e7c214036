"""How strongly photos are changed for training: one number an augmentation, 0 is off."""

import hashlib
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from edgetl_runtime.options.option import list_options

# Part of every cache key: raise it when the same strengths would give another view.
VERSION = "views-2"
# These mix the photos of a batch (edgetl.augmentation.mixing); all others change one photo.
BATCH_STRENGTHS = ("mixup", "cutmix")


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How strongly photos are changed; 0 is off.

    What is "drawn up to" a strength is drawn evenly from 0 to it, what is drawn "+-" evenly from
    its negative to it. Sizes refer to a photo whose shorter side is 224 px, and are scaled to
    the photo at hand, so that large and small photos look alike to the model. Sources: erasing
    from Zhong et al. 2020 (arXiv 1708.04896), randaugment from Cubuk et al. 2020 (1909.13719),
    mixup from Zhang et al. 2018 (1710.09412), cutmix from Yun et al. 2019 (1905.04899).

    Attributes:
        rotation: Degrees, +-.
        shift: Share of width and height, +-.
        zoom: Share: the scale is drawn from 1/(1 + zoom) to 1 + zoom.
        shear: Degrees, along and across, +-.
        horizontal_flip: Probability.
        vertical_flip: Probability.
        brightness: Levels of 255 added, +-.
        contrast: Share by which levels move from or to mid-grey, +-.
        exposure: Stops (1: the sensor gets half or twice the light), +-.
        white_balance: Share by which red gains and blue loses, +-.
        saturation: Share; 1 reaches grey, +-.
        hue: Degrees on the colour circle, +-.
        blur: Sigma, px at 224 px, drawn up to it.
        noise: Standard deviation, levels of 255, drawn up to it.
        jpeg: How far below 100 the JPEG quality is drawn.
        erasing: Probability that a box of 2..33 % of the area is erased.
        randaugment: Magnitude of two random operations; 10 is their maximum.
        mixup: Alpha of the Beta distribution that photos are mixed by.
        cutmix: Alpha of the Beta distribution that boxes are cut by.

    Raises:
        ValueError: If a strength is not a number or out of range; it names the field and the range.
    """

    rotation: Annotated[float, Meta(ge=0, le=180)] = 0.0
    shift: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    zoom: Annotated[float, Meta(ge=0, le=1)] = 0.0
    shear: Annotated[float, Meta(ge=0, le=45)] = 0.0
    horizontal_flip: Annotated[float, Meta(ge=0, le=1)] = 0.0
    vertical_flip: Annotated[float, Meta(ge=0, le=1)] = 0.0
    brightness: Annotated[float, Meta(ge=0, le=128)] = 0.0
    contrast: Annotated[float, Meta(ge=0, le=1)] = 0.0
    exposure: Annotated[float, Meta(ge=0, le=3)] = 0.0
    white_balance: Annotated[float, Meta(ge=0, le=1)] = 0.0
    saturation: Annotated[float, Meta(ge=0, le=1)] = 0.0
    hue: Annotated[float, Meta(ge=0, le=180)] = 0.0
    blur: Annotated[float, Meta(ge=0, le=8)] = 0.0
    noise: Annotated[float, Meta(ge=0, le=64)] = 0.0
    jpeg: Annotated[float, Meta(ge=0, le=100)] = 0.0
    erasing: Annotated[float, Meta(ge=0, le=1)] = 0.0
    randaugment: Annotated[float, Meta(ge=0, le=10)] = 0.0
    mixup: Annotated[float, Meta(ge=0, le=10)] = 0.0
    cutmix: Annotated[float, Meta(ge=0, le=10)] = 0.0

    def __post_init__(self) -> None:
        """Refuses strengths out of range."""
        for name in self.__struct_fields__:
            check_strength(name, getattr(self, name))


def check_strength(name: str, value: object) -> None:
    """Refuses a strength out of range.

    Raises:
        ValueError: With the range and its unit.
    """
    limit = LIMITS[name]
    if not isinstance(value, int | float) or not 0 <= value <= limit:
        found = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"{name} must be 0..{limit:g} ({MEANINGS[name]}), got {found}")


_OPTIONS = list_options(Augmentation)
LIMITS = {name: float(get_args(one.type)[1].le) for name, one in _OPTIONS.items()}
MEANINGS = {
    name: one.meaning[0].lower() + one.meaning[1:].rstrip(".") for name, one in _OPTIONS.items()
}

NONE = Augmentation()
LIGHT = Augmentation(
    rotation=15, shift=0.08, zoom=0.2, horizontal_flip=0.5, brightness=15, contrast=0.2
)
_CAMERA = Augmentation(
    rotation=8,
    shift=0.08,
    zoom=0.15,
    horizontal_flip=0.5,
    contrast=0.2,
    exposure=0.7,
    white_balance=0.1,
    saturation=0.3,
    blur=1.5,
    noise=12,
    jpeg=90,
)
# Without RandAugment, which on top of this makes photos that nobody would name any more, and
# without mixup and cutmix, which change the labels; `heavy,randaugment=3` adds one.
_HEAVY = Augmentation(
    rotation=25,
    shift=0.12,
    zoom=0.3,
    shear=12,
    horizontal_flip=0.5,
    brightness=25,
    contrast=0.4,
    exposure=0.6,
    white_balance=0.1,
    saturation=0.5,
    hue=15,
    blur=1.5,
    noise=10,
    jpeg=80,
    erasing=0.3,
)
PRESETS = {"none": NONE, "light": LIGHT, "camera": _CAMERA, "heavy": _HEAVY}


def digest(augmentation: Augmentation) -> str:
    """A short key of all that changes a single photo, for caches.

    Returns:
        16 hexadecimal digits: equal for equal views, whatever mixup and cutmix are. A strength
        that is off does not count, so that a new augmentation invalidates no old key.
    """
    strengths = {
        name: float(getattr(augmentation, name))
        for name in sorted(augmentation.__struct_fields__)
        if name not in BATCH_STRENGTHS and getattr(augmentation, name)
    }
    return hashlib.sha256(msgspec.json.encode((VERSION, strengths))).hexdigest()[:16]
