"""Golden frames: images with known scores that travel in the bundle.

Two things are checked on each machine. Preprocessing must make the very input that export made of
each image, bit for bit: its SHA-256 is in the bundle. Fed with it, a model file must put out
nearly the scores that it put out at export. Engines do not agree bit for bit on different
processors, above all in int8, so a file is judged by all its golden frames and labels together, in
logits (see `measure_deviation`): rounding moves them a little, whatever is wrong moves them much.

What was measured with MobileNetV2 0.35 on TrashNet, in this unit, over random fives of photos,
against x86 with AVX2. int8: LiteRT on an emulated Raspberry Pi 4 0, LiteRT's own kernels instead of
XNNPACK's up to 0.09, ONNX Runtime on the Raspberry Pi 4 up to 0.13. Damage: sums that saturate in
16 bits 0.35 in the middle, one layer's weights shuffled from 0.48 up and half of them
set to 0 from 0.24 up, another head from 1.2 up. `benchmarks/golden.py` prints this table.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.manifest import Precision, Variant
from edgetl_runtime.bundle.opening import open_variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import EngineError, FrameError, MissingEngineError
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

TOLERANCE: Final[dict[Precision, float]] = {
    "int8": 0.2,
    "mixed": 0.2,
    "int16x8": 0.2,
    "dynamic": 0.2,
    "float16": 0.05,
    "float32": 0.01,
}
LEAST_SCORE: Final = 1e-3
# Logits of scores that hardly differ: a step of 8 bits would be more than all of them.
_LEAST_SPREAD: Final = 0.1


class Verification(msgspec.Struct, frozen=True):
    """What was checked, what did not hold, and what could not be checked here.

    Attributes:
        ok: True if nothing failed and at least one variant was replayed.
        checked: Names of files, golden frames and variants.
        failures: One sentence each.
        skipped: Variants whose engine is not installed.
    """

    ok: bool
    checked: list[str]
    failures: list[str]
    skipped: list[str]


def verify(bundle: Bundle) -> Verification:
    """Prepares the golden frames and replays them on every variant whose engine is installed.

    The files' hashes were verified when the bundle was opened.
    """
    checked = [stored.file for stored in bundle.files]
    skipped: list[str] = []
    if not bundle.manifest.golden:
        none = "the bundle has no golden frames; export it again with: edgetl export"
        return Verification(False, checked, [none], skipped)
    try:
        inputs = prepare(bundle)
    except FrameError as error:
        return Verification(False, checked, [str(error)], skipped)
    failures = compare_inputs(bundle, inputs)
    for variant in bundle.manifest.variants:
        try:
            failures += compare_scores(variant, replay(bundle, variant, inputs))
        except MissingEngineError as error:
            skipped.append(f"{variant.name}: {error}")
            continue
        except EngineError as error:
            failures.append(f"{variant.name}: {error}")
            continue
        checked.append(f"{variant.name} on {len(inputs)} golden frames")
    if len(skipped) == len(bundle.manifest.variants):
        failures.append("no engine for any variant is installed")
    return Verification(not failures, checked, failures, skipped)


def prepare(bundle: Bundle) -> list[Frame]:
    """Makes the model's input from each golden frame, uint8 (height, width, 3) RGB.

    Raises:
        BundleError: If a file changed since the bundle was opened.
        FrameError: If one is not an image; the message names it.
    """
    apply = bundle.manifest.preprocessing.apply
    return [apply(_decode(stored.file, bundle.read(stored))) for stored in bundle.manifest.golden]


def _decode(file: str, data: bytes) -> Frame:
    try:
        return decode_picture(data)
    except FrameError as error:
        # What to do about it is for the owner of a photo.
        why = str(error).partition(";")[0]
        raise FrameError(
            f"{file}: {why}; its hash is correct, so it was exported like this; do not use this "
            "bundle"
        ) from error


def digest(pixels: Frame) -> str:
    """SHA-256 of a model's input, as `GoldenFrame.input_sha256` has it."""
    return sha256(pixels.tobytes()).hexdigest()


def replay(
    bundle: Bundle, variant: Variant, inputs: Sequence[Frame], *, threads: int = 1
) -> Scores:
    """Runs one variant on the prepared golden frames.

    Args:
        bundle: The bundle.
        variant: One of its variants.
        inputs: What `prepare` returned.
        threads: For the engine.

    Returns:
        float32 (golden frames, outputs), before temperature.

    Raises:
        EngineError: If the engine is missing, or cannot load or run the model.
    """
    engine = open_variant(bundle, variant, threads)
    return np.stack([engine.run(pixels) for pixels in inputs])


def compare_inputs(bundle: Bundle, inputs: Sequence[Frame]) -> list[str]:
    """Sentences on inputs that differ from those that export made; empty if all are equal."""
    return [
        f"{stored.file}: this machine preprocesses it differently from export; install OpenCV from "
        "PyPI (opencv-python-headless), or do not use this model on this machine"
        for stored, pixels in zip(bundle.manifest.golden, inputs, strict=True)
        if digest(pixels) != stored.input_sha256
    ]


def compare_scores(variant: Variant, scores: Scores) -> list[str]:
    """One sentence if the scores of the golden frames are too far from the expected; else empty.

    Args:
        variant: The variant.
        scores: float32 (golden frames, outputs), as `replay` returns them.
    """
    deviation = measure_deviation(np.asarray(variant.golden_scores, np.float32), scores)
    # Not >: a NaN must fail.
    if deviation <= variant.golden_tolerance:
        return []
    return [
        f"{variant.name}: its scores on the golden frames differ by {deviation:.3f} from those at "
        f"export, allowed is {variant.golden_tolerance:g}; do not use this model on this machine"
    ]


def measure_deviation(expected: Scores, found: Scores) -> float:
    """How far scores are apart: 0 for equal ones, about 1.4 for scores of unrelated images.

    The root mean square, over all frames and labels, of the difference of the logits, divided by
    that of the expected logits, which counts as 0.1 where it is less: there every label has
    nearly the same score. A frame's logits are the logarithms of its scores less their mean;
    scores below 0.001 count as 0.001.

    Args:
        expected: Probabilities, float32 (frames, outputs).
        found: Probabilities, float32 (frames, outputs).

    Returns:
        0 or more; NaN if a score is.
    """
    wanted = to_logits(expected)
    difference = to_logits(found) - wanted
    spread = max(float(np.mean(wanted**2)), _LEAST_SPREAD**2)
    return float(np.sqrt(np.mean(difference**2) / spread))


def to_logits(scores: Scores) -> NDArray[np.float64]:
    """Logarithms of scores less their mean over the labels; scores below 0.001 count as 0.001.

    Args:
        scores: Probabilities, float32 (frames, outputs).

    Returns:
        float64 (frames, classes).
    """
    logs = np.log(np.maximum(scores.astype(np.float64), LEAST_SCORE))
    centered: NDArray[np.float64] = logs - logs.mean(axis=1, keepdims=True)
    return centered
