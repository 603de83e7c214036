"""How strongly photos are changed for training: one number an augmentation, 0 is off."""

import hashlib
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta

# Part of every cache key: raise it when the same strengths would give another view.
VERSION = "views-2"
# These mix the photos of a batch (edgetl.augmentation.mixing); all others change one photo.
BATCH_STRENGTHS = ("mixup", "cutmix")


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Strengths; each field's annotation says its limit, its unit and what it does.

    What is "drawn up to" a strength is drawn evenly from 0 to it, what is drawn "+-" evenly from
    its negative to it. Sizes refer to a photo whose shorter side is 224 px, and are scaled to
    the photo at hand, so that large and small photos look alike to the model. Sources: erasing
    from Zhong et al. 2020 (arXiv 1708.04896), randaugment from Cubuk et al. 2020 (1909.13719),
    mixup from Zhang et al. 2018 (1710.09412), cutmix from Yun et al. 2019 (1905.04899).

    Raises:
        ValueError: If a strength is no number or out of range; it names the field and the range.
    """

    rotation: Annotated[float, Meta(le=180, description="degrees, +-")] = 0.0
    shift: Annotated[float, Meta(le=0.5, description="share of width and height, +-")] = 0.0
    zoom: Annotated[
        float, Meta(le=1, description="share: the scale is drawn from 1/(1 + zoom) to 1 + zoom")
    ] = 0.0
    shear: Annotated[float, Meta(le=45, description="degrees, along and across, +-")] = 0.0
    horizontal_flip: Annotated[float, Meta(le=1, description="probability")] = 0.0
    vertical_flip: Annotated[float, Meta(le=1, description="probability")] = 0.0
    brightness: Annotated[float, Meta(le=128, description="levels of 255 added, +-")] = 0.0
    contrast: Annotated[
        float, Meta(le=1, description="share by which levels move from or to mid-grey, +-")
    ] = 0.0
    exposure: Annotated[
        float, Meta(le=3, description="stops (1: the sensor gets half or twice the light), +-")
    ] = 0.0
    white_balance: Annotated[
        float, Meta(le=1, description="share by which red gains and blue loses, +-")
    ] = 0.0
    saturation: Annotated[float, Meta(le=1, description="share; 1 reaches grey, +-")] = 0.0
    hue: Annotated[float, Meta(le=180, description="degrees on the colour circle, +-")] = 0.0
    blur: Annotated[float, Meta(le=8, description="sigma, px at 224 px, drawn up to it")] = 0.0
    noise: Annotated[
        float, Meta(le=64, description="standard deviation, levels of 255, drawn up to it")
    ] = 0.0
    jpeg: Annotated[
        float, Meta(le=100, description="how far below 100 the JPEG quality is drawn")
    ] = 0.0
    erasing: Annotated[
        float, Meta(le=1, description="probability that a box of 2..33 % of the area is erased")
    ] = 0.0
    randaugment: Annotated[
        float, Meta(le=10, description="magnitude of two random operations; 10 is their maximum")
    ] = 0.0
    mixup: Annotated[
        float, Meta(le=10, description="alpha of the Beta distribution that photos are mixed by")
    ] = 0.0
    cutmix: Annotated[
        float, Meta(le=10, description="alpha of the Beta distribution that boxes are cut by")
    ] = 0.0

    def __post_init__(self) -> None:
        """Refuses strengths out of range."""
        for name in self.__struct_fields__:
            check_strength(name, getattr(self, name))


def check_strength(name: str, value: object) -> None:
    """Refuses a strength out of range.

    Raises:
        ValueError: With the range and its unit.
    """
    limit, meaning = LIMITS[name], MEANINGS[name]
    if not isinstance(value, int | float) or not 0 <= value <= limit:
        found = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"{name} must be 0..{limit:g} ({meaning}), got {found}")


def _read_annotations() -> dict[str, Meta]:
    hints = get_type_hints(Augmentation, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in Augmentation.__struct_fields__}


LIMITS = {name: float(meta.le or 0) for name, meta in _read_annotations().items()}
MEANINGS = {name: meta.description or "" for name, meta in _read_annotations().items()}

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
