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
from edgetl.demo import MARKER, VariantResult, VideoResult, choose_options, explain_video
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.image.preprocessing import Preprocessing

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"


@pytest.mark.parametrize("size", [(160, 160), (320, 240)])
def test_round_parts_are_round_in_photos_and_video(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found, so that nothing is downloaded; what is in it does not matter here.
    (tmp_path / "mobilenet_v2_0.35_224_notop.weights.h5").write_bytes(b"")
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(tmp_path))
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    radius = min(size) // 3
    cv2.circle(frame, (size[0] // 2, size[1] // 2), radius, (255, 255, 255), -1)
    seen = Preprocessing(64, 64, fit=choose_options().fit).apply(frame)[:, :, 0] > 127
    across, down = np.ptp(np.nonzero(seen), axis=1) + 1
    assert abs(across - down) <= 1
    assert abs(across / 64 - 2 * radius / min(size)) < 0.03


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
