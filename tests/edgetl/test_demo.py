"""The demo: its options suit its video, and its last words are true."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.cli import DEMO_MARKER
from edgetl.console import find_command
from edgetl.demo import MARKER, VariantResult, VideoResult, explain_video, make_plan
from edgetl.networks.packaged_weights import PACKAGED
from edgetl.options import check_options
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.image.preprocessing import Preprocessing

LITE0 = PACKAGED["efficientnet_lite0"]
LITE0_FILE = "efficientnet_lite0_224_notop.weights.h5"
MOBILENET_FILE = "mobilenet_v2_0.35_224_notop.weights.h5"
TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one place that has weights. What is in a file does not matter here."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(folder))
    # As if the package were not installed.
    monkeypatch.setitem(sys.modules, LITE0.module, None)
    return folder


@pytest.mark.parametrize("size", [(160, 160), (320, 240)])
def test_round_parts_are_round_in_photos_and_video(
    size: tuple[int, int], weights_folder: Path
) -> None:
    (weights_folder / LITE0_FILE).touch()
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    radius = min(size) // 3
    cv2.circle(frame, (size[0] // 2, size[1] // 2), radius, (255, 255, 255), -1)
    seen = Preprocessing(64, 64, fit=make_plan().options.fit).apply(frame)[:, :, 0] > 127
    across, down = np.ptp(np.nonzero(seen), axis=1) + 1
    assert abs(across - down) <= 1
    assert abs(across / 64 - 2 * radius / min(size)) < 0.03


def test_imagenet_weights_are_fine_tuned_on_few_photos(weights_folder: Path) -> None:
    (weights_folder / LITE0_FILE).touch()
    plan = make_plan(seed=3)
    assert plan.options.backbone == "efficientnet_lite0"
    assert plan.options.seed == 3
    assert plan.network == "efficientnet_lite0 with ImageNet weights, fine-tuned"
    (weights_folder / LITE0_FILE).unlink()
    assert plan.photos_a_class < make_plan().photos_a_class


def test_weights_of_other_networks_change_nothing(weights_folder: Path) -> None:
    without = make_plan()
    (weights_folder / MOBILENET_FILE).touch()
    assert make_plan() == without
    (weights_folder / LITE0_FILE).touch()
    assert make_plan().options.backbone == "efficientnet_lite0"


def test_without_weights_a_small_network_learns_from_scratch_and_why_is_said(
    weights_folder: Path,
) -> None:
    plan = make_plan()
    assert (plan.options.backbone, plan.options.weights) == ("cnn", "none")
    check_options(plan.options)
    assert plan.network.startswith("a small network (cnn) from scratch, because ImageNet weights")
    assert LITE0.package in plan.network
    assert "--weights" not in plan.network


def test_the_video_s_line_says_what_became_of_every_frame() -> None:
    variant = Bundle.open(TINY).variant("litert-float32")
    result = VariantResult(
        variant=variant,
        held_out_top1=1.0,
        video=VideoResult(frames=200, correct=180, rejected=16),
        report=benchmark(str(TINY), variant=variant.name, rules=make_rules(1, None)),
    )
    threshold = variant.calibration.reject_threshold
    assert explain_video(result) == (
        "litert-float32 on the video: 180 of 200 frames correct, 16 rejected (score below the "
        f"reject threshold, {threshold:.2f}), 4 wrong"
    )


def test_the_next_command_can_be_called_as_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.devnull)
    command = find_command("edgetl-run")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "edgetl-run" in done.stdout


def test_a_command_on_the_path_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert find_command("edgetl-run") == "edgetl-run"


def test_the_command_knows_the_folders_of_demos() -> None:
    assert DEMO_MARKER == MARKER
