"""The commands as a user and a machine meet them, each in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest

from edgetl import cli
from edgetl.run import Run
from edgetl_runtime.bundle.reader import Bundle
from tests.conftest import BACKBONE
from tests.edgetl.command import edgetl

COMMANDS = (
    "train",
    "evaluate",
    "export",
    "quantize-report",
    "compare",
    "bench-report",
    "backbones",
    "demo",
    "data check",
)
# LiteRT says so once a process, whatever is asked of it.
LITERT_GREETING = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
SMALL = ("--backbone", "cnn", "--weights", "none", "--size", "32", "--epochs", "2")
Call = Callable[..., tuple[int, str, str]]
Refuse = Callable[..., tuple[int, str]]


def parse(done: "subprocess.CompletedProcess[str]") -> Any:
    """The one JSON object on stdout; anything else there is an error."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs the command's entry point in this process; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgetl", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed, complaint = capfd.readouterr()
        complaint = complaint.replace(LITERT_GREETING, "")
        assert "Traceback" not in complaint
        return int(str(caught.value.code)), printed, complaint

    return run


@pytest.fixture
def refuse(call: Call) -> Refuse:
    """Runs a command that cannot be done; returns its exit code and its complaint."""

    def run(*arguments: object) -> tuple[int, str]:
        code, printed, complaint = call(*arguments)
        assert printed == ""
        return code, complaint

    return run


@pytest.fixture(scope="module")
def trained(
    photos: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("cli") / "run"
    more = "--size 64 --views 1 --epochs 2 --finetune 1 --finetune-epochs 1 --json".split()
    done = edgetl(
        "train", photos, "--out", out, "--backbone", BACKBONE, "--weights", weights_file, *more
    )
    assert done.stderr.replace(LITERT_GREETING, "") == ""
    record: dict[str, Any] = parse(done)
    return record


@pytest.fixture(scope="module")
def exported(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("cli") / "parts.bundle"
    done = edgetl("export", tiny_run_folder, "--out", out, "--json")
    assert done.stderr.replace(LITERT_GREETING, "") == ""
    record: dict[str, Any] = parse(done)
    return record


def test_train_reports_what_was_promised(trained: dict[str, Any], photos: Path) -> None:
    run = Run.open(Path(trained["run"]))
    assert trained.keys() == {
        *("run", "backbone", "cut", "blocks", "val_top1", "val_top1_interval", "test_top1"),
        *("seconds", "cached", "computed", "skipped", "unknown", "report"),
    }
    assert trained["backbone"] == "mobilenet_v2_0.35"
    assert trained["val_top1"] == run.metrics.top1
    assert trained["blocks"] == 1
    assert trained["test_top1"] is None
    interval = trained["val_top1_interval"]
    assert interval["lower"] <= trained["val_top1"] <= interval["upper"]
    assert trained["seconds"] == run.file.seconds
    assert trained["cached"] + trained["computed"] == 48
    assert Path(trained["report"]).is_file()


def test_the_stored_config_trains_the_same_again(
    call: Call, trained: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    first = Run.open(Path(trained["run"]))
    config = first.path / "config.toml"
    code, printed, _ = call(
        "train", photos, "--out", tmp_path / "run", "--config", config, "--json"
    )
    again = Run.open(tmp_path / "run")
    assert code == 0
    assert json.loads(printed)["val_top1"] == trained["val_top1"]
    assert again.file.options == first.file.options
    assert again.metrics == first.metrics
    assert (again.path / "config.toml").read_bytes() == config.read_bytes()


def test_export_reports_what_was_promised(exported: dict[str, Any]) -> None:
    bundle = Bundle.open(exported["bundle"])
    assert [one["name"] for one in exported["variants"]] == [
        "litert-int8",
        "litert-float32",
        "onnx-int8",
        "onnx-float32",
    ]
    keys = {
        *("name", "file", "engine", "precision", "bytes", "top1", "drop", "agreement"),
        *("repair", "failures", "unsure", "test", "calibration"),
    }
    for one in exported["variants"]:
        assert one.keys() == keys
        assert one["bytes"] == (bundle.path / one["file"]).stat().st_size


def test_evaluate_reports_what_was_promised(
    call: Call, exported: dict[str, Any], photos: Path
) -> None:
    code, printed, noted = call("evaluate", exported["bundle"], photos, "--json")
    assert (code, noted) == (0, "")
    record = json.loads(printed)
    assert record["examples"] == 48
    assert 0 <= record["top1"] <= 1
    assert list(record["classes"]) == ["bolt", "gear", "washer"]
    for one in record["classes"].values():
        assert one.keys() == {"precision", "recall", "specificity", "f1", "support"}
        assert one["support"] == 16
    assert [sum(row) for row in record["confusion"]] == [16, 16, 16]


def test_backbones_are_listed_for_machines() -> None:
    rows = parse(edgetl("backbones", "--json"))["backbones"]
    small = next(row for row in rows if row["name"] == "mobilenet_v2_0.35")
    assert {"parameters", "multiply_adds_m", "quantizes", "licence", "size_px"} <= small.keys()


def test_a_person_sees_the_result_the_skipped_and_the_next_command(
    call: Call, photos_copy: Path, tmp_path: Path
) -> None:
    (photos_copy / "gear/notes.txt").write_text("seven gears")
    code, printed, noted = call("train", photos_copy, "--out", tmp_path / "run", *SMALL)
    assert code == 0
    assert "validation top-1" in printed
    assert printed.splitlines()[-1] == f"next: edgetl export {tmp_path}/run --out run.bundle"
    assert "edgetl: skipped gear/notes.txt: not an image" in noted


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    done = edgetl(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: edgetl {command}" in done.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys\nfrom edgetl.cli import main\nsys.argv = ['edgetl', *sys.argv[1:], '--help']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'cv2', 'onnx', 'h5py', 'msgspec', 'matplotlib'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    # What these two take is read from structs.
    known = "['msgspec']\n" if command in ("train", "export") else "[]\n"
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == known
    assert "Usage: " in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "photos"),
        ("train", "photos", "--out", "run", "--epochs", "0"),
        ("train", "photos", "--out", "run", "--size", "16"),
        ("train", "photos", "--out", "run", "--val-fraction", "1"),
        ("train", "photos", "--out", "run", "--seed", "-1"),
        ("export", "run"),
        ("evaluate", "run"),
        ("fly",),
    ],
)
def test_wrong_usage_exits_2(refuse: Refuse, arguments: tuple[str, ...]) -> None:
    code, complaint = refuse(*arguments)
    assert code == 2
    wrong, remedy = complaint.splitlines()
    program = wrong.partition(": ")[0]
    assert program in ("edgetl", f"edgetl {arguments[0]}")
    assert remedy == f"try: {program} --help"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "run", "--ot", "x"), "--out"),
        (("train", "photos", "--out", "x", "--epoch", "3"), "--epochs"),
        pytest.param(
            ("trian", "photos"),
            "Did you mean 'train'?",
            marks=pytest.mark.skipif(
                not hasattr(click.exceptions, "NoSuchCommand"), reason="click before 8.4"
            ),
        ),
    ],
)
def test_a_near_miss_gets_the_right_word(
    refuse: Refuse, arguments: tuple[str, ...], said: str
) -> None:
    code, complaint = refuse(*arguments)
    assert code == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 2


def test_a_command_without_words_shows_its_help() -> None:
    done = edgetl("data")
    assert "Usage: edgetl data" in done.stdout + done.stderr


def one_line(result: tuple[int, str]) -> str:
    code, complaint = result
    assert code == 1
    assert complaint.startswith("edgetl: ")
    assert complaint.count("\n") == 1
    return complaint


def test_missing_data_is_one_line(refuse: Refuse, tmp_path: Path) -> None:
    result = refuse("train", tmp_path / "gone", "--out", tmp_path / "run", *SMALL)
    assert "gone is not a folder" in one_line(result)


def test_one_class_is_one_line(refuse: Refuse, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "gear", tmp_path / "data/gear")
    result = refuse("train", tmp_path / "data", "--out", tmp_path / "run", *SMALL)
    assert "only the class gear" in one_line(result)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_backbone_are_one_line(
    refuse: Refuse, photos: Path, weights_file: Path, tmp_path: Path
) -> None:
    more = ("--weights", weights_file, "--backbone", "mobilenet_v1_0.25", "--size", 64)
    result = refuse("train", photos, "--out", tmp_path / "run", *more)
    assert "does not fit mobilenet_v1_0.25" in one_line(result)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_one_line(
    refuse: Refuse, photos: Path, tiny_run_folder: Path
) -> None:
    assert "--overwrite" in one_line(refuse("train", photos, "--out", tiny_run_folder, *SMALL))


def test_a_target_that_is_a_file_is_one_line(refuse: Refuse, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    result = refuse("train", photos, "--out", tmp_path / "run", *SMALL, "--overwrite")
    assert "contains something else" in one_line(result)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_target_below_a_file_is_one_line(refuse: Refuse, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = refuse("train", photos, "--out", tmp_path / "file/run", *SMALL)
    assert "Not a directory; choose another --out" in one_line(result)


def test_evaluating_other_classes_is_one_line(
    refuse: Refuse, tiny_run_folder: Path, photos_copy: Path
) -> None:
    (photos_copy / "gear").rename(photos_copy / "cog")
    result = refuse("evaluate", tiny_run_folder, photos_copy)
    assert "has the class cog, the model knows bolt, gear, washer" in one_line(result)


def test_evaluating_what_is_no_model_is_one_line(refuse: Refuse, photos: Path) -> None:
    assert "is not a bundle" in one_line(refuse("evaluate", photos, photos))


def test_an_unknown_variant_is_one_line(
    refuse: Refuse, exported: dict[str, Any], photos: Path
) -> None:
    result = refuse("evaluate", exported["bundle"], photos, "--variant", "litert-int4")
    assert "it has: litert-int8" in one_line(result)


def test_exporting_what_is_no_run_is_one_line(refuse: Refuse, photos: Path, tmp_path: Path) -> None:
    result = refuse("export", photos, "--out", tmp_path / "b")
    assert "is not a finished run" in one_line(result)


def test_a_full_disk_is_one_line_and_leaves_no_run(photos: Path, tmp_path: Path) -> None:
    program = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "from edgetl.cli import main\nmain()"
    )
    command = ["train", str(photos), "--out", str(tmp_path / "run"), *SMALL]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert "File too large" in one_line((done.returncode, done.stderr))
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_the_first_epoch_is_one_line_and_leaves_no_run(
    photos: Path, weights_file: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "edgetl.cli", "train", photos, "--out", tmp_path / "run"]
    # Ctrl-C comes when the features are there; the strength of the penalty is chosen after them.
    command += ["--backbone", BACKBONE, "--weights", weights_file, "--size", "64"]
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"EDGETL_CACHE": str(cache)},
        # A shell that runs the tests in the background has told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:
        try:
            give_up = time.monotonic() + 60
            while not list(cache.rglob("*.features")) and time.monotonic() < give_up:
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            printed, complaint = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 130
    assert printed == ""
    complaint = complaint.replace(LITERT_GREETING, "").strip()
    assert complaint == (
        "edgetl: interrupted before the first epoch; computed features stay in the cache: run the "
        "same command again"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert list(cache.rglob("*.features"))


def test_photos_of_other_things_are_mentioned_and_never_named(
    photos_copy: Path, tmp_path: Path, call: Call
) -> None:
    (photos_copy / "washer").rename(photos_copy / "_unknown_")
    run = tmp_path / "run"
    code, printed, _ = call("train", photos_copy, "--out", run, *SMALL)
    assert code == 0
    assert "16 unknown photos used for the reject threshold" in " ".join(printed.split())
    code, printed, complaint = call("evaluate", run, photos_copy, "--json")
    assert code == 0
    assert set(json.loads(printed)["classes"]) == {"bolt", "gear"}
    assert f"not scored: 16 photos in {photos_copy}/_unknown_, which have no class" in complaint


def test_the_name_of_a_file_does_not_reach_the_terminal(refuse: Refuse, tmp_path: Path) -> None:
    odd = tmp_path / "\x1b]0;owned\x07.bundle"
    _, told = refuse("inspect", odd)
    assert "\\x1b]0;owned" in told
    assert "\x1b" not in told


def test_a_full_disk_is_named_and_no_other_failure_is_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wording: str
) -> None:
    monkeypatch.setenv("TMPDIR", "/some/folder")
    with pytest.raises(OSError, match=wording) as full, open("/dev/full", "w") as file:
        file.write("x")
    said = cli.describe_failure(full.value)
    assert said.startswith("No space left on device: temporary files in /some/folder; set TMPDIR")
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "gone").read_bytes()
    said = cli.describe_failure(missing.value)
    assert said.startswith(f"No such file or directory: {tmp_path}/gone. ")


def test_evaluate_says_how_many_files_it_left_out(call: Call, tmp_path: Path) -> None:
    tiny = Path(__file__).parents[1] / "data/tiny.bundle"
    labels = Bundle.open(tiny).labels
    for n, label in enumerate(labels):
        (tmp_path / "photos" / label).mkdir(parents=True)
        picture = np.full((32, 32, 3), 80 * n, np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / label / "a.png"), picture)
        (tmp_path / "photos" / label / "b.png").write_bytes(b"no image")
    code, _, complaint = call("evaluate", tiny, tmp_path / "photos")
    assert code == 0
    assert f"edgetl: {len(labels)} files were left out; to see why: edgetl data check" in complaint
