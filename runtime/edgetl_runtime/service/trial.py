"""Tries a bundle in a process of its own: what kills it there does not kill the service.

The child loads the model's bytes with the engine that the service uses and replays the golden
frames: `python -m edgetl_runtime.service.trial` with a `TrialOrder` on standard input and a
`Trial` on standard output.
"""

import contextlib
import ctypes
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

from edgetl_runtime.errors import BundleError, EdgetlError, MissingEngineError
from edgetl_runtime.system.interpreters import run_code

TrialVerdict = Literal["good", "bad", "unable"]
TRIAL_TIMEOUT_S: Final = 120.0
_CHILD: Final = "from edgetl_runtime.service.trial import main; sys.exit(main())"
_LISTING: Final = (
    "import msgspec; from edgetl_runtime.service.trial import list_variants; "
    "sys.stdout.buffer.write(msgspec.json.encode(list_variants(*sys.argv[1:])))"
)
# Whoever ends the whole service, as systemd does, ends the child with it.
_ENDED: Final = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
# How native code ends that gets no memory.
_STARVED: Final = (-signal.SIGABRT, -signal.SIGSEGV)
_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.05
_ERROR_TAIL: Final = 300
_FAULT_CODE: Final = 1
_NO_LIMIT: Final = resource.RLIM_INFINITY
_NO_MEMORY: Final = "it needs more memory than is available"
_ADJUST_OOM: Final = Path("/proc/self/oom_score_adj")


class TrialOrder(msgspec.Struct, frozen=True):
    """The bundle to try, and how.

    Attributes:
        bundle: Path of the bundle.
        engine: See `ModelSettings`.
        variant: See `ModelSettings`.
        threads: See `ModelSettings`.
        memory_bytes: What the machine has: most address space that the trial may take, or None.
    """

    bundle: str
    engine: str | None = None
    variant: str | None = None
    threads: int | None = None
    memory_bytes: int | None = None


class Trial(msgspec.Struct, frozen=True):
    """How a trial ended.

    Attributes:
        verdict: `good`; `bad`: this bundle does not work on this machine; `unable`: it could not
            be tried, which says nothing about the bundle.
        reason: One sentence; empty if it is good.
    """

    verdict: TrialVerdict
    reason: str = ""


def try_bundle(
    order: TrialOrder,
    *,
    timeout_s: float = TRIAL_TIMEOUT_S,
    stop: threading.Event | None = None,
) -> Trial:
    """Runs a trial in a child process.

    Args:
        order: What to try.
        timeout_s: After so long the child is killed, and the bundle is bad.
        stop: When set, the child is killed, and the bundle was not tried.
    """
    try:
        child = subprocess.Popen(
            run_code(_CHILD),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C in a terminal is for the service, which then ends the trial itself.
            start_new_session=True,
        )
    except OSError as error:
        return Trial("unable", f"cannot start a process for the trial ({error.strerror})")
    with child:
        output: list[bytes] = [b"", b""]
        talking = threading.Thread(target=_talk, args=(child, order, output), daemon=True)
        talking.start()
        try:
            stopped = _wait(child, talking, time.monotonic() + timeout_s, stop or threading.Event())
        except BaseException:
            child.kill()
            raise
        finally:
            talking.join()
    if stopped == "stopped":
        return Trial("unable", "the trial was stopped")
    if stopped == "late":
        return Trial("bad", f"the trial took longer than {timeout_s:g} s")
    return _judge(order, child.returncode, *output)


def try_variants(order: TrialOrder) -> dict[str, Trial]:
    """Tries every variant of a bundle, each in a child process of its own.

    Returns:
        By name, and first the one that the order means; that one alone, under the bundle's path,
        if the bundle cannot be opened.
    """
    listing = subprocess.run(
        [*run_code(_LISTING), order.bundle, order.variant or "", order.engine or ""],
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        return {order.bundle: try_bundle(order)}
    names = msgspec.json.decode(listing.stdout, type=list[str])
    return {
        name: try_bundle(msgspec.structs.replace(order, variant=name, engine=None))
        for name in names
    }


def list_variants(bundle: str, variant: str, engine: str) -> list[str]:
    """Names of a bundle's variants, and first the one that settings mean.

    Raises:
        BundleError: If it is damaged or lacks that one.
    """
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.engines.engine import EngineName

    opened = Bundle.open(bundle)
    wanted = msgspec.convert(engine or None, EngineName | None)
    chosen = opened.variant(variant or None, engine=wanted).name
    names = (one.name for one in opened.manifest.variants)
    return [chosen, *(name for name in names if name != chosen)]


def run_trial(order: TrialOrder) -> Trial:
    """Tries a bundle in this process, which may not live through it."""
    from edgetl_runtime.bundle.golden_frames import compare_inputs, compare_scores, prepare, replay
    from edgetl_runtime.bundle.reader import Bundle

    try:
        bundle = Bundle.open(order.bundle)
        variant = bundle.variant(order.variant, engine=order.engine)
        inputs = prepare(bundle)
        scores = replay(bundle, variant, inputs, threads=order.threads or 1)
    except (MissingEngineError, BundleError) as error:
        # Its files were verified before: the disk failed, or the settings name another variant.
        return Trial("unable", str(error))
    except EdgetlError as error:
        return Trial("bad", str(error))
    except MemoryError:
        return Trial("unable" if _is_confined(order) else "bad", _NO_MEMORY)
    differences = [*compare_inputs(bundle, inputs), *compare_scores(variant, scores)]
    return Trial("bad", differences[0]) if differences else Trial("good")


def main() -> int:
    """The child."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=TrialOrder)
    _make_expendable()
    _limit_memory(order)
    trial = run_trial(order)
    sys.stdout.buffer.write(msgspec.json.encode(trial))
    return 0


def _limit_memory(order: TrialOrder) -> None:
    """Sets the soft limit only; where somebody set a lower one, that one stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if order.memory_bytes is None or _is_confined(order):
        return
    # macOS knows the limit but does not take every value.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (order.memory_bytes, hard))


def _is_confined(order: TrialOrder) -> bool:
    """Whether somebody lets this process have less memory than the machine has."""
    limits = [one for one in resource.getrlimit(resource.RLIMIT_AS) if one != _NO_LIMIT]
    return bool(limits) and (order.memory_bytes is None or min(limits) < order.memory_bytes)


def _make_expendable() -> None:
    """No core dump on a small disk; dies with the service, and before it when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        _ADJUST_OOM.write_text("1000")
    except OSError:
        # Not Linux, or /proc is hidden: then the kernel chooses by size.
        return


def _talk(child: "subprocess.Popen[bytes]", order: TrialOrder, output: list[bytes]) -> None:
    # After Ctrl-C nobody waits for the answer, and the pipes may be closed meanwhile.
    with contextlib.suppress(OSError, ValueError):
        output[:] = child.communicate(msgspec.json.encode(order))


def _wait(
    child: "subprocess.Popen[bytes]",
    talking: threading.Thread,
    deadline_s: float,
    stop: threading.Event,
) -> Literal["ended", "late", "stopped"]:
    while talking.is_alive():
        if stop.is_set():
            child.kill()
            return "stopped"
        if time.monotonic() > deadline_s:
            child.kill()
            return "late"
        talking.join(_POLL_S)
    return "ended"


def _judge(order: TrialOrder, code: int, output: bytes, errors: bytes) -> Trial:
    if code == 0:
        try:
            return msgspec.json.decode(output, type=Trial)
        except msgspec.MsgspecError:
            return Trial("unable", f"the trial answered {output[:80]!r}")
    if code in _ENDED:
        return Trial("unable", "the trial was stopped")
    tail = errors.decode(errors="replace").strip()[-_ERROR_TAIL:]
    said = f"; it said: {' '.join(tail.split())}" if tail else ""
    if code < 0:
        starved = code in _STARVED and _is_confined(order)
        verdict: TrialVerdict = "unable" if starved else "bad"
        return Trial(verdict, f"the engine died in the trial ({_name_signal(-code)}){said}")
    if code == _FAULT_CODE and b"Traceback (most recent call last)" in errors:
        # A mistake of edgetl's or of the installation's.
        return Trial("unable", f"the trial failed{said}")
    return Trial("bad", f"the trial failed (exit {code}){said}")


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
