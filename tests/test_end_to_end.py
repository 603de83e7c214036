"""The main job: photos, training, export, and a device that names what it sees."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgetl.run import Run
from edgetl_runtime.bundle.reader import Bundle
from tests.conftest import BACKBONE

WEIGHTS = "mobilenet_v2_0.35_224_notop.weights.h5"
# The head alone, to be quick: the default also fits blocks on eight views of each photo.
BRIEF = ("--finetune", "none")


def command(name: str, *arguments: object) -> list[Any]:
    """Runs one of our commands with --json; returns the objects that it printed, one a line."""
    module = {"edgetl": "edgetl.cli", "edgetl-run": "edgetl_runtime"}[name]
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def copy_validation(run: Run, target: Path) -> Path:
    for one in run.manifest.select("val"):
        (target / one.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run.manifest.file(one), target / one.path)
    return target


@pytest.fixture(scope="module")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, trained from scratch and exported, by the commands of a user."""
    folder = tmp_path_factory.mktemp("end_to_end")
    more = ("--backbone", "cnn", "--weights", "none", "--size", 64, "--epochs", 6)
    command("edgetl", "train", photos, "--out", folder / "run", *more)
    command("edgetl", "export", folder / "run", "--out", folder / "parts.bundle")
    copy_validation(Run.open(folder / "run"), folder / "validation")
    return folder


def test_the_device_verifies_the_bundle(folder: Path) -> None:
    (record,) = command("edgetl-run", "verify", folder / "parts.bundle")
    assert record["ok"] is True
    assert record["failures"] == []


@pytest.mark.parametrize("variant", ["litert-int8", "onnx-float32"])
def test_the_device_scores_what_export_measured(folder: Path, variant: str) -> None:
    photos = folder / "validation"
    answers = command(
        "edgetl-run", "classify", folder / "parts.bundle", photos, "--variant", variant
    )
    hits = [one["label"] == Path(one["source"]).parent.name for one in answers]
    recorded = Bundle.open(folder / "parts.bundle").variant(variant).metrics
    assert len(hits) == recorded.examples
    assert sum(hits) / len(hits) == pytest.approx(recorded.top1)


def test_the_workstation_scores_what_export_measured(folder: Path) -> None:
    (record,) = command("edgetl", "evaluate", folder / "parts.bundle", folder / "validation")
    recorded = Bundle.open(folder / "parts.bundle").variant().metrics
    assert record["top1"] == pytest.approx(recorded.top1)
    assert record["examples"] == recorded.examples


def test_the_bundle_still_works_after_a_move(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder / "parts.bundle", tmp_path / "elsewhere")
    (record,) = command("edgetl-run", "verify", moved)
    assert record["ok"] is True


@pytest.fixture(scope="module")
def real_run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("trashnet") / "run"
    more = ("--backbone", BACKBONE, "--weights", real_data / "weights" / WEIGHTS, *BRIEF)
    (record,) = command("edgetl", "train", real_data / "trashnet", "--out", out, *more)
    found: dict[str, Any] = record
    return found


@pytest.mark.real_data
def test_real_photos_are_learned(real_run: dict[str, Any]) -> None:
    assert real_run["val_top1"] > 0.75
    assert real_run["cached"] + real_run["computed"] == 1781


@pytest.mark.real_data
def test_every_file_ships_and_a_loss_above_a_point_is_called_unsure(
    real_run: dict[str, Any], tmp_path: Path
) -> None:
    (record,) = command("edgetl", "export", real_run["run"], "--out", tmp_path / "trash.bundle")
    assert len(record["variants"]) == 4
    assert record["left_out"] == []
    for variant in record["variants"]:
        assert variant["drop"] <= (0.05 if variant["unsure"] else 0.01), variant["name"]


@pytest.mark.real_data
def test_a_second_run_computes_nothing_and_finds_the_same(
    real_run: dict[str, Any], real_data: Path, tmp_path: Path
) -> None:
    more = ("--backbone", BACKBONE, "--weights", real_data / "weights" / WEIGHTS, *BRIEF)
    (again,) = command("edgetl", "train", real_data / "trashnet", "--out", tmp_path / "run", *more)
    assert again["computed"] == 0
    assert again["val_top1"] == real_run["val_top1"]
    assert Run.open(tmp_path / "run").metrics == Run.open(Path(real_run["run"])).metrics
