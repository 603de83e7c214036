"""Published latencies: what the estimates are fitted to, with the source of each."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgetl.estimation.boards import BOARDS, Board
from edgetl.estimation.costs import Costs, Precision, read_costs

_FILE = Path(__file__).parent / "published.toml"
EngineName = Literal["xnnpack", "ncnn"]
Milliseconds = Annotated[float, msgspec.Meta(gt=0)]


class Series(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one source says of one board, engine, number of threads and precision.

    Attributes:
        source: Repository at commit and path, or a page.
        engine: Whose kernels: XNNPACK's, which LiteRT runs, or ncnn's.
        board: A name of `BOARDS`.
        threads: How many it ran on.
        precision: Of weights and maps.
        ms: Latency by network.
        clock_ghz: Of the cores at the time, if not the board's own.
        threads_stated: False if the source leaves threads to the engine's default.
        unused: Why the fit leaves it out, or nothing.
    """

    source: Annotated[str, msgspec.Meta(min_length=1)]
    engine: EngineName
    board: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=4)]
    precision: Precision
    ms: dict[str, Milliseconds]
    clock_ghz: float | None = None
    threads_stated: bool = True
    unused: str = ""


class Point(msgspec.Struct, frozen=True):
    """One figure."""

    network: str
    ms: float
    series: Series

    @property
    def board(self) -> Board:
        """The board at the clock that it had."""
        board = BOARDS[self.series.board]
        return msgspec.structs.replace(board, clock_ghz=self.series.clock_ghz or board.clock_ghz)

    @property
    def costs(self) -> Costs | None:
        """Of its network, or None if nobody counted them."""
        return read_costs().published.get(self.network)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    series: list[Series]


@cache
def read_points() -> tuple[Point, ...]:
    """All figures, in the file's order."""
    return tuple(_points())


def used_points() -> list[Point]:
    """Those that the fit takes."""
    return [point for point in read_points() if not point.series.unused]


def _points() -> Iterator[Point]:
    for series in msgspec.toml.decode(_FILE.read_bytes(), type=_File).series:
        for network, ms in series.ms.items():
            yield Point(network, ms, series)
