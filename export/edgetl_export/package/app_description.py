"""What somebody who writes an app must know about a model file, as one JSON object.

`edgetl inspect BUNDLE --app-json` prints it. Everything in it is in the bundle, too; here the
rules are in words, so that they can be followed in any language, and golden frames show whether
they were.
"""

from typing import Final, Literal

import msgspec
import numpy as np

from edgetl_runtime.bundle.golden_frames import LEAST_SCORE
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.tensors import picture_size
from edgetl_runtime.image.preprocessing import Fit
from edgetl_runtime.prediction import calibrate

FORMAT_VERSION: Final = 1
_GOLDEN: Final = 3
_FITS: Final[dict[Fit, str]] = {
    "stretch": (
        "The whole frame is resized to the input's width W and height H, each axis by itself."
    ),
    "crop": (
        "Of a frame of width w and height h, the centred part is resized that is kw = min(w, "
        "round(h * W / H)) wide and kh = min(h, round(w * H / W)) high, both at least 1; it "
        "begins at column floor((w - kw) / 2) and row floor((h - kh) / 2). W and H are the "
        "input's width and height; round is to the nearest integer, from the middle to the even "
        "one."
    ),
    "pad": (
        "If the longer side of a frame of width w and height h is above 8 * max(W, H), the frame"
        " is first resized to max(1, round(w * f)) by max(1, round(h * f)) with f = 8 * max(W, "
        "H) / max(w, h), which are w and h from then on. Then max(0, round(h * W / H) - w) "
        "columns and max(0, round(w * H / W) - h) rows of grey (128, 128, 128) are added, half "
        "of them, rounded down, on the left and on top, the rest on the right and below; the "
        "whole is resized. W and H are the input's width and height; round is to the nearest "
        "integer, from the middle to the even one."
    ),
}
_RESIZE: Final = (
    "Let scale(m) take an axis of n pixels to m: output i is at x = (i + 0.5) * s - 0.5 with s = 1 "
    "/ (m / n), all in double precision. With j = floor(x) and q = 256 * (x - j) rounded to the "
    "nearest integer, from the middle to the even one, it is (256 - q) * p[j] + q * p[j + 1]; for "
    "j < 0 it is 256 * p[0], for j >= n - 1 it is 256 * p[n - 1]. Rows are scaled first, then the "
    "columns of those integers, and the result is (value + 32768) >> 16, once for both axes. To "
    "resize a frame of w by h to W by H, let a = min(w, W) and b = min(h, H). If a < w or b < h, "
    "shrink: while min(floor(w / a), floor(h / b)) >= 8, scale to floor(w / 2) by floor(h / 2); "
    "while floor(w / a) >= 16, scale to floor(w / 2) by h; while floor(h / b) >= 16, scale to w by "
    "floor(h / 2); then scale to 2a by 2b, and that to a by b, where each 2x2 pixels become their "
    "rounded mean. At last, if a < W or b < H, scale to W by H. w and h are always those of the "
    "frame so far; each channel is scaled by itself. This is cv2.resize with INTER_LINEAR_EXACT."
)
_TEMPERATURE: Final = (
    "shown[k] = r[k] / sum(r) with r[k] = (scores[k] / max(scores)) ** (1 / temperature), where "
    "scores is the model's output; a temperature of 1 changes nothing"
)
_REJECTION: Final = (
    "The label is that of the highest shown score, the first one on a tie; there is no label "
    "(unknown) if that score is below reject_threshold."
)
_TOLERANCE: Final = (
    "Over all golden frames of this object, with logits[k] = ln(max(scores[k], "
    f"{LEAST_SCORE:g})) less their mean over the labels of a frame, the root mean square of found "
    "less expected logits, divided by the root mean square of the expected logits or 0.1, "
    "whichever is larger. A model that is computed rightly stays below the value."
)
_MEANING: Final = "probabilities, one for each label in their order, before temperature"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class AppInput(_Strict, frozen=True):
    """The model's input: one image.

    Attributes:
        name: The tensor's name in the model.
        height: In pixels.
        width: In pixels.
        dtype: `uint8` takes the levels as they are, `float32` as floats of the same value: nothing
            is divided or subtracted.
        layout: Axis order; batch is 1.
        color: Order of the channels.
        range: Lowest and highest level.
    """

    name: str
    height: int
    width: int
    dtype: Literal["uint8", "float32"]
    layout: Literal["nhwc", "nchw"]
    color: Literal["rgb"]
    range: tuple[int, int]


class AppOutput(_Strict, frozen=True):
    """The model's output.

    Attributes:
        name: The tensor's name in the model.
        dtype: Of its numbers.
        shape: Batch 1 first.
        meaning: In words.
    """

    name: str
    dtype: Literal["uint8", "float32"]
    shape: tuple[int, ...]
    meaning: str


class AppRule(_Strict, frozen=True):
    """A rule: its name in the bundle, and how it is followed, in words."""

    name: str
    description: str


class AppValue(_Strict, frozen=True):
    """A number, and how it is used, in words."""

    value: float
    description: str


class AppGolden(_Strict, frozen=True):
    """A test vector.

    Attributes:
        file: The image's path in the bundle.
        sha256: Of the file.
        input_sha256: Of the model's input that the rules make of it: uint8 (height, width, 3) RGB,
            row by row. It is the same on every machine.
        scores: Expected output of the model, before temperature.
        label: Expected label after temperature and threshold; null: unknown.
    """

    file: str
    sha256: str
    input_sha256: str
    scores: tuple[float, ...]
    label: str | None


class AppDescription(_Strict, frozen=True):
    """The object.

    Attributes:
        format_version: Of this object, 1.
        bundle_sha256: SHA-256 of bundle.json.
        variant: Name of the variant.
        engine: `litert` or `onnx`.
        file: The model's path in the bundle.
        sha256: Of that file.
        bytes: Its size.
        labels: In the order of the output.
        input: The input tensor.
        output: The output tensor.
        fit: What is done with a frame of another aspect ratio, before resizing.
        resize: The resize rule.
        temperature: Of the scores.
        reject_threshold: Lowest score, after temperature, that gives a label; 0..1. The threshold
            in the file's own metadata is another one: it is for scores before temperature.
        golden: Up to three test vectors.
        golden_tolerance: How far the scores of golden frames may be away.
    """

    format_version: int
    bundle_sha256: str
    variant: str
    engine: str
    file: str
    sha256: str
    bytes: int
    labels: tuple[str, ...]
    input: AppInput
    output: AppOutput
    fit: AppRule
    resize: AppRule
    temperature: AppValue
    reject_threshold: AppValue
    golden: tuple[AppGolden, ...]
    golden_tolerance: AppValue


def describe_for_apps(bundle: Bundle, name: str | None = None) -> AppDescription:
    """Describes one model file of a bundle for people who write an app.

    Args:
        bundle: An opened bundle.
        name: Of the variant (default: the first LiteRT one).

    Raises:
        BundleError: If there is no such variant.
    """
    variant = bundle.variant(name) if name else bundle.variant(engine="litert")
    preprocessing, calibration = bundle.manifest.preprocessing, variant.calibration
    return AppDescription(
        format_version=FORMAT_VERSION,
        bundle_sha256=bundle.sha256,
        variant=variant.name,
        engine=variant.engine,
        file=variant.file,
        sha256=variant.sha256,
        bytes=variant.bytes,
        labels=bundle.manifest.outputs,
        input=_describe_input(variant),
        output=AppOutput(variant.output.name, variant.output.dtype, variant.output.shape, _MEANING),
        fit=AppRule(preprocessing.fit, _FITS[preprocessing.fit]),
        resize=AppRule(preprocessing.resize, _RESIZE),
        temperature=AppValue(calibration.temperature, _TEMPERATURE),
        reject_threshold=AppValue(calibration.reject_threshold, _describe_rejection(bundle)),
        golden=_describe_golden(bundle, variant),
        golden_tolerance=AppValue(variant.golden_tolerance, _TOLERANCE),
    )


def _describe_input(variant: Variant) -> AppInput:
    tensor = variant.input
    size = picture_size(tensor)
    # The bundle's reader has made sure that it is an image.
    assert size is not None
    assert tensor.layout != "nc"
    return AppInput(tensor.name, *size, tensor.dtype, tensor.layout, "rgb", (0, 255))


def _describe_rejection(bundle: Bundle) -> str:
    name = bundle.manifest.unknown_label
    if not name:
        return _REJECTION
    return f"{_REJECTION} Nor is there a label if it is that of the last output, {name!r}."


def _describe_golden(bundle: Bundle, variant: Variant) -> tuple[AppGolden, ...]:
    pairs = zip(bundle.manifest.golden[:_GOLDEN], variant.golden_scores, strict=False)
    return tuple(
        AppGolden(
            frame.file, frame.sha256, frame.input_sha256, scores, _name(bundle, variant, scores)
        )
        for frame, scores in pairs
    )


def _name(bundle: Bundle, variant: Variant, scores: tuple[float, ...]) -> str | None:
    calibration = variant.calibration
    shown = calibrate(np.array(scores, np.float32), calibration.temperature)
    best = int(shown.argmax())
    known = best != bundle.manifest.unknown and shown[best] >= calibration.reject_threshold
    return bundle.labels[best] if known else None
