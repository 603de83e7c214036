"""Whether one benchmark is faster than another, and how sure that is."""

from typing import Literal

import msgspec

from edgetl_runtime.benchmarking.record import Benchmark, BoardBenchmark, find_range

Word = Literal["faster", "slower", "the same"]
MUCH_WAITING = 0.05
"""Share of the time that others may have the processor before a figure is doubted."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark against another, by the median from frame to label.

    Attributes:
        word: `faster` or `slower` if the ranges of both (`find_range`) lie apart, else `the same`;
            None where a run is too short to have a range.
        ratio: Median of the other over that of this one: above 1, this one is faster.
        low: The least that `ratio` may be: the other's lower end over this one's upper end; None
            without ranges.
        high: The most, likewise.
        doubts: Why the two should not be compared, one sentence each; empty if they may.
        notes: In what they differ without harm, one sentence each.
    """

    word: Word | None
    ratio: float
    low: float | None
    high: float | None
    doubts: tuple[str, ...]
    notes: tuple[str, ...] = ()


def compare(one: Benchmark, other: Benchmark) -> Comparison:
    """Compares a benchmark with an earlier one, or with that of another machine."""
    mine, theirs = find_range(one.drift), find_range(other.drift)
    ratio = other.total_ms.p50 / max(one.total_ms.p50, 1e-9)
    doubts = (*_doubt(one, "this run"), *_doubt(other, "the other run"), *_find_odds(one, other))
    notes = tuple(_find_harmless(one, other))
    if mine is None or theirs is None:
        return Comparison(word=None, ratio=ratio, low=None, high=None, doubts=doubts, notes=notes)
    low, high = theirs[0] / max(mine[1], 1e-9), theirs[1] / max(mine[0], 1e-9)
    word: Word = "faster" if low > 1 else "slower" if high < 1 else "the same"
    return Comparison(word=word, ratio=ratio, low=low, high=high, doubts=doubts, notes=notes)


def have_same_network(one: Benchmark, other: Benchmark) -> bool:
    """Whether their times may be compared: of one file, or of one network, input and variant.

    How long a network takes depends on its shape, not on its weights. (The head differs with the
    number of classes; it is a small part of the work.)
    """
    if one.model_sha256 == other.model_sha256:
        return True
    return bool(one.network) and (one.network, one.variant) == (other.network, other.variant)


def _doubt(record: Benchmark, name: str) -> list[str]:
    """What is wrong with one of them."""
    found = []
    if isinstance(record, BoardBenchmark):
        if record.throttled:
            found.append(f"{name} was throttled ({', '.join(record.observation.throttling)})")
        if record.board.emulated:
            found.append(f"{name} was on an emulated processor: its times mean nothing")
        if record.waited is not None and record.waited > MUCH_WAITING:
            found.append(f"others had the processor for {record.waited:.0%} of {name}")
        elif not record.steady:
            found.append(f"{name} was not steady when it began")
    if record.slowed:
        found.append(f"{name} slowed down from its first tenth to its last")
    return found


def _find_odds(one: Benchmark, other: Benchmark) -> list[str]:
    """In what they differ, so that the times do not tell which machine is faster."""
    found = []
    if not have_same_network(one, other):
        mine, theirs = _name_model(one), _name_model(other)
        found.append(f"the models differ ({mine} and {theirs})")
    if one.frame_px != other.frame_px:
        sizes = ["x".join(map(str, record.frame_px)) for record in (one, other)]
        found.append(f"the frames differ in size ({sizes[0]} and {sizes[1]})")
    return found


def _name_model(record: Benchmark) -> str:
    return f"{record.variant}, {record.network or 'an unnamed network'}"


def _find_harmless(one: Benchmark, other: Benchmark) -> list[str]:
    found = []
    if one.model_sha256 != other.model_sha256 and have_same_network(one, other):
        found.append("the weights differ, which changes no time: the network is the same")
    for name in ("engine", "threads"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            found.append(f"{name} here {mine}, there {theirs}")
    return found
