"""The boards that latencies are estimated for: what is published about their processors."""

from typing import Literal

import msgspec

from edgetl.estimation.costs import Precision

CoreName = Literal["Cortex-A53", "Cortex-A72", "Cortex-A76"]


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of processor core.

    Attributes:
        name: As Arm has it.
        pace: Work per clock in ordinary code: single-core 7-zip MIPS per MHz, the median over the
            Raspberry Pis with this core in sbc-bench (ThomasKaiser/sbc-bench@53f79517, Results.md).
            In-order and out-of-order cores differ by it more than by the width of their SIMD unit.
        lanes: Multiply-adds per clock, nominally: of one 128-bit SIMD operation (A53, A72), or of
            two (A76). With int8 one takes 8 numbers, the dot product of the A76 16. The fit
            absorbs what all cores fall short of.
        depthwise_lanes: The same without the dot product, which depthwise convolutions do not use.
    """

    name: CoreName
    pace: float
    lanes: dict[Precision, int]
    depthwise_lanes: dict[Precision, int]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A board with four equal cores.

    Attributes:
        name: As its maker has it.
        core: Of its processor.
        clock_ghz: Highest clock as sold.
        memory_gb_s: Speed of memcpy, in gigabytes (1e9) copied a second: median of the board's rows
            in sbc-bench (see `Core.pace`).
    """

    name: str
    core: Core
    clock_ghz: float
    memory_gb_s: float


_A53 = Core(
    name="Cortex-A53",
    pace=0.76,
    lanes={"float32": 4, "int8": 8},
    depthwise_lanes={"float32": 4, "int8": 8},
)
_A72 = Core(
    name="Cortex-A72",
    pace=1.02,
    lanes={"float32": 4, "int8": 8},
    depthwise_lanes={"float32": 4, "int8": 8},
)
_A76 = Core(
    name="Cortex-A76",
    pace=1.32,
    lanes={"float32": 8, "int8": 32},
    depthwise_lanes={"float32": 8, "int8": 16},
)

BOARDS: dict[str, Board] = {
    "pi5": Board(name="Raspberry Pi 5", core=_A76, clock_ghz=2.4, memory_gb_s=5.59),
    "pi4": Board(name="Raspberry Pi 4 Model B", core=_A72, clock_ghz=1.8, memory_gb_s=2.4),
    "pi3": Board(name="Raspberry Pi 3 Model B+", core=_A53, clock_ghz=1.4, memory_gb_s=1.13),
    "zero2w": Board(name="Raspberry Pi Zero 2 W", core=_A53, clock_ghz=1.0, memory_gb_s=1.3),
}
