"""Work on a variant in a process of its own, which may crash, hang or run out of memory."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import msgspec

from edgetl_runtime.benchmarking.cold_start import load_and_answer
from edgetl_runtime.benchmarking.record import BoardBenchmark, Drift, follow_drift
from edgetl_runtime.benchmarking.single_stream import Rules, time_frames
from edgetl_runtime.bundle.golden_frames import compare_inputs, compare_scores, prepare, replay
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.system.interpreters import end_with_parent, run_code, run_tied
from edgetl_runtime.text.printable import make_printable

_CODE: Final = "from edgetl_runtime.benchmarking.isolation import obey; obey(sys.argv[1])"
_LONGEST: Final = 200
_NO_MEMORY: Final = "not enough memory"


class MeasureOrder(msgspec.Struct, frozen=True, tag="measure"):
    """What shall be timed.

    Attributes:
        bundle: Path of the bundle.
        variant: Name of the variant.
        threads: Threads of the engine.
        frame_px: Width and height of the frame.
        rules: How much is measured.
        step_s: The shortest time between two pairs of `Pass.pairs`.
        began_s: When the process was started, on the clock of `time.monotonic`.
    """

    bundle: str
    variant: str
    threads: int
    frame_px: tuple[int, int]
    rules: Rules
    step_s: float
    began_s: float = 0.0


class ReplayOrder(msgspec.Struct, frozen=True, tag="replay"):
    """Whose golden frames shall be replayed.

    Attributes:
        bundle: Path of the bundle.
        variant: Name of the variant.
        began_s: When the process was started, on the clock of `time.monotonic`.
    """

    bundle: str
    variant: str
    began_s: float = 0.0


class Pass(msgspec.Struct, frozen=True, tag="pass"):
    """What one process measured.

    Attributes:
        report: With every sample.
        pairs: As `BoardBenchmark.drift`, by shorter steps.
    """

    report: BoardBenchmark
    pairs: Drift


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """What replaying the golden frames showed.

    Attributes:
        failures: What differs from export, one sentence each; empty if nothing.
    """

    failures: tuple[str, ...]


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why the work cannot be done here, in the process's own words: it would fail again."""

    reason: str


class Crash(msgspec.Struct, frozen=True, tag="crash"):
    """How the process ended without a word, or that it did not end."""

    reason: str


Order: TypeAlias = MeasureOrder | ReplayOrder
Told: TypeAlias = Pass | Replay | Refusal


def obey_apart(order: Order, timeout_s: float) -> Pass | Replay | Refusal | Crash:
    """Has a new process do it, which ends with this one.

    Args:
        order: What to do.
        timeout_s: When it counts as hanging, and is ended.
    """
    began = msgspec.structs.replace(order, began_s=time.monotonic())
    command = [*run_code(_CODE), msgspec.json.encode(began).decode()]
    try:
        done = run_tied(command, timeout_s)
    except subprocess.TimeoutExpired:
        return Crash(f"no result in {timeout_s:.0f} s")
    try:
        told: Told = msgspec.json.decode(done.stdout, type=Told)
    except msgspec.MsgspecError:
        return Crash(_tell_end(done.returncode, done.stderr))
    return told


def _tell_end(code: int, errors: bytes) -> str:
    """How a process ended, as a sentence has it."""
    if code >= 0:
        said = errors.decode(errors="replace").strip().rpartition("\n")[2]
        return f"ended with exit code {code}" + (f": {_shorten(said)}" if said else "")
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    # The kernel ends whom it finds too large by this signal.
    hint = "; is there too little memory?" if -code == signal.SIGKILL else ""
    return f"ended by signal {-code}{name}{hint}"


def _shorten(text: str) -> str:
    return make_printable(text[:_LONGEST])


def obey(order: str) -> None:
    """What the started process does: the work, and one line of JSON about it."""
    end_with_parent()
    # A library may print to standard output whatever it likes: that is not the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    told = _work(msgspec.json.decode(order, type=Order))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(told))


def _work(order: Order) -> Told:
    cv2.setNumThreads(1)
    try:
        return _measure(order) if isinstance(order, MeasureOrder) else _replay(order)
    except EdgetlError as error:
        return Refusal(_shorten(str(error)))
    except MemoryError:
        return Refusal(_NO_MEMORY)


def _measure(order: MeasureOrder) -> Pass:
    classifier, frame, cold = load_and_answer(
        order.bundle, order.variant, order.threads, order.frame_px, order.began_s
    )
    report, moments_s = time_frames(classifier, frame, cold, order.rules)
    return Pass(report, follow_drift(moments_s, report.total_samples_ms or (), order.step_s))


def _replay(order: ReplayOrder) -> Replay:
    bundle = Bundle.open(Path(order.bundle))
    if not bundle.manifest.golden:
        return Replay(("the bundle has no golden frames; export it again with: edgetl export",))
    variant = bundle.variant(order.variant)
    inputs = prepare(bundle)
    failures = compare_inputs(bundle, inputs)
    return Replay((*failures, *compare_scores(variant, replay(bundle, variant, inputs))))
