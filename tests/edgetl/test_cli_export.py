"""`edgetl export`, `recipes` and `inspect` as a user and a machine meet them."""

import json
import shutil
from pathlib import Path

import pytest

from edgetl_export.load.scaling import SCALINGS
from edgetl_export.packing import pack
from edgetl_export.recipes import RECIPES
from edgetl_runtime.bundle.reader import encode_checksum
from tests.edgetl.command import edgetl


def test_recipes_lists_all_and_marks_the_default_ones() -> None:
    done = edgetl("recipes")
    assert done.returncode == 0
    assert all(recipe.use_when.split()[0] in done.stdout for recipe in RECIPES)
    assert "litert-int8*" in done.stdout
    records = json.loads(edgetl("recipes", "--json").stdout)["recipes"]
    assert [one["name"] for one in records] == [recipe.name for recipe in RECIPES]


def test_an_unknown_recipe_is_a_usage_error_before_anything_is_read(tmp_path: Path) -> None:
    done = edgetl("export", tmp_path / "gone", "--out", tmp_path / "b", "--recipe", "int9")
    assert done.returncode == 2
    assert "unknown recipe 'int9'; did you mean int8?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either RUN, or --model FILE"),
        (("run", "--model", "a.onnx"), "give either RUN, or --model FILE"),
        (("run", "--labels", "labels.txt"), "--labels is for --model; leave it out for a RUN"),
        (("run", "--trust"), "--trust is for --model"),
        (("--model", "a.onnx"), "--model also needs --data, --scaling"),
        (("--model", "a.onnx", "--labels", "l", "--data", "d"), "--model also needs --scaling"),
        (
            ("--model", "a.onnx", "--labels", "l", "--data", "d", "--scaling", "torch"),
            "unknown scaling 'torch'; expected one of 0..255",
        ),
        (("--model", "a.onnx", "--size", "64x"), "WIDTHxHEIGHT such as 160x120"),
        (("--model", "a.onnx", "--size", "-1x64"), "WIDTHxHEIGHT such as 160x120"),
        (("run", "--allow-doubt"), "--allow-doubt is for --model"),
    ],
)
def test_a_run_and_a_foreign_model_exclude_each_other(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = edgetl("export", *arguments, "--out", tmp_path / "b")
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "b").exists()


def test_the_command_knows_every_scaling_and_its_formula() -> None:
    text = " ".join(edgetl("export", "--help").stdout.split())
    assert all(f"{one.name}: " in text or f"{one.name} as" in text for one in SCALINGS)
    for formula in ("x / 255", "x / 127.5 - 1", "(x / 255 - mean) / std"):
        assert formula in text


def test_inspect_shows_files_labels_and_recall(bundle_folder: Path) -> None:
    done = edgetl("inspect", bundle_folder)
    assert done.returncode == 0, done.stderr
    for part in ("litert-int8.tflite", "bolt, gear, washer", "mobilenet_v2_0.35", "64x64 px"):
        assert part in done.stdout
    assert f"edgetl-run verify {bundle_folder}" in done.stdout.splitlines()[-1]


def test_inspect_and_evaluate_take_a_zip(bundle_folder: Path, photos: Path, tmp_path: Path) -> None:
    files = [file for file in bundle_folder.rglob("*") if file.is_file()]
    named = {file.relative_to(bundle_folder).as_posix(): file.read_bytes() for file in files}
    (tmp_path / "parts.zip").write_bytes(pack(named))
    for command in (("inspect",), ("evaluate", photos)):
        first, *more = command
        ours, theirs = (
            edgetl(first, bundle, *more, "--json")
            for bundle in (tmp_path / "parts.zip", bundle_folder)
        )
        assert ours.returncode == 0, ours.stderr
        assert json.loads(ours.stdout) == json.loads(theirs.stdout)


def test_inspect_prints_the_manifest_as_json(bundle_folder: Path) -> None:
    record = json.loads(edgetl("inspect", bundle_folder, "--json").stdout)
    assert record == json.loads((bundle_folder / "bundle.json").read_text())


def test_inspect_shows_figures_of_each_file_and_what_does_not_belong(
    bundle_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "parts.bundle"))
    record = json.loads((folder / "bundle.json").read_text())
    first = record["variants"][0]
    first["test_metrics"] = first["metrics"] | {"top1": 0.123, "calibration_error": 0.045}
    first["calibration"] |= {"temperature": 1.25, "reject_threshold": 0.6, "unknown": "_unknown_"}
    first["calibration"] |= {"false_accept_rate": 0.067, "calibration_error_before": 0.089}
    record["provenance"] |= {"author": "R. Levi", "license": "apache-2.0"}
    data = json.dumps(record).encode()
    (folder / "bundle.json").write_bytes(data)
    (folder / "bundle.json.sha256").write_bytes(encode_checksum(data))
    (folder / "notes.txt").touch()
    done = edgetl("inspect", folder)
    assert done.returncode == 0, done.stderr
    figures = ("12.3%", "4.5%", "1.25", "0.6", "_unknown_", "6.7%", "8.9%")
    for part in (*figures, "R. Levi", "apache-2.0", "MODEL_CARD.md"):
        assert part in done.stdout, part
    assert done.stderr.splitlines() == [
        f"edgetl: not checked: 1 file in {folder} not listed in the bundle: 'notes.txt'"
    ]


@pytest.mark.parametrize("damaged", ["litert-int8.tflite", "bundle.json"])
def test_inspect_refuses_a_damaged_bundle(
    bundle_folder: Path, tmp_path: Path, damaged: str
) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "parts.bundle"))
    with (folder / damaged).open("ab") as file:
        file.write(b" ")
    done = edgetl("inspect", folder)
    assert done.returncode == 1
    assert damaged in done.stderr
    assert len(done.stderr.splitlines()) == 1
