"""The first answer of a process that has just been started."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgetl_runtime.errors import EngineError
from edgetl_runtime.system.interpreters import end_with_parent, run_code, run_tied

if TYPE_CHECKING:
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.image.preprocessing import Frame

_CODE = "from edgetl_runtime.benchmarking.cold_start import answer_once; answer_once(sys.argv[1])"
_TIMEOUT_S = 300.0
_LONGEST = 200


class ColdStart(msgspec.Struct, frozen=True):
    """What the first answer of a process takes. Its files are in the page cache.

    Attributes:
        start_ms: From the start of the process to its first prediction; Python and imports are
            most of it.
        load_ms: From imported modules to a loaded model, the engine's import and hash checks
            included.
        first_ms: The first frame after that, from frame to prediction.
        rest_rss_mib: Resident memory after it, MiB; None where the system does not tell.
    """

    start_ms: float
    load_ms: float
    first_ms: float
    rest_rss_mib: float | None


class _Order(msgspec.Struct, frozen=True):
    bundle: str
    variant: str
    threads: int
    frame_px: tuple[int, int]
    began_s: float


def measure_cold_start(classifier: "Classifier", frame_px: tuple[int, int]) -> ColdStart:
    """Starts a process that loads the same model with as many threads, and answers one frame.

    Raises:
        EngineError: If the process ends without an answer.
    """
    order = _Order(
        bundle=str(classifier.bundle.path),
        variant=classifier.variant.name,
        threads=classifier.engine.threads,
        frame_px=frame_px,
        began_s=time.monotonic(),
    )
    command = [*run_code(_CODE), msgspec.json.encode(order).decode()]
    try:
        done = run_tied(command, _TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"a new process gave no answer in {_TIMEOUT_S:.0f} s") from error
    try:
        return msgspec.json.decode(done.stdout, type=ColdStart)
    except msgspec.MsgspecError as error:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(
            f"a new process ended with exit code {done.returncode} before it answered"
            + (f": {said[:_LONGEST]}" if said else "")
        ) from error


def answer_once(order: str) -> None:
    """What the started process does: loads, answers once, prints how long that took."""
    import cv2

    end_with_parent()
    cv2.setNumThreads(1)
    what = msgspec.json.decode(order, type=_Order)
    *_, cold = load_and_answer(what.bundle, what.variant, what.threads, what.frame_px, what.began_s)
    sys.stdout.buffer.write(msgspec.json.encode(cold))


def load_and_answer(
    path: str, variant: str, threads: int, frame_px: tuple[int, int], began_s: float
) -> "tuple[Classifier, Frame, ColdStart]":
    """Loads a model and answers one frame, in a process that was started for it.

    Args:
        path: The bundle.
        variant: Name of the variant.
        threads: Threads of the engine.
        frame_px: Width and height of the frame.
        began_s: When the process was started, on the clock of `time.monotonic`, which processes
            share.

    Returns:
        The classifier, the frame (uint8 (height, width, 3) BGR), and how long it took.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
    """
    from edgetl_runtime.benchmarking.frame import make_frame
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.system.memory import rss_mib

    imported = time.monotonic()
    bundle = Bundle.open(Path(path))
    classifier = Classifier.open(bundle, variant=variant, threads=threads, overlay=False)
    loaded = time.monotonic()
    frame = make_frame(bundle, frame_px)
    framed = time.monotonic()
    classifier(frame)
    answered = time.monotonic()
    cold = ColdStart(
        # An application gets its frame from a camera: making one is not counted.
        start_ms=(answered - (framed - loaded) - began_s) * 1e3,
        load_ms=(loaded - imported) * 1e3,
        first_ms=(answered - framed) * 1e3,
        rest_rss_mib=rss_mib(),
    )
    return classifier, frame, cold
