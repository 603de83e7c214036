"""Augmentations as text: `light`, `rotation=15,blur=1`, `light,hue=10,rotation=0`."""

import difflib

import msgspec

from edgetl.augmentation.strengths import LIMITS, MEANINGS, PRESETS, Augmentation, check_strength
from edgetl_runtime.errors import OptionsError

_NAMES = Augmentation.__struct_fields__


def parse_augmentation(text: str) -> Augmentation:
    """Reads an augmentation.

    Args:
        text: A preset, or strengths `name=number`, or both with the preset first; separated by
            commas.

    Raises:
        OptionsError: If a name is unknown (it suggests the nearest), a strength is not a number,
            out of range or given twice, or a preset does not come first.
    """
    first, *others = [part.strip().lower() for part in text.split(",")]
    if first in PRESETS:
        base, parts = PRESETS[first], others
    else:
        base, parts = Augmentation(), [first, *others]
    strengths: dict[str, float] = {}
    for part in parts:
        name, value = _parse_strength(part)
        if name in strengths:
            raise OptionsError(f"augmentation: {name} is given twice; leave one out")
        strengths[name] = value
    return msgspec.structs.replace(base, **strengths)


def describe(augmentation: Augmentation) -> str:
    """The shortest text that `parse_augmentation` reads back as the same augmentation."""
    texts = (_describe_as(augmentation, preset) for preset in PRESETS)
    return min(texts, key=lambda text: text.count(","))


def _parse_strength(part: str) -> tuple[str, float]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    name = name.replace("-", "_")
    if name in PRESETS and equals:
        raise OptionsError(f"augmentation: {name} is a preset and takes no number, got {part!r}")
    if name in PRESETS:
        raise OptionsError(
            f"augmentation: expected at most one preset, first; found {name!r} later"
        )
    if name not in _NAMES:
        raise OptionsError(_explain_unknown(name))
    if not value:
        raise OptionsError(f"augmentation: {name} needs a strength, such as {name}=0.5")
    try:
        number = float(value)
    except ValueError:
        raise OptionsError(
            f"augmentation: {name} must be a number, 0..{LIMITS[name]:g} ({MEANINGS[name]}), got "
            f"{value!r}"
        ) from None
    try:
        check_strength(name, number)
    except ValueError as error:
        raise OptionsError(f"augmentation: {error}") from error
    return name, number


def _explain_unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*PRESETS, *_NAMES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f"augmentation: unknown name {name!r}; {hint}presets are {', '.join(PRESETS)}, "
        f"strengths (as name=number) {', '.join(_NAMES)}"
    )


def _describe_as(augmentation: Augmentation, preset: str) -> str:
    """The preset, and what differs from it."""
    base = PRESETS[preset]
    changed = [
        f"{name}={_write_number(getattr(augmentation, name))}"
        for name in _NAMES
        if getattr(augmentation, name) != getattr(base, name)
    ]
    if preset == "none" and changed:
        return ",".join(changed)
    return ",".join([preset, *changed])


def _write_number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
