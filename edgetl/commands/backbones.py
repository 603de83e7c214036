"""`edgetl backbones`: the backbones, and how fast they may be on a board."""

from typing import TYPE_CHECKING

import click

from edgetl.console import print_json, print_table

if TYPE_CHECKING:
    from edgetl.estimation.estimate import Estimate, Latency

# Those of `BOARDS`, whose import `--help` does not wait for: a test compares them.
BOARD_NAMES = ("pi5", "pi4", "pi3", "zero2w")
PUBLISHED_PX = 224
PUBLISHED_THREADS = 4
LEAST_MS = 1


@click.command()
@click.option("--board", type=click.Choice(BOARD_NAMES), help="Board to estimate latencies on.")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(32, 1024),
    multiple=True,
    metavar="PX",
    help="Input size to estimate for, a square; may be repeated.  [each backbone's own]",
)
@click.option("--threads", type=click.IntRange(1, 4), help="Threads to estimate for.  [4]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def backbones(
    board: str | None, sizes: tuple[int, ...], threads: int | None, *, as_json: bool
) -> None:
    """List the backbones, or estimate their latency on a board before it is bought.

    Example: edgetl backbones --board pi4 --size 160 --size 224
    """
    if board is not None:
        _estimate(board, sizes, threads or PUBLISHED_THREADS, as_json=as_json)
    elif sizes or threads:
        raise click.UsageError("--size and --threads need --board: edgetl backbones --board pi4")
    else:
        _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from edgetl.networks.backbones import BACKBONES

    if as_json:
        print_json({"backbones": list(BACKBONES.values())})
        return
    rows = [
        (
            row.name,
            str(row.size_px),
            f"{row.parameters / 1e6:.2f}",
            f"{row.multiply_adds_m:.0f}",
            str(len(row.cuts)),
            row.quantizes,
            row.licence,
        )
        for row in BACKBONES.values()
    ]
    header = (
        "backbone",
        "input px",
        "parameters M",
        "multiply-adds M",
        "blocks",
        "quantizes",
        "licence",
    )
    print_table(header, rows)


def _estimate(board: str, sizes: tuple[int, ...], threads: int, *, as_json: bool) -> None:
    from edgetl.estimation.estimate import estimate_latencies
    from edgetl.networks.backbones import BACKBONES

    rows = list(estimate_latencies(BACKBONES.values(), board, sizes_px=sizes, threads=threads))
    if as_json:
        print_json(_record(board, threads, rows))
        return
    header = ("backbone", "input px", "float32 ms (range)", "int8 ms (range)", "quantizes")
    print_table(
        header,
        (
            (row.backbone, str(row.size_px), _show(row.float32), _show(row.int8), row.quantizes)
            for row in rows
        ),
    )
    for sentence in _caption(board, threads, rows):
        click.echo(sentence)
    click.echo("next: edgetl-run bench --all BUNDLE  (on the board itself)")


def _caption(board: str, threads: int, rows: "list[Estimate]") -> list[str]:
    from edgetl.estimation.boards import BOARDS
    from edgetl.estimation.errors import summarize_errors
    from edgetl.estimation.published import used_points
    from edgetl_runtime.text.wording import count_noun

    one = BOARDS[board]
    boards, networks = summarize_errors("board"), summarize_errors("network")
    lines = [
        f"{one.name} (4 x {one.core.name}, {one.clock_ghz} GHz), LiteRT, "
        f"{count_noun(threads, 'thread')}, one image, without preprocessing.",
        f"Estimates, not measurements: fitted to {len(used_points())} published figures. "
        f"Left-out boards were off by {boards.median:.0%} (median), {boards.worst:.0%} (worst); "
        f"left-out networks by {networks.median:.0%}, {networks.worst:.0%}. "
        "The range holds four of five figures of left-out boards.",
    ]
    if any(row.size_px != PUBLISHED_PX for row in rows):
        lines.append(f"All of them are of {PUBLISHED_PX} px; other sizes are less certain.")
    if threads < PUBLISHED_THREADS:
        lines.append(
            f"Those of LiteRT's kernels are of {PUBLISHED_THREADS} threads; fewer rest on ncnn's, "
            "and are less certain."
        )
    return lines


def _record(board: str, threads: int, rows: "list[Estimate]") -> dict[str, object]:
    from edgetl.estimation.boards import BOARDS
    from edgetl.estimation.errors import record_errors
    from edgetl.estimation.published import read_points, used_points

    used = used_points()
    return {
        "estimate": True,
        "board": {"key": board, **_facts(BOARDS[board])},
        "engine": "litert",
        "threads": threads,
        "published": {
            "used": len(used),
            "unused": len(read_points()) - len(used),
            "size_px": PUBLISHED_PX,
            "sources": sorted({point.series.source for point in used}),
        },
        "errors": record_errors(),
        "estimates": rows,
    }


def _facts(board: object) -> dict[str, object]:
    import msgspec

    return dict(msgspec.to_builtins(board))


def _show(latency: "Latency") -> str:
    # No published figure is that small: what a call costs besides the network is not in the fit.
    if latency.high_ms < LEAST_MS:
        return f"under {LEAST_MS}"
    return f"{_round(latency.ms)} ({_round(latency.low_ms)}-{_round(latency.high_ms)})"


def _round(ms: float) -> str:
    """To two digits: more would promise what the fit cannot keep."""
    return f"{ms:.1f}" if ms < 9.95 else f"{float(f'{ms:.2g}'):.0f}"
