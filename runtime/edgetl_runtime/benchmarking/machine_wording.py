"""What benchmarks say of the machine that they ran on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

# A command imports this before it knows whether it measures.
if TYPE_CHECKING:
    from edgetl_runtime.system.board import Board
    from edgetl_runtime.system.monitoring import Observation


def describe_machine(board: "Board") -> Iterator[str]:
    """The machine, and what of it is not ours."""
    yield f"{board.board or board.cpu}, {board.cores} cores, {board.os}, Python {board.python}"
    if board.limits:
        yield f"this process may not use all of it: {', '.join(board.limits)}"


def describe_observation(seen: "Observation") -> Iterator[str]:
    """Governor, clock, temperature and throttling, in a line."""
    facts = []
    if seen.before.governor:
        facts.append(f"governor {seen.before.governor}")
    if seen.lowest_clock_mhz is not None:
        facts.append(f"{_tell_span(seen.lowest_clock_mhz, seen.highest_clock_mhz)} MHz")
    if seen.highest_c is not None and seen.before.temperature_c is not None:
        facts.append(f"{seen.before.temperature_c:.0f} °C before, {seen.highest_c:.0f} °C at most")
    throttled = {None: "throttling not known", False: "not throttled", True: "THROTTLED"}
    yield ", ".join([*facts, throttled[seen.throttled]])


def _tell_span(low: float, high: float | None) -> str:
    ends = dict.fromkeys(f"{end:.0f}" for end in (low, low if high is None else high))
    return " to ".join(ends)


def warn_of_machine(board: "Board", seen: "Observation | None") -> Iterator[str]:
    """What of the machine spoils every figure; without an observation nothing was measured."""
    if board.emulated:
        yield "the processor is emulated: the times mean nothing"
    if seen is not None and seen.throttled:
        why = ", ".join(seen.throttling)
        yield f"the board was throttled ({why}); do not compare these figures"


def tell_mib(value: float | None) -> str:
    """Such as `75 MiB`."""
    return "unknown" if value is None else f"{value:.0f} MiB"
