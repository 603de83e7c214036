"""What can be refused at once is refused before anything slow is imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgetl.run import MANIFEST_FILE

SLOW = ("tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert")
Said = tuple[int, str]
Run = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos, labels, models that nobody opens, and what lies in the way."""
    for label in ("bolt", "gear"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(3):
            picture = np.full((8, 8, 3), 40 * number, np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / label / f"{number}.png"), picture)
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.txt").write_text("bolt\ngear\n")
    (tmp_path / "blank.txt").write_text("bolt\n\ngear\n")
    for name in ("m.onnx", "m.keras", "m.txt"):
        (tmp_path / name).write_bytes(b"\x01never opened")
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\nnever opened")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    return tmp_path


@pytest.fixture
def edgetl(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command where each slow module ends the program as soon as it is imported."""
    poison = tmp_path_factory.mktemp("poison")
    for name in SLOW:
        (poison / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")
    paths = [str(poison), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run(*arguments: object) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "edgetl.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    return run


FOREIGN = {"--model": "m.onnx", "--labels": "labels.txt", "--data": "photos", "--scaling": "0..1"}


def test_the_poison_works(edgetl: Run) -> None:
    foreign = [word for pair in FOREIGN.items() for word in pair]
    assert " was imported" in edgetl("export", *foreign, "--out", "new")[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--model": "labels.txt"}, "labels.txt is text, not a model"),
        ({"--model": "gone.onnx"}, "gone.onnx does not exist; expected a .tflite"),
        ({"--model": "m.txt"}, "m.txt is of an unknown type"),
        ({"--model": "empty"}, "empty is not a SavedModel"),
        ({"--model": "m.keras"}, "m.keras is not of the type that its name says"),
        ({"--model": "m.h5"}, "add --trust"),
        ({"--model": "saved"}, "add --trust"),
        ({"--labels": "gone.txt"}, "gone.txt cannot be read"),
        ({"--labels": "photos"}, "photos cannot be read"),
        ({"--labels": "blank.txt"}, "blank.txt, line 2 is empty"),
        ({"--data": "gone"}, "gone is not a folder"),
        ({"--data": "empty"}, "empty"),
        ({"--scaling": "caffeine"}, "caffeine"),
        ({"--fit": "squeeze"}, "'squeeze' is not one of"),
        ({"--recipe": "int9"}, "did you mean int8?"),
        ({"--out": "photos"}, "photos exists and contains something else"),
        ({"--out": "m.txt/new"}, "Not a directory; choose another --out"),
    ],
)
def test_a_model_from_elsewhere_is_refused_at_once(
    edgetl: Run, folder: Path, changes: dict[str, str], said: str
) -> None:
    before = sorted(folder.rglob("*"))
    words = {"--out": "new", **FOREIGN, **changes}
    code, stderr = edgetl("export", *(word for pair in words.items() for word in pair))
    assert code in (1, 2)
    assert said in stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "gone", "--out", "new"), "gone is not a finished run"),
        (("export", "photos", "--out", "new"), "photos is not a finished run"),
        (("export", "photos", "--out", "empty/../photos"), "contains something else"),
        (("export", "photos", "--out", "new", "--labels", "labels.txt"), "--labels is for --model"),
        (("export", "photos", "--out", "new", "--strict", "--allow-drop"), "contradict"),
        (("export", "photos", "--out", "new", "--recipe", "tflite"), "unknown recipe 'tflite'"),
        (
            ("export", "photos", "--out", "new", "--max-drop", "x"),
            "expected a number from 0 to 100",
        ),
        (("quantize-report", "gone"), "gone is not a finished run"),
        (("quantize-report", "photos", "--out", "page.pdf"), "must end in .html"),
        (("quantize-report", "photos", "--out", "gone/a.html"), "the folder gone does not exist"),
        (("compare", "gone", "photos", "--out", "gone/a.html"), "the folder gone does not exist"),
        (("quantize-report", "photos", "--recipe", "int9"), "did you mean int8?"),
        (("inspect", "gone"), "gone"),
        (("inspect", "photos"), "is not a bundle"),
        (("inspect", "m.onnx"), "m.onnx"),
        (("compare", "gone", "photos"), "gone is not a finished run"),
        (("compare", "photos", "photos"), "at least two different runs"),
        (("compare", "gone", "photos", "--out", "labels.txt"), "must end in .html"),
        (("demo", "--out", "photos"), "contains something else"),
    ],
)
def test_a_command_is_refused_at_once(edgetl: Run, arguments: tuple[str, ...], said: str) -> None:
    code, stderr = edgetl(*arguments)
    assert code in (1, 2)
    assert said in stderr


def test_a_run_whose_photos_are_gone_is_refused_at_once(
    edgetl: Run, tiny_run_folder: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "moved"))
    manifest = msgspec.json.decode((run / MANIFEST_FILE).read_bytes())
    manifest["root"] = str(tmp_path / "nowhere")
    (run / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    for command in (("export", run, "--out", "new"), ("quantize-report", run)):
        code, stderr = edgetl(*command)
        assert code == 1
        assert "nowhere are missing" in stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_that_may_not_be_written_is_refused_at_once(edgetl: Run, folder: Path) -> None:
    (folder / "empty").chmod(0o555)
    words = {"--out": "empty/new", **FOREIGN}
    code, stderr = edgetl("export", *(word for pair in words.items() for word in pair))
    assert code == 1
    assert "Permission denied; choose another --out" in stderr
