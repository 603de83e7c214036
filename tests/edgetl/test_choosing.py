"""The choice of a network for a board: within the budget, and never a slower, worse one."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgetl.estimation.boards import BOARDS
from edgetl.estimation.choosing import BUDGET_MS, LADDER, choose_network
from edgetl.estimation.estimate import estimate_latencies
from edgetl.networks.backbones import find_backbone
from edgetl.run import Run
from edgetl_runtime.errors import OptionsError


def estimate_ms(backbone: str, size_px: int, board: str) -> float:
    (found,) = estimate_latencies([find_backbone(backbone)], board, sizes_px=[size_px])
    return found.int8.ms


@pytest.mark.parametrize("board", BOARDS)
def test_what_is_more_accurate_is_slower_on_every_board(board: str) -> None:
    times = [estimate_ms(*one, board) for one in LADDER]
    assert all(faster < slower for faster, slower in pairwise(times))


@pytest.mark.parametrize("board", BOARDS)
def test_the_best_within_the_budget_is_chosen(board: str) -> None:
    for place, (backbone, size_px) in enumerate(LADDER):
        ms = estimate_ms(backbone, size_px, board)
        choice = choose_network(board, ms)
        assert (choice.backbone, choice.size_px) == (backbone, size_px)
        assert choice.latency.ms == ms
        if place:
            less = choose_network(board, ms * 0.999)
            assert (less.backbone, less.size_px) == LADDER[place - 1]


def test_all_of_them_quantize_well() -> None:
    assert {find_backbone(name).quantizes for name, _ in LADDER} == {"well"}


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_has_a_network_for_25_frames_a_second(board: str) -> None:
    assert choose_network(board).latency.ms <= BUDGET_MS


def test_where_nothing_is_fast_enough_the_fastest_is_named() -> None:
    with pytest.raises(OptionsError, match=r"the fastest, mobilenet_v1_0\.25 at 224 px"):
        choose_network("zero2w", 1)
    # The time that is named suffices.
    least = estimate_ms(*LADDER[0], "zero2w")
    with pytest.raises(OptionsError) as refused:
        choose_network("zero2w", least * 0.999)
    named = float(str(refused.value).partition("takes about ")[2].split()[0])
    assert choose_network("zero2w", named).backbone == LADDER[0][0]
    for budget in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionsError, match="above 0"):
            choose_network("zero2w", budget)
    with pytest.raises(OptionsError, match="expected one of pi5, pi4"):
        choose_network("pi6")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--budget-ms", "30"], "--budget-ms means nothing without --for BOARD"),
        (["--for", "pi4", "--backbone", "mobilenet_v2_1.0"], "--backbone contradicts --for"),
        (["--for", "pi4", "--size", "160"], "--size contradicts --for"),
        (["--for", "zero2w", "--budget-ms", "1"], "no network is expected to take 1 ms or less"),
    ],
)
def test_what_contradicts_is_refused(edgetl: Any, flags: list[str], said: str) -> None:
    code, _, error = edgetl("train", "photos", "--out", "run", *flags)
    assert code == 2
    assert said in error


def test_a_file_that_names_a_network_is_refused(edgetl: Any, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('backbone = "mobilenet_v2_1.0"\n')
    flags = ("--for", "pi4", "--config", config)
    code, _, error = edgetl("train", "photos", "--out", "run", *flags)
    assert code == 2
    assert f"{config} sets backbone, which --for chooses" in error


def test_the_choice_is_said_and_is_what_is_trained(edgetl: Any, tmp_path: Path) -> None:
    # Not one photo: it is refused after the choice, by the network that was chosen.
    code, _, error = edgetl("train", tmp_path, "--out", tmp_path / "run", "--for", "zero2w")
    assert code != 0
    assert "Raspberry Pi Zero 2 W: mobilenet_v2_0.35 at 224 px, estimated 13 ms" in error


@pytest.mark.real_data
def test_training_follows_the_choice(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edgetl: Any
) -> None:
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(real_data / "weights"))
    for photo in [path for kind in ("can", "bottle") for path in few(real_data / "rubbish" / kind)]:
        place = tmp_path / "photos" / photo.parent.name / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(photo)
    flags = ("--for", "zero2w", "--budget-ms", "13", "--finetune", "none", "--json")
    code, out, error = edgetl("train", tmp_path / "photos", "--out", tmp_path / "run", *flags)
    assert code == 0, error
    assert json.loads(out)["backbone"] == "mobilenet_v2_0.35"
    assert Run.open(tmp_path / "run").spec.preprocessing.width_px == 224


def few(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:12]
