"""Latencies of boards that are estimated: costs, published figures, the fit and the command."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from edgetl.commands.backbones import BOARD_NAMES, LEAST_MS, PUBLISHED_PX, PUBLISHED_THREADS
from edgetl.estimation.boards import BOARDS
from edgetl.estimation.costs import PRECISIONS, find_costs, read_costs
from edgetl.estimation.counting import count_costs
from edgetl.estimation.errors import range_factors, summarize_errors
from edgetl.estimation.estimate import Estimate, estimate_latencies
from edgetl.estimation.fit import (
    describe_point,
    fit,
    fit_all,
    left_out_ratios,
    predict_ms,
)
from edgetl.estimation.published import read_points, used_points
from edgetl.networks.backbones import BACKBONES, build
from tests.edgetl.command import edgetl

ROOT = Path(__file__).resolve().parents[2]


def estimates(board: str, *sizes_px: int, threads: int = 4) -> dict[tuple[str, int], Estimate]:
    rows = estimate_latencies(BACKBONES.values(), board, sizes_px=sizes_px, threads=threads)
    return {(row.backbone, row.size_px): row for row in rows}


# One with squeeze-and-excite, one with normalizations of its own, one plain.
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "densenet121", "lenet"])
def test_costs_are_those_of_the_built_network(name: str) -> None:
    backbone = BACKBONES[name]
    assert count_costs(build(backbone, backbone.size_px)) == find_costs(name, backbone.size_px)


# Padded, unpadded, and of an odd own size.
@pytest.mark.parametrize(
    ("name", "size_px"),
    [("mobilenet_v2_0.35", 160), ("inception_v3", 192), ("efficientnet_b2", 160)],
)
def test_costs_between_the_counted_sizes_are_near_those_of_the_built_network(
    name: str, size_px: int
) -> None:
    assert size_px not in {row.size_px for row in read_costs().backbones[name]}
    built, found = count_costs(build(BACKBONES[name], size_px)), find_costs(name, size_px)
    assert found.macs == pytest.approx(built.macs, rel=0.08)
    assert found.depthwise_macs == pytest.approx(built.depthwise_macs, rel=0.08)
    assert found.traffic("int8") == pytest.approx(built.traffic("int8"), rel=0.08)
    assert (found.weights, found.layers) == (built.weights, built.layers)


def test_counting_a_depthwise_pair_agrees_with_a_count_by_hand() -> None:
    import keras

    inputs = keras.Input((8, 8, 4))
    maps = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(inputs)
    maps = keras.layers.ReLU()(keras.layers.BatchNormalization()(maps))
    costs = count_costs(keras.Model(inputs, keras.layers.Conv2D(6, 1, activation="silu")(maps)))
    assert costs.depthwise_macs == 8 * 8 * 4 * 9
    assert costs.convolution_macs == 8 * 8 * 4 * 6
    assert costs.weights == 9 * 4 + 4 * 6 + 6
    # Two layers read and write; then silu does so twice with the map of 6 channels.
    assert costs.values == 64 * ((4 + 4) + (4 + 6) + 2 * (6 + 6))
    assert costs.layers == 4
    assert costs.traffic("float32") == 4 * costs.traffic("int8") == 4 * (costs.values + 66)


def test_table_has_every_backbone_with_the_multiply_adds_of_its_row() -> None:
    assert read_costs().backbones.keys() == BACKBONES.keys()
    for name, row in BACKBONES.items():
        counted = find_costs(name, row.size_px).macs / 1e6
        assert counted == pytest.approx(row.multiply_adds_m, abs=0.06)


def test_every_figure_has_a_source_and_a_use_or_a_reason() -> None:
    for point in read_points():
        assert any(mark in point.series.source for mark in ("@", ".com/", ".co/")), point
        assert point.series.board in BOARDS
        assert point.series.unused or point.costs is not None, point
    keys = [
        (one.network, one.series.board, one.series.engine, one.series.threads, one.series.precision)
        for one in used_points()
    ]
    assert len(set(keys)) == len(keys)


def test_every_board_and_both_precisions_have_figures_of_their_own() -> None:
    used = {(point.series.board, point.series.precision) for point in used_points()}
    assert used == {(board, precision) for board in BOARDS for precision in PRECISIONS}


def test_command_offers_the_boards_that_there_are() -> None:
    assert tuple(BOARDS) == BOARD_NAMES


def test_fit_finds_the_coefficients_that_made_the_figures() -> None:
    from msgspec.structs import replace

    made = replace(fit_all(), convolution=2.0, depthwise=6.0, traffic=0.4, ncnn=1.5, threads=0.7)
    points = used_points()
    ms = predict_ms(made, [describe_point(point) for point in points])
    found = fit([replace(point, ms=float(one)) for point, one in zip(points, ms, strict=True)])
    for name in made.__struct_fields__:
        assert getattr(found, name) == pytest.approx(getattr(made, name), rel=1e-3)


@pytest.mark.parametrize("kind", ["board", "network"])
def test_left_out_figures_have_no_part_in_their_prediction(kind: str) -> None:
    from msgspec.structs import replace

    def group(point) -> str:
        return point.series.board if kind == "board" else point.network

    points = used_points()
    chosen = group(points[0])
    lied = [replace(one, ms=one.ms * 9) if group(one) == chosen else one for one in points]
    coefficients = fit([one for one in lied if group(one) != chosen])
    for point, ratio in zip(points, left_out_ratios(kind), strict=True):
        if group(point) == chosen:
            (expected,) = predict_ms(coefficients, [describe_point(point)])
            assert point.ms / ratio == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["board", "network"])
def test_errors_are_those_of_the_left_out_figures(kind: str) -> None:
    factors = [max(ratio, 1 / ratio) - 1 for ratio in left_out_ratios(kind)]
    errors = summarize_errors(kind)
    assert errors.points == len(used_points()) == len(factors)
    assert errors.median == pytest.approx(median(factors))
    assert errors.worst == pytest.approx(max(factors))
    assert errors.median < errors.p90 < errors.worst
    parts = [summarize_errors(kind, precision=one) for one in PRECISIONS]
    assert sum(part.points for part in parts) == errors.points
    assert max(part.worst for part in parts) == errors.worst


@pytest.mark.parametrize("precision", PRECISIONS)
def test_range_holds_four_of_five_figures_of_left_out_boards(precision: str) -> None:
    low, high = range_factors(precision)
    assert low < 1 < high
    ratios = left_out_ratios("board")
    inside = [
        low <= ratio <= high
        for point, ratio in zip(used_points(), ratios, strict=True)
        if point.series.precision == precision
    ]
    assert 0.7 <= np.mean(inside) <= 0.9


@pytest.mark.parametrize("board", BOARDS)
def test_larger_inputs_and_fewer_threads_are_slower(board: str) -> None:
    sizes = (96, 128, 160, 192, 224, 300, 448, 640)
    rows, alone = estimates(board, *sizes), estimates(board, 224, threads=1)
    for name in BACKBONES:
        for precision in PRECISIONS:
            ms = [getattr(rows[name, size], precision).ms for size in sizes]
            assert ms == sorted(ms)
            assert 0.1 < ms[0] < ms[-1]
            assert getattr(alone[name, 224], precision).ms > getattr(rows[name, 224], precision).ms


def test_a_faster_board_is_faster_and_int8_faster_than_float32() -> None:
    rows = [estimates(board) for board in ("pi5", "pi4", "pi3", "zero2w")]
    for key in rows[0]:
        for precision in PRECISIONS:
            ms = [getattr(row[key], precision).ms for row in rows]
            assert ms == sorted(ms)
        for row in rows:
            latency = row[key].int8
            assert latency.low_ms < latency.ms < latency.high_ms < row[key].float32.high_ms
            assert latency.ms < row[key].float32.ms


def test_a_size_that_a_network_cannot_take_has_no_row() -> None:
    assert ("inception_v3", 64) not in estimates("pi4", 64)
    assert ("lenet", 64) in estimates("pi4", 64)


def test_command_prints_estimates_with_range_errors_and_the_next_step() -> None:
    done = edgetl("backbones", "--board", "pi4", "--size", 160, "--size", 224)
    assert done.returncode == 0
    row = estimates("pi4", 160)["mobilenet_v2_0.35", 160]
    (line,) = (
        one for one in done.stdout.splitlines() if one.split()[:2] == ["mobilenet_v2_0.35", "160"]
    )
    assert f" {row.int8.ms:.1f} ({row.int8.low_ms:.1f}-{row.int8.high_ms:.1f}) " in line
    assert line.split()[-1] == "well"
    text = " ".join(done.stdout.split())
    errors = summarize_errors("board")
    assert f"Estimates, not measurements: fitted to {len(used_points())} published" in text
    assert f"off by {errors.median:.0%} (median), {errors.worst:.0%} (worst)" in text
    assert "Raspberry Pi 4 Model B (4 x Cortex-A72, 1.8 GHz), LiteRT, 4 threads" in text
    assert "All of them are of 224 px; other sizes are less certain." in text
    assert done.stdout.splitlines()[-1].startswith("next: edgetl-run bench --all BUNDLE")


def test_caption_says_what_the_figures_do_not_cover() -> None:
    sizes = {point.costs.size_px for point in used_points()}
    threads = {one.series.threads for one in used_points() if one.series.engine == "xnnpack"}
    assert (sizes, threads) == ({PUBLISHED_PX}, {PUBLISHED_THREADS})
    plain = edgetl("backbones", "--board", "pi3", "--size", 224).stdout
    assert "less certain" not in plain
    fewer = edgetl("backbones", "--board", "pi3", "--size", 224, "--threads", 2).stdout
    assert "LiteRT, 2 threads" in fewer
    assert "of 4 threads; fewer rest on ncnn's, and are less certain." in " ".join(fewer.split())


def test_command_marks_networks_that_int8_breaks() -> None:
    done = edgetl("backbones", "--board", "zero2w")
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1].islower()}
    assert lines["efficientnet_b0"].split()[-1] == "badly"


def test_command_promises_nothing_below_the_published_figures() -> None:
    assert min(point.ms for point in used_points()) > LEAST_MS
    done = edgetl("backbones", "--board", "pi5")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("lenet"))
    assert line.split("32", 1)[1].split() == ["under", "1", "under", "1", "well"]


def test_json_says_that_it_is_an_estimate_and_how_far_off() -> None:
    done = edgetl("backbones", "--board", "pi5", "--threads", 1, "--size", 224, "--json")
    record = json.loads(done.stdout)
    assert record["estimate"] is True
    assert (record["board"]["key"], record["threads"]) == ("pi5", 1)
    assert record["published"]["used"] == len(used_points())
    assert set(record["published"]["sources"]) == {one.series.source for one in used_points()}
    for kind in ("board", "network"):
        recomputed = summarize_errors(kind, precision="int8")
        assert record["errors"][f"leave_one_{kind}_out"]["int8"] == {
            name: pytest.approx(getattr(recomputed, name)) for name in recomputed.__struct_fields__
        }
    expected = estimates("pi5", 224, threads=1)
    assert len(record["estimates"]) == len(expected) == len(BACKBONES)
    for row in record["estimates"]:
        assert row["int8"]["ms"] == pytest.approx(expected[row["backbone"], 224].int8.ms)
        assert {"ms", "low_ms", "high_ms"} == row["float32"].keys()


def test_an_unknown_board_and_a_size_without_a_board_are_usage_errors() -> None:
    unknown = edgetl("backbones", "--board", "pi6")
    assert unknown.returncode == 2
    assert all(name in unknown.stderr for name in BOARDS)
    boardless = edgetl("backbones", "--size", 96)
    assert boardless.returncode == 2
    assert "--board" in boardless.stderr
    assert edgetl("backbones", "--board", "pi4", "--size", 8).returncode == 2


def test_estimating_needs_no_tensorflow() -> None:
    code = (
        "import sys; from edgetl.cli import cli; "
        "cli(['backbones', '--board', 'pi3', '--json'], standalone_mode=False); "
        "sys.exit(bool({'tensorflow', 'keras', 'cv2'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_benchmark_prints_each_figure_with_its_predictions_and_each_reason() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "estimator.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    record = json.loads(subprocess.run([*script, "--json"], capture_output=True).stdout)
    ratios = left_out_ratios("board")
    assert len(record["points"]) == len(used_points())
    for row, point, ratio in zip(record["points"], used_points(), ratios, strict=True):
        assert row["published_ms"] == point.ms
        assert row["without_board_ms"] == pytest.approx(point.ms / ratio)
    unused = [point for point in read_points() if point.series.unused]
    assert [row["reason"] for row in record["unused"]] == [one.series.unused for one in unused]
    assert all(one.series.unused in printed for one in unused)
    errors = summarize_errors("board")
    assert f"median {errors.median:.0%}, p90 {errors.p90:.0%}, worst {errors.worst:.0%}" in printed
