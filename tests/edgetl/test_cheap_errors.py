"""What is wrong with data, options and targets is said before TensorFlow is imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# An import of either would end in a traceback instead of our sentence.
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from edgetl.cli import main
main()
"""
Edgetl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def edgetl(tmp_path: Path) -> Edgetl:
    """Runs a command in an empty folder, without TensorFlow."""

    def edgetl(command: str) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, "-c", WITHOUT_TENSORFLOW, *command.split()]
        place = {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            arguments, capture_output=True, text=True, check=False, cwd=tmp_path,
            env=os.environ | place,
        )  # fmt: skip

    return edgetl


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> Path:
    """Photos, a table with a label that no folder can have, and one of files that are not there."""
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "slash.csv").write_text("path,label\nphotos/gear/00.jpg,n/a\n")
    (tmp_path / "gone.csv").write_text("path,label\na/1.jpg,a\na/2.jpg,a\nb/1.jpg,b\n")
    (tmp_path / "broken").mkdir()
    for label in ("bolt", "gear"):
        (tmp_path / "broken" / label).mkdir()
        for number in range(4):
            (tmp_path / "broken" / label / f"{number}.jpg").write_bytes(b"no image")
    (tmp_path / "collected").mkdir()
    shutil.copy(photos / "gear/00.jpg", tmp_path / "collected")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("train nowhere --out run", 1, "nowhere is not a folder"),
        ("train slash.csv --out run", 1, "slash.csv, line 2: the label 'n/a'"),
        ("train gone.csv --out run --weights none", 1, "no such file"),
        ("train broken --out run --weights none", 1, "class bolt has 0 usable photos"),
        ("train photos --out photos", 1, "is inside the photos"),
        ("train photos --out photos/runs/a", 1, "is inside the photos of photos"),
        ("train photos --out .", 1, "are inside --out"),
        ("train photos --out broken", 1, "broken exists and contains something else"),
        ("train photos --out run --weights gone.h5", 1, "gone.h5 is not a file"),
        ("train photos --out run --backbone nope", 2, "unknown backbone"),
        ("train photos --out run --epochs 0", 2, "--epochs: expected a whole number from 1"),
        ("train --resume nowhere", 1, "no interrupted training"),
        ("data check nowhere", 1, "nowhere is not a folder"),
        ("data check broken", 1, "holds no usable photo"),
        ("data check slash.csv", 1, "line 2: the label 'n/a'"),
        ("data check photos --backbone nope", 1, "unknown backbone"),
        ("data check photos --out photos/page.html", 1, "is inside the photos"),
        ("data preview photos --out photos/gear/a.jpg", 1, "is inside the photos"),
        ("data import nowhere --out new", 1, "nowhere is not a folder"),
        ("data import collected --out new --known nowhere", 1, "nowhere is not a folder"),
        ("data import collected --out new --known gone.csv", 1, "3 of 3 photos are missing: a/1"),
        ("evaluate photos photos", 1, "photos is not a bundle"),
        ("compare nowhere photos", 1, "nowhere is not a finished run"),
        ("demo --out photos", 1, "photos exists and contains something else"),
    ],
)
def test_an_error_comes_without_tensorflow_and_leaves_nothing(
    data: Path, edgetl: Edgetl, command: str, code: int, message: str
) -> None:
    before = sorted(data.rglob("*"))
    done = edgetl(command)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert sorted(data.rglob("*")) == before


def test_a_run_is_scored_on_wrong_photos_without_tensorflow(
    run_folder: Path, data: Path, edgetl: Edgetl
) -> None:
    done = edgetl(f"evaluate {run_folder} broken")
    assert done.returncode == 1
    assert "no usable photo outside train" in done.stderr


def test_an_onnx_is_opened_without_tensorflow(data: Path, edgetl: Edgetl) -> None:
    # It has two outputs.
    shutil.copy(Path(__file__).parents[1] / "data/saturating.onnx", data / "net.onnx")
    labels = [one.name for one in sorted((data / "photos").iterdir())]
    (data / "labels.txt").write_text("\n".join([*labels, "one", "more"]))
    before = sorted(data.rglob("*"))
    given = "--model net.onnx --labels labels.txt --data photos --scaling 0..255 --out new"
    done = edgetl(f"export {given}")
    assert "the model has 2 outputs; expected 2 lines" in done.stderr
    assert done.returncode == 1
    assert sorted(data.rglob("*")) == before


def test_the_commands_do_need_tensorflow_in_the_end(data: Path, edgetl: Edgetl) -> None:
    done = edgetl("train photos --out run --weights none")
    assert "import of tensorflow halted" in done.stderr
