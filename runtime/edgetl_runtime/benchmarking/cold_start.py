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


def measure_cold_start(classifier: "Classifier", frame_px: tuple[int, int]) -> ColdStart:
    """Starts a process that loads the same model with as many threads, and answers one frame.

    Raises:
        EngineError: If the process ends without an answer.
    """
    order = _Order(
        str(classifier.bundle.path), classifier.variant.name, classifier.engine.threads, frame_px
    )
    command = [*run_code(_CODE), msgspec.json.encode(order).decode()]
    start = time.monotonic()
    try:
        done = run_tied(command, _TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"a new process gave no answer in {_TIMEOUT_S:.0f} s") from error
    try:
        found = msgspec.json.decode(done.stdout, type=_Told)
    except msgspec.MsgspecError as error:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(
            f"a new process ended with exit code {done.returncode} before it answered"
            + (f": {said[:_LONGEST]}" if said else "")
        ) from error
    return ColdStart(
        start_ms=(found.answered_s - start) * 1e3,
        load_ms=found.load_ms,
        first_ms=found.first_ms,
        rest_rss_mib=found.rest_rss_mib,
    )


class _Told(msgspec.Struct, frozen=True):
    # On the clock of time.monotonic, which processes share.
    answered_s: float
    load_ms: float
    first_ms: float
    rest_rss_mib: float | None


def answer_once(order: str) -> None:
    """What the started process does: loads, answers once, prints how long that took."""
    import cv2

    from edgetl_runtime.benchmarking.frame import make_frame
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.system.memory import rss_mib

    end_with_parent()
    cv2.setNumThreads(1)
    what = msgspec.json.decode(order, type=_Order)
    start = time.monotonic()
    bundle = Bundle.open(Path(what.bundle))
    classifier = Classifier.open(bundle, variant=what.variant, threads=what.threads)
    loaded = time.monotonic()
    frame = make_frame(bundle, what.frame_px)
    framed = time.monotonic()
    classifier(frame)
    answered = time.monotonic()
    told = _Told(
        # Making the frame is no part of an application's start.
        answered - (framed - loaded),
        (loaded - start) * 1e3,
        (answered - framed) * 1e3,
        rss_mib(),
    )
    sys.stdout.buffer.write(msgspec.json.encode(told))
