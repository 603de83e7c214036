"""How far the latencies that `edgetl backbones --board` estimates are off.

    .venv/bin/python benchmarks/estimator.py [--json]

Nothing is timed here. The published figures (edgetl/estimation/published.toml) are predicted three
times: by the fit to all of them, by a fit without any figure of their board, and by one without any
figure of their network. An error is what the larger of prediction and figure exceeds the other by.
Figures that the fit leaves out are listed with the reason, and with what it would have said where
the network's costs are known.
"""

import argparse
import json
from collections.abc import Iterable

import msgspec

from edgetl.estimation.errors import range_factors, summarize_errors
from edgetl.estimation.fit import (
    LeftOut,
    describe_point,
    fit_all,
    left_out_ratios,
    predict_ms,
)
from edgetl.estimation.published import Point, read_points, used_points

KINDS: tuple[LeftOut, ...] = ("board", "network")
GROUPS = {
    "all": {},
    "float32": {"precision": "float32"},
    "int8": {"precision": "int8"},
    "float32, XNNPACK": {"precision": "float32", "engine": "xnnpack"},
    "int8, XNNPACK": {"precision": "int8", "engine": "xnnpack"},
}


class Judged(msgspec.Struct, frozen=True):
    """A published figure beside its predictions, in milliseconds."""

    board: str
    engine: str
    threads: int
    precision: str
    network: str
    published_ms: float
    fitted_ms: float
    without_board_ms: float
    without_network_ms: float


class Unused(msgspec.Struct, frozen=True):
    """A published figure that the fit leaves out; `fitted_ms` is None without known costs."""

    board: str
    engine: str
    threads: int
    precision: str
    network: str
    published_ms: float
    fitted_ms: float | None
    reason: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    record = {
        "coefficients": fit_all(),
        "range_factors": {name: range_factors(name) for name in ("float32", "int8")},
        "errors": {
            f"leave-one-{kind}-out": {
                group: summarize_errors(kind, **chosen) for group, chosen in GROUPS.items()
            }
            for kind in KINDS
        },
        "points": list(judge()),
        "unused": list(list_unused()),
    }
    if parser.parse_args().json:
        print(json.dumps(msgspec.to_builtins(record)))
    else:
        show(record)


def judge() -> Iterable[Judged]:
    points = used_points()
    fitted = predict_ms(fit_all(), [describe_point(point) for point in points])
    boards, networks = (left_out_ratios(kind) for kind in KINDS)
    for n, point in enumerate(points):
        without = (point.ms / float(boards[n]), point.ms / float(networks[n]))
        yield Judged(*describe(point), float(fitted[n]), *without)


def list_unused() -> Iterable[Unused]:
    for point in read_points():
        if point.series.unused:
            known = point.costs is not None
            ms = float(predict_ms(fit_all(), [describe_point(point)])[0]) if known else None
            yield Unused(*describe(point), ms, point.series.unused)


def describe(point: Point) -> tuple[str, str, int, str, str, float]:
    one = point.series
    board = one.board + (f" at {one.clock_ghz} GHz" if one.clock_ghz else "")
    return board, one.engine, one.threads, one.precision, point.network, point.ms


def show(record: dict) -> None:
    print("coefficients:", record["coefficients"])
    for name, (low, high) in record["range_factors"].items():
        print(f"range of a {name} estimate: {low:.2f} to {high:.2f} times it")
    print()
    for kind, groups in record["errors"].items():
        for group, one in groups.items():
            print(
                f"{kind:22} {group:17} {one.points:3} figures: median {one.median:.0%}, "
                f"p90 {one.p90:.0%}, worst {one.worst:.0%}"
            )
    print(f"\n{'':70}published   fitted  without its board, network  (ms)")
    for one in record["points"]:
        print(
            f"{name_row(one)}{one.published_ms:9.1f}{one.fitted_ms:9.1f}"
            f"{one.without_board_ms:9.1f}{one.without_network_ms:9.1f}"
        )
    print("\nnot in the fit:")
    for one in record["unused"]:
        fitted = f"{one.fitted_ms:9.1f}" if one.fitted_ms else f"{'-':>9}"
        print(f"{name_row(one)}{one.published_ms:9.1f}{fitted}  {one.reason}")


def name_row(one: Judged | Unused) -> str:
    threads = f"{one.threads} thread{'s' * (one.threads > 1)}"
    return f"{one.board:16} {one.engine:8} {threads:10} {one.precision:8} {one.network:22}"


if __name__ == "__main__":
    main()
