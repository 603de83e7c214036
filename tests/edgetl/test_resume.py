"""Killed at any moment and resumed, a training ends as if nothing had happened."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgetl import cli
from edgetl.networks.backbones import build, find_backbone
from edgetl.options import FittingOptions, HeadOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.train import resume, train
from edgetl_runtime.errors import EdgetlError, RunError, StorageError, TrainingError

RUN_FILES = {
    "config.toml",
    "history.json",
    "manifest.json",
    "metrics.json",
    "predictions.json",
    "report.html",
    "run.json",
    "weights.npz",
}
SCRATCH = TrainOptions(
    backbone="lenet",
    weights="none",
    size_px=32,
    head=HeadOptions(dropout=0.2),
    training=FittingOptions(epochs=4),
)
SCRATCH_FLAGS = "--backbone lenet --weights none --size 32 --dropout 0.2 --epochs 4".split()
TWO_STAGES = (
    "--backbone lenet --size 32 --epochs 3 --finetune 1 --finetune-epochs 4 --batch 16 --views 1 "
    "--augment mixup=0.3,rotation=10 --head mlp --hidden 16 --dropout 0.3 --batch-norm"
).split()
# TensorFlow takes seconds to import: one process does, and each command runs in a fork of it.
_SERVER = """
import json, os, re, resource, signal, sys
import matplotlib.figure, tensorflow
import edgetl.training.stages, edgetl.training.train
from edgetl.cli import main

def obey(order):
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(f"{order['folder']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ |= order["environment"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if order["file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
    if order["kill"]:
        moment, pattern = order["kill"]
        def strike(event, arguments):
            if event == moment and re.search(pattern, " ".join(map(str, arguments[:2]))):
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(strike)
    sys.argv = ["edgetl", *order["arguments"]]
    main()

for line in sys.stdin:
    child = os.fork()
    if not child:
        obey(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Done(msgspec.Struct):
    """How a command ended."""

    code: int
    printed: str
    complaint: str


class Server:
    """Runs `edgetl` commands, each in a process of its own."""

    def __init__(self, child: "subprocess.Popen[str]", folder: Path) -> None:
        self._child, self._folder = child, folder

    def run(
        self,
        *arguments: object,
        kill: tuple[str, str] | None = None,
        file_bytes: int = 0,
        **environment: str,
    ) -> Done:
        """Runs a command; `kill` is an event of the file system just before which it dies.

        With `file_bytes` no file may become larger.
        """
        order = {
            "arguments": [str(one) for one in arguments],
            "kill": kill,
            "file_bytes": file_bytes,
            "folder": str(self._folder),
            "environment": {name: str(value) for name, value in environment.items()},
        }
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        code = int(self._child.stdout.readline())
        printed, complaint = ((self._folder / n).read_text() for n in ("stdout", "stderr"))
        return Done(code, printed, complaint)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = [sys.executable, "-c", _SERVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as child:
        yield Server(child, tmp_path_factory.mktemp("server"))
        assert child.stdin
        child.stdin.close()


@pytest.fixture(scope="module")
def lenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("lenet") / "lenet.weights.h5"
    build(find_backbone("lenet"), 32).save_weights(path)
    return path


@pytest.fixture(scope="module")
def scratch(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run from random weights; read only."""
    folder = tmp_path_factory.mktemp("scratch") / "run"
    train(photos, folder, SCRATCH)
    return folder


@pytest.fixture(scope="module")
def killed(photos: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run.unfinished`: the same training, killed in its third epoch; read only."""
    folder = tmp_path_factory.mktemp("killed")
    moment = ("os.rename", r"0-000003\.checkpoint$")
    done = server.run(
        "train", photos, "--out", folder / "run", *SCRATCH_FLAGS, "--tensorboard", kill=moment
    )
    assert done.code == -signal.SIGKILL, done.complaint
    assert checkpoints(folder / "run") == ["0-000001.checkpoint", "0-000002.checkpoint"]
    return folder


@pytest.fixture
def out(killed: Path, tmp_path: Path) -> Path:
    """Where the killed training was to write its run; may be changed."""
    shutil.copytree(killed / "run.unfinished", tmp_path / "run.unfinished")
    return tmp_path / "run"


def checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in Path(f"{out}.unfinished/checkpoints").glob("[!.]*"))


def results(run: Path) -> tuple[Any, ...]:
    """All that must repeat: everything but durations."""
    histories = json.loads((run / "history.json").read_text())
    for history in histories:
        del history["seconds"]
    return histories, *((run / f"{name}.json").read_bytes() for name in ("metrics", "predictions"))


def test_a_training_killed_at_every_moment_ends_like_an_uninterrupted_one(
    server: Server, photos: Path, lenet_weights: Path, own_cache: Path, tmp_path: Path
) -> None:
    begin = ["train", photos, *TWO_STAGES, "--weights", lenet_weights, "--out"]
    reference, out = tmp_path / "reference", tmp_path / "run"
    done = server.run(*begin, reference, EDGETL_CACHE=str(tmp_path / "cold"))
    assert done.code == 0, done.complaint
    moments = [
        ("features computed, not kept", "os.rename", r"\.features$"),
        ("before the first checkpoint", "os.rename", r"0-000001\.checkpoint$"),
        ("after the first epoch", "os.rename", r"0-000002\.checkpoint$"),
        ("between the stages", "os.rename", r"1-000001\.checkpoint$"),
        ("in the second stage", "os.rename", r"1-000003\.checkpoint$"),
        ("while files are written", "open", r"metrics\.json"),
        ("all is written, but for run.json", "open|os.rename", r"run\.json"),
        ("before the folder is renamed", "os.rename", r"/run$"),
        ("while leftovers are removed", "os.remove", r"1-000004\.checkpoint"),
    ]
    command = [*begin, out]
    for name, event, pattern in moments:
        for one in event.split("|"):
            done = server.run(*command, kill=(one, pattern), EDGETL_CACHE=str(own_cache))
            if done.code:
                break
        assert done.code == -signal.SIGKILL, (name, done)
        command = ["train", "--resume", out]
    done = server.run(*command, EDGETL_CACHE=str(own_cache))
    assert done.code == 0, done.complaint
    assert f"next: edgetl export {out}" in done.printed
    assert results(out) == results(reference)
    assert {path.name for path in out.iterdir()} == RUN_FILES | {"curve.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"cold", "own_cache", "reference", "run"}


def test_a_killed_training_from_scratch_ends_like_an_uninterrupted_one(
    out: Path, scratch: Path
) -> None:
    resume(out)
    assert results(out) == results(scratch)
    assert {path.name for path in out.iterdir()} == RUN_FILES | {"tensorboard"}
    events = out.glob("tensorboard/whole_network/*")
    assert sorted(path.name.split(".")[3] for path in events) == [f"{n:06d}" for n in (1, 2, 3, 4)]


def test_one_seed_gives_one_result_and_another_seed_another(
    photos: Path, scratch: Path, tmp_path: Path
) -> None:
    train(photos, tmp_path / "same", SCRATCH)
    assert results(tmp_path / "same") == results(scratch)
    train(photos, tmp_path / "other", msgspec.structs.replace(SCRATCH, seed=1))
    assert Run.open(tmp_path / "other").histories[0].curves != Run.open(scratch).histories[0].curves
    # Another seed splits other photos off, too.
    assert results(tmp_path / "other")[2] != results(scratch)[2]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_discarded_and_the_one_before_used(
    out: Path, scratch: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    newest = Path(f"{out}.unfinished/checkpoints/0-000002.checkpoint")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 4
    newest.write_bytes({"cut": content[:-1000], "flip": bytes(content), "empty": b""}[damage])
    resume(out)
    (warning,) = [one for one in caplog.records if one.name.startswith("edgetl")]
    assert str(newest) in warning.getMessage()
    assert results(out) == results(scratch)


def test_a_full_disk_keeps_the_checkpoint_before(
    server: Server, photos: Path, scratch: Path, killed: Path, tmp_path: Path
) -> None:
    size = max(path.stat().st_size for path in killed.rglob("*.checkpoint"))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size * 7 // 4 + 40_000}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        done = server.run("train", photos, "--out", disk / "run", *SCRATCH_FLAGS)
        assert done.code == 1
        (complaint,) = done.complaint.splitlines()
        assert "No space left on device" in complaint
        assert f"resume with `edgetl train --resume {disk / 'run'}`" in complaint
        assert checkpoints(disk / "run") == ["0-000001.checkpoint"]
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        resume(disk / "run")
        assert results(disk / "run") == results(scratch)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_size_limit_keeps_the_checkpoint_before(
    server: Server, out: Path, scratch: Path, killed: Path
) -> None:
    """The same for those who cannot mount a disk: the next checkpoint is too large to write."""
    size = min(path.stat().st_size for path in killed.rglob("*.checkpoint"))
    done = server.run("train", "--resume", out, file_bytes=size // 2)
    assert done.code == 1
    (complaint,) = done.complaint.splitlines()
    assert "File too large" in complaint
    assert f"resume with `edgetl train --resume {out}`" in complaint
    assert checkpoints(out) == ["0-000001.checkpoint", "0-000002.checkpoint"]
    resume(out)
    assert results(out) == results(scratch)


def test_a_head_that_diverges_names_epoch_and_cause(
    photos: Path, lenet_weights: Path, tmp_path: Path
) -> None:
    training = FittingOptions(optimizer="sgd", learning_rate=1e38, epochs=3, l2=0.0)
    options = TrainOptions(
        backbone="lenet", weights=str(lenet_weights), size_px=32, training=training, views=1
    )
    with pytest.raises(TrainingError) as caught:
        train(photos, tmp_path / "run", options)
    complaint = str(caught.value)
    assert re.match("the loss became (nan|inf) in epoch 1 of fitting head", complaint)
    assert "learning rate that is too high (1e+38)" in complaint
    assert "lower --learning-rate; no epoch succeeded" in complaint
    assert list(tmp_path.iterdir()) == []


def test_blocks_that_diverge_leave_the_checkpoint_of_the_head(
    photos: Path, lenet_weights: Path, tmp_path: Path
) -> None:
    training = FittingOptions(
        optimizer="sgd", epochs=2, finetune_epochs=2, finetune_learning_rate=1e30, warmup=0.0
    )
    options = TrainOptions(
        backbone="lenet", weights=str(lenet_weights), size_px=32, training=training, views=1
    )
    with pytest.raises(TrainingError) as caught:
        train(photos, tmp_path / "run", options)
    complaint = str(caught.value)
    assert "in epoch 1 of fitting top block" in complaint
    assert "lower --finetune-learning-rate and --overwrite" in complaint
    assert "the checkpoint of fitting head is kept" in complaint
    assert checkpoints(tmp_path / "run") == ["0-000001.checkpoint", "0-000002.checkpoint"]


def test_a_loss_that_is_no_number_is_one_line(
    server: Server, photos: Path, lenet_weights: Path, tmp_path: Path
) -> None:
    flags = "--backbone lenet --size 32 --optimizer sgd --learning-rate 1e30".split()
    done = server.run("train", photos, "--out", tmp_path / "r", "--weights", lenet_weights, *flags)
    assert done.code == 1
    assert len(done.complaint.replace(GREETING, "").splitlines()) == 1


GREETING = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


def wait_for(condition: Any, child: "subprocess.Popen[str]") -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_ctrl_c_ends_soon_and_names_the_command_that_goes_on(
    photos: Path, server: Server, tmp_path: Path, wording: str
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "edgetl.cli", "train", photos, "--out", out, *SCRATCH_FLAGS]
    with subprocess.Popen(
        [*map(str, command), "--epochs", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:
        try:
            wait_for(lambda: checkpoints(out), child)
            child.send_signal(signal.SIGSTOP)
            with pytest.raises(StorageError, match=wording):
                train(photos, out, SCRATCH, overwrite=True)
            with pytest.raises(StorageError, match=wording):
                resume(out)
            child.send_signal(signal.SIGINT)
            start = time.monotonic()
            child.send_signal(signal.SIGCONT)
            printed, complaint = child.communicate(timeout=60)
        finally:
            child.kill()
    assert time.monotonic() - start < 10
    assert (child.returncode, printed) == (130, "")
    assert complaint == f"edgetl: interrupted; resume with: edgetl train --resume {out}\n"
    done = server.run("train", "--resume", out)
    assert done.code == 0, done.complaint
    assert len(Run.open(out).histories[0].curves["loss"]) == 60


def replace_training(options: TrainOptions, **changes: Any) -> TrainOptions:
    training = msgspec.structs.replace(options.training, **changes)
    return msgspec.structs.replace(options, training=training)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda old: replace_training(old, epochs=5), "epochs"),
        (lambda old: replace_training(old, learning_rate=0.1), "learning_rate"),
        (lambda old: msgspec.structs.replace(old, backbone="cnn"), "backbone"),
        (lambda old: msgspec.structs.replace(old, seed=3), "seed"),
    ],
)
def test_other_options_are_refused_by_name(out: Path, change: Any, difference: str) -> None:
    with pytest.raises(
        RunError, match=rf"differs from the training that was interrupted: .*{difference}"
    ):
        resume(out, choose=change)
    assert len(checkpoints(out)) == 2


def test_other_options_are_refused_on_the_command_line(
    out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgetl", "train", "--resume", str(out), "--epochs", "9"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    complaint = capfd.readouterr().err
    assert "epochs: 9, before 4" in complaint
    assert "start over with --overwrite" in complaint


def add(photos: Path) -> str:
    image = (photos / "bolt/00.jpg").read_bytes()
    (photos / "bolt/99.jpg").write_bytes(image + b"\0")
    return "photo bolt/99.jpg is new"


def change(photos: Path) -> str:
    with (photos / "gear/03.jpg").open("ab") as file:
        file.write(b"\0")
    return "photo gear/03.jpg has changed"


def remove(photos: Path) -> str:
    (photos / "washer/07.jpg").unlink()
    return "photo washer/07.jpg is missing"


@pytest.mark.parametrize("edit", [add, change, remove])
def test_other_photos_are_refused_by_name(out: Path, photos_copy: Path, edit: Any) -> None:
    difference = edit(photos_copy)
    with pytest.raises(RunError, match=difference):
        resume(out, data=photos_copy)
    assert len(checkpoints(out)) == 2


def test_photos_that_moved_are_the_same_photos(out: Path, photos_copy: Path, scratch: Path) -> None:
    resume(out, data=photos_copy)
    assert results(out) == results(scratch)


def test_other_weights_under_the_same_name_are_refused(
    server: Server, photos: Path, lenet_weights: Path, tmp_path: Path, wording: str
) -> None:
    weights = Path(shutil.copy(lenet_weights, tmp_path / "w.weights.h5"))
    flags = "--backbone lenet --size 32 --epochs 3 --finetune none".split()
    out = tmp_path / "run"
    moment = ("os.rename", r"0-000002\.checkpoint$")
    done = server.run("train", photos, "--out", out, "--weights", weights, *flags, kill=moment)
    assert done.code == -signal.SIGKILL
    network = build(find_backbone("lenet"), 32)
    network.load_weights(weights)
    network.set_weights([np.asarray(one) + 1 for one in network.get_weights()])
    network.save_weights(weights)
    with pytest.raises(RunError, match=wording):
        resume(out)


def test_a_new_training_does_not_touch_an_interrupted_one(out: Path, photos: Path) -> None:
    with pytest.raises(StorageError, match=f"edgetl train --resume {out}"):
        train(photos, out, SCRATCH)
    assert len(checkpoints(out)) == 2


def test_a_slip_beside_overwrite_does_not_cost_the_interrupted_training(
    out: Path, tmp_path: Path
) -> None:
    with pytest.raises(EdgetlError):
        train(tmp_path / "no photos", out, SCRATCH, overwrite=True)
    assert len(checkpoints(out)) == 2


def test_overwrite_starts_anew(out: Path, photos: Path) -> None:
    run = train(photos, out, replace_training(SCRATCH, epochs=1), overwrite=True)
    assert len(run.histories[0].curves["loss"]) == 1
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_an_interrupted_overwrite_leaves_the_finished_run(
    server: Server, photos: Path, scratch: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(scratch, tmp_path / "run"))
    more = [*SCRATCH_FLAGS, "--seed", 1, "--overwrite"]
    moment = ("os.rename", r"0-000002\.checkpoint$")
    assert server.run("train", photos, "--out", out, *more, kill=moment).code == -signal.SIGKILL
    assert Run.open(out).load_model().output_shape == (None, 3)
    assert results(out) == results(scratch)
    assert resume(out).spec.seed == 1
    assert {path.name for path in out.iterdir()} == RUN_FILES


def test_the_folder_of_the_unfinished_training_may_be_named(server: Server, out: Path) -> None:
    done = server.run("train", "--resume", f"{out}.unfinished", "--json")
    assert done.code == 0, done.complaint
    assert json.loads(done.printed)["run"] == str(out)


def test_reading_an_interrupted_run_names_the_command_that_goes_on(out: Path) -> None:
    with pytest.raises(RunError, match=f"interrupted, resume it with: edgetl train --resume {out}"):
        Run.open(out)


def test_a_finished_run_cannot_be_resumed(scratch: Path, wording: str) -> None:
    with pytest.raises(RunError, match=wording):
        resume(scratch)


def test_nothing_cannot_be_resumed(tmp_path: Path, wording: str) -> None:
    with pytest.raises(RunError, match=wording):
        resume(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
