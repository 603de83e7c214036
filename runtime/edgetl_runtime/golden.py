"""Golden frames: pictures with known scores that travel in the bundle.

Engines on different processors do not agree bit for bit: one int8 MobileNetV2 gave scores up to
6/255 = 0.024 apart between x86-64 and aarch64, with the same top-1. The tolerances are twice
that for what computes in integers; for float32, where only the order of additions differs, 0.005,
and twice that for float16, which some processors compute in 16 bits and others in 32.
A wrong channel order, resize rule or weight moves scores by tenths.
"""

from typing import Final

import msgspec
import numpy as np

from edgetl_runtime.bundle import Bundle, Variant
from edgetl_runtime.engine import open_engine
from edgetl_runtime.errors import EngineError, FrameError, MissingEngineError
from edgetl_runtime.pictures import decode_picture
from edgetl_runtime.prediction import Scores

TOLERANCE: Final = {
    "int8": 0.048,
    "mixed": 0.048,
    "int16x8": 0.048,
    "dynamic": 0.048,
    "float16": 0.01,
    "float32": 0.005,
}


class Verification(msgspec.Struct, frozen=True):
    """What was checked, what did not hold, and what could not be checked here.

    Attributes:
        ok: True if nothing failed and at least one variant was replayed.
        checked: Names of files and of replays, such as `litert-int8 on golden/0.png`.
        failures: One sentence each.
        skipped: Variants whose engine is not installed.
    """

    ok: bool
    checked: list[str]
    failures: list[str]
    skipped: list[str]


def verify(bundle: Bundle) -> Verification:
    """Replays the golden frames on every variant whose engine is installed.

    The files' hashes were verified when the bundle was opened.
    """
    checked = [stored.file for stored in bundle.files]
    failures: list[str] = []
    skipped: list[str] = []
    for variant in bundle.manifest.variants:
        try:
            found = replay(bundle, variant)
        except MissingEngineError as error:
            skipped.append(f"{variant.name}: {error}")
            continue
        except (EngineError, FrameError) as error:
            failures.append(f"{variant.name}: {error}")
            continue
        for number, scores in enumerate(found):
            checked.append(f"{variant.name} on {bundle.manifest.golden[number].file}")
            failures += compare(bundle, variant, number, scores)
    if len(skipped) == len(bundle.manifest.variants):
        failures.append("no engine for any variant is installed")
    if not bundle.manifest.golden:
        failures.append("the bundle holds no golden frame; export it again with: edgetl export")
    return Verification(not failures, checked, failures, skipped)


def replay(bundle: Bundle, variant: Variant, *, threads: int = 1) -> list[Scores]:
    """Runs one variant on the golden frames, from picture file to scores.

    Returns:
        float32 (classes,) for each golden frame, before temperature.

    Raises:
        EdgetlError: If the engine or a golden frame cannot be loaded.
    """
    tensors = (variant.input, variant.output)
    engine = open_engine(variant.engine, bundle.read(variant), tensors, threads)
    preprocessing = bundle.manifest.preprocessing
    frames = [decode_picture(bundle.read(stored)) for stored in bundle.manifest.golden]
    return [engine.run(preprocessing.apply(frame)) for frame in frames]


def compare(bundle: Bundle, variant: Variant, number: int, scores: Scores) -> list[str]:
    """Sentences on how scores differ from the expected ones; empty if they agree."""
    expected = np.asarray(variant.golden_scores[number], np.float32)
    difference = float(np.abs(scores - expected).max())
    # Not <=: a NaN must fail.
    if not difference <= variant.golden_tolerance:
        file = bundle.manifest.golden[number].file
        return [
            f"{variant.name} on {file}: a score differs by {difference:.3f}, "
            f"allowed {variant.golden_tolerance}; do not trust this model on this machine"
        ]
    return []
