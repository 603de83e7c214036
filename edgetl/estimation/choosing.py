"""The network for a board: the most accurate one that is fast enough there."""

import math

import msgspec

from edgetl.estimation.boards import BOARDS
from edgetl.estimation.estimate import Estimate, Latency, estimate_latencies
from edgetl.networks.backbones import find_backbone
from edgetl_runtime.errors import OptionsError

BUDGET_MS = 40.0
"""25 frames a second."""
# (backbone, input px), the most accurate last: `benchmarks/backbones.py`, docs/networks.md. What
# was slower than another and no more accurate is left out, such as larger inputs.
LADDER = (
    ("mobilenet_v1_0.25", 224),
    ("mobilenet_v2_0.35", 224),
    ("mobilenet_v2_1.0", 224),
    ("efficientnet_lite0", 224),
)


class Choice(msgspec.Struct, frozen=True):
    """A network for a board.

    Attributes:
        board: Name of the board, as its maker has it.
        budget_ms: The inference time that was allowed.
        backbone: The network.
        size_px: Side of its input.
        latency: Estimate of the int8 file's inference time on all four cores.
    """

    board: str
    budget_ms: float
    backbone: str
    size_px: int
    latency: Latency


def choose_network(board: str, budget_ms: float = BUDGET_MS) -> Choice:
    """The most accurate network whose int8 file is expected to keep within a budget.

        choice = choose_network("pi4", 30)
        edgetl.train("photos", out="run", backbone=choice.backbone, size=choice.size_px)

    The latency is an estimate, see `Latency`: measure on the board before you rely on it.

    Args:
        board: A name of `BOARDS`.
        budget_ms: Largest inference time of a frame, in milliseconds, without preprocessing.

    Raises:
        OptionsError: If the board is unknown, or no network is that fast on it.
    """
    if not (math.isfinite(budget_ms) and budget_ms > 0):
        raise OptionsError(
            f"the budget must be a number of milliseconds above 0, not {budget_ms:g}"
        )
    if board not in BOARDS:
        raise OptionsError(f"unknown board {board!r}; expected one of {', '.join(BOARDS)}")
    estimates = [_estimate(name, size_px, board) for name, size_px in LADDER]
    fitting = [one for one in estimates if one.int8.ms <= budget_ms]
    if not fitting:
        least = min(estimates, key=lambda one: one.int8.ms)
        raise OptionsError(
            f"no network is expected to take {budget_ms:g} ms or less on {BOARDS[board].name}; "
            f"the fastest, {least.backbone} at {least.size_px} px, takes about "
            f"{math.ceil(10 * least.int8.ms) / 10:.1f} ms: allow more, or choose a backbone and a "
            "size yourself (edgetl backbones --board)"
        )
    best = fitting[-1]
    return Choice(BOARDS[board].name, budget_ms, best.backbone, best.size_px, best.int8)


def _estimate(backbone: str, size_px: int, board: str) -> Estimate:
    (found,) = estimate_latencies([find_backbone(backbone)], board, sizes_px=[size_px])
    return found
