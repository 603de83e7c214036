"""Options: the same by flag and by file, and what is wrong with them said in plain words."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgetl import cli
from edgetl.augmentation.strengths import PRESETS
from edgetl.commands.flags import collect_flags
from edgetl.commands.train import choose_options, train
from edgetl.options import (
    FittingOptions,
    HeadOptions,
    SplitOptions,
    TrainOptions,
    check_options,
    encode_toml,
    list_differences,
    read_config,
)
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import list_options

# For each option what follows the flag, and the same as a line of TOML.
BOTH_WAYS: dict[str, tuple[str, str]] = {
    "backbone": ("resnet50", 'backbone = "resnet50"'),
    "size_px": ("96", "size_px = 96"),
    "weights": ("none", 'weights = "none"'),
    "fit": ("crop", 'fit = "crop"'),
    "seed": ("7", "seed = 7"),
    "finetune": ("3", "finetune = 3"),
    "augment": ("camera,hue=10", 'augment = "camera,hue=10"'),
    "views": ("4", "views = 4"),
    "teacher": ("vgg16", 'teacher = "vgg16"'),
    "unlabelled": ("frames", 'teacher = "vgg16"\nunlabelled = "frames"'),
    "split.val_fraction": ("0.3", "[split]\nval_fraction = 0.3"),
    "split.test_fraction": ("0.1", "[split]\ntest_fraction = 0.1"),
    "head.kind": ("mlp", '[head]\nkind = "mlp"'),
    "head.hidden": ("64,32", '[head]\nkind = "mlp"\nhidden = [64, 32]'),
    "head.activation": ("tanh", '[head]\nkind = "mlp"\nactivation = "tanh"'),
    "head.dropout": ("0.5", "[head]\ndropout = 0.5"),
    "head.batch_norm": ("", '[head]\nkind = "mlp"\nbatch_norm = true'),
    "head.output": ("sigmoid", '[head]\noutput = "sigmoid"'),
    "training.epochs": ("5", "[training]\nepochs = 5"),
    "training.finetune_epochs": ("6", "[training]\nfinetune_epochs = 6"),
    "training.batch": ("16", "[training]\nbatch = 16"),
    "training.optimizer": ("rmsprop", '[training]\noptimizer = "rmsprop"'),
    "training.learning_rate": ("1e-3", "[training]\nlearning_rate = 1e-3"),
    "training.finetune_learning_rate": ("1e-4", "[training]\nfinetune_learning_rate = 1e-4"),
    "training.momentum": ("0.8", '[training]\noptimizer = "sgd"\nmomentum = 0.8'),
    "training.schedule": ("step", '[training]\nschedule = "step"'),
    "training.warmup": ("0.2", "[training]\nwarmup = 0.2"),
    "training.weight_decay": ("0.01", '[training]\noptimizer = "sgd"\nweight_decay = 0.01'),
    "training.l1": ("0.1", "[training]\nl1 = 0.1"),
    "training.l2": ("0.1", "[training]\nl2 = 0.1"),
    "training.label_smoothing": ("0.1", "[training]\nlabel_smoothing = 0.1"),
    "training.class_weights": ("balanced", '[training]\nclass_weights = "balanced"'),
    "training.patience": ("3", "[training]\npatience = 3"),
    "training.monitor": ("accuracy", '[training]\nmonitor = "accuracy"'),
    "training.teacher_weight": ("0.5", 'teacher = "vgg16"\n[training]\nteacher_weight = 0.5'),
    "training.teacher_temperature": (
        "3",
        'teacher = "vgg16"\n[training]\nteacher_temperature = 3',
    ),
}
# What some of them cannot be without.
ALSO = {
    "head.hidden": ["--head", "mlp"],
    "head.activation": ["--head", "mlp"],
    "head.batch_norm": ["--head", "mlp"],
    "training.momentum": ["--optimizer", "sgd"],
    "training.weight_decay": ["--optimizer", "sgd"],
    "unlabelled": ["--teacher", "vgg16"],
    "training.teacher_weight": ["--teacher", "vgg16"],
    "training.teacher_temperature": ["--teacher", "vgg16"],
}
OPTIONS = list_options(TrainOptions)
Complain = Callable[..., tuple[int, str]]


@pytest.fixture
def complain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Complain:
    """Runs `edgetl train` with flags and a TOML file; returns the exit code and the complaint."""

    def run(*flags: object, toml: str | None = None) -> tuple[int, str]:
        config: list[object] = []
        if toml is not None:
            (tmp_path / "my.toml").write_text(toml)
            config = ["--config", "my.toml"]
        command = ["edgetl", "train", "no photos", "--out", "run", *config, *flags]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed, complaint = capfd.readouterr()
        assert printed == ""
        assert "Traceback" not in complaint
        assert "no photos" not in complaint, "the options were accepted"
        return int(str(caught.value.code)), complaint.splitlines()[0]

    return run


def parse(*flags: str) -> TrainOptions:
    """What the command makes of flags."""
    return choose_options(None, read_flags(*flags))


def read_flags(*flags: str) -> dict[str, Any]:
    parameters = train.make_context("train", [*flags]).params
    known = {path.replace(".", "__") for path in OPTIONS}
    return collect_flags({name: parameters[name] for name in parameters if name in known})


def read(text: str, folder: Path) -> TrainOptions:
    (folder / "my.toml").write_text(text)
    return read_config(folder / "my.toml")


def test_each_option_has_a_flag_and_each_flag_an_option() -> None:
    assert set(OPTIONS) == set(BOTH_WAYS)
    parameters = {path.replace(".", "__") for path in OPTIONS}
    others = {"data", "out", "config", "resume", "tensorboard", "overwrite", "as_json"}
    others |= {"board", "budget_ms", "find_lr"}
    known = train.get_params(train.make_context("train", []))
    # The last one is click's own --help.
    assert {parameter.name for parameter in known[:-1]} == parameters | others


def test_a_flag_is_named_after_its_option() -> None:
    shorter = {"size_px": "--size", "head.kind": "--head"}
    for path, option in OPTIONS.items():
        plain = "--" + option.name.replace("_", "-")
        assert option.flag == shorter.get(path, plain)


def test_the_help_lists_each_flag_once_in_its_section() -> None:
    text = train.get_help(train.make_context("train", [], max_content_width=100))
    heads = re.findall(r"^([\w ]+):$", text, re.MULTILINE)
    titles = {"Network and photos": "", "Split": "split", "Head": "head", "Training": "training"}
    assert heads == ["Options", *titles]
    for title, section in titles.items():
        lines = text.split(f"\n{title}:\n")[1].split("\n\n")[0]
        named = re.findall(r"^  (--[\w-]+)", lines, re.MULTILINE)
        assert named == [one.flag for one in OPTIONS.values() if one.section == section]
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_gives_each_default_as_it_is() -> None:
    text = " ".join(train.get_help(train.make_context("train", [])).split())
    for option in OPTIONS.values():
        meaning = " ".join(option.help.split())
        assert meaning.replace("cross-validation", "cross- validation") in text or meaning in text
        has_default = option.default not in (None, (), False, "")
        assert (
            f"(default: {option.default}" in option.help
            or not has_default
            or (f"(default: {option.default:g})" in option.help)
        )


def test_the_help_takes_little_longer_than_what_it_cannot_do_without() -> None:
    def cpu_s(*arguments: str) -> float:
        """Of the processor, so that a busy machine does not count; the lesser of two."""
        spent = []
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(spent)

    # About three times is usual; TensorFlow would make it a hundred.
    help_s = cpu_s("-m", "edgetl.cli", "train", "--help")
    assert help_s < 8 * cpu_s("-c", "import click, msgspec")


def test_the_help_loads_nothing_that_computes() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "edgetl.cli", "train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines())
    loaded = {name.partition(".")[0] for name in names}
    assert {"click", "msgspec", "edgetl"} <= loaded
    assert not loaded & {"numpy", "cv2", "keras", "tensorflow", "onnx", "PIL", "ai_edge_litert"}


@pytest.mark.parametrize("place", BOTH_WAYS)
def test_a_flag_says_the_same_as_a_line_of_toml(place: str, tmp_path: Path) -> None:
    text, toml = BOTH_WAYS[place]
    flags = parse(*ALSO.get(place, []), OPTIONS[place].flag, *([text] if text else []))
    assert flags == read(toml, tmp_path)
    assert flags != TrainOptions()


@pytest.mark.parametrize(
    "options",
    [
        TrainOptions(),
        TrainOptions(backbone="cnn", weights="none", size_px=64),
        TrainOptions(finetune=2, views=3, augment="camera,hue=10.5,mixup=0.2"),
        TrainOptions(augment=PRESETS["heavy"]),
        TrainOptions(head=HeadOptions("mlp", (64, 32), "gelu", 0.5, True)),
        TrainOptions(
            split=SplitOptions(0.25, 0.1),
            training=FittingOptions(optimizer="sgd", momentum=0.0, l2=1e-7, patience=3),
        ),
    ],
)
def test_a_stored_file_gives_the_same_options(options: TrainOptions, tmp_path: Path) -> None:
    again = read(encode_toml(options).decode(), tmp_path)
    assert again.augmentation == options.augmentation
    assert msgspec.structs.replace(again, augment=options.augment) == options


def test_strengths_may_be_a_table(tmp_path: Path) -> None:
    table = read("[augment]\nrotation = 15\nblur = 1.5", tmp_path)
    text = read('augment = "rotation=15,blur=1.5"', tmp_path)
    assert table.augmentation == text.augmentation
    assert check_options(table) is None


@pytest.mark.parametrize(
    ("flags", "toml", "place", "value"),
    [
        (["--epochs", "5"], "[training]\nepochs = 9\nl1 = 0.5", "training.epochs", 5),
        (["--no-batch-norm"], '[head]\nkind = "mlp"\nbatch_norm = true', "head.batch_norm", False),
        (["--finetune", "none"], "finetune = 3", "finetune", "none"),
        (["--seed", "1"], 'backbone = "resnet50"', "seed", 1),
        ([], "seed = 4", "seed", 4),
    ],
)
def test_flags_win_over_the_file_and_the_rest_of_it_stays(
    flags: list[str], toml: str, place: str, value: object, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text(toml)
    options = choose_options(tmp_path / "my.toml", read_flags(*flags))
    expected = msgspec.to_builtins(read(toml, tmp_path))
    table, _, name = place.rpartition(".")
    (expected[table] if table else expected)[name] = value
    assert msgspec.to_builtins(options) == expected


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--epochs 0", "--epochs: expected a whole number from 1 to 1,000,000, found '0'"),
        ("--epochs many", "--epochs: expected a whole number from 1 to 1,000,000, found 'many'"),
        ("--epochs 2.5", "--epochs: expected a whole number from 1 to 1,000,000, found '2.5'"),
        ("--seed -1", "--seed: expected a whole number from 0 to 2,147,483,647, found '-1'"),
        ("--seed 99999999999999999999", "--seed: expected a whole number from 0 to 2,147,483,647"),
        ("--size 16", "--size: expected a whole number from 32 to 1,024, found '16'"),
        ("--val-fraction 1", "--val-fraction: expected a number above 0 and below 1, found '1'"),
        ("--dropout 1.5", "--dropout: expected a number from 0 to below 1, found '1.5'"),
        ("--dropout nan", "--dropout: expected a number from 0 to below 1, found 'nan'"),
        ("--learning-rate inf", "--learning-rate: expected a number above 0, found 'inf'"),
        ("--l2 -1", "--l2: expected a number from 0, found '-1'"),
        ("--views 65", "--views: expected a whole number from 0 to 64, found '65'"),
        ("--head rnn", "--head: expected one of: linear, mlp, found 'rnn'"),
        (
            "--optimizer sgdd",
            "--optimizer: expected one of: adam, adamw, sgd, rmsprop, found 'sgdd'; "
            "did you mean sgd?",
        ),
        (
            "--finetune al",
            "--finetune: expected a whole number from 1 or one of: none, auto, all, found 'al'; "
            "did you mean all?",
        ),
        ("--finetune 0", "--finetune: expected a whole number from 1 or one of: none, auto, all"),
        ("--head mlp --hidden 25x,8", "--hidden: expected a list, each a whole number from 1 to"),
        ("--head mlp --hidden 9999999", "--hidden: expected a list, each a whole number from 1"),
        ("--augment lihgt", "--augment: unknown name 'lihgt'; did you mean light?"),
        ("--augment rotation=300", "--augment: rotation must be 0..180 (degrees, +-), got 300"),
        ("--backbone resnet", "--backbone: unknown backbone 'resnet'; did you mean resnet50?"),
        ("--hiden 64", "No such option '--hiden'"),
    ],
)
def test_a_wrong_flag_is_usage_and_says_what_is_allowed(
    flags: str, complaint: str, complain: Complain
) -> None:
    code, said = complain(*flags.split())
    assert code == 2
    assert said.startswith(f"edgetl train: {complaint}")


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[head]\nhiden = [3]", "line 2: head.hiden is unknown; did you mean head.hidden?"),
        ("[trainig]\nepochs = 1", "line 1: [trainig] is unknown; did you mean [training]?"),
        ("epochs = 3", "line 1: epochs is unknown; did you mean epochs in [training]?"),
        ("size = 96", "line 1: size is unknown; did you mean size_px?"),
        (
            "label-smoothing = 0.1",
            "line 1: label-smoothing is unknown; did you mean label_smoothing in [training]?",
        ),
        (
            "nonsense = 1",
            "line 1: nonsense is unknown; expected one of: backbone, size_px, weights, fit",
        ),
        ("[head]\nseed = 1", "line 2: head.seed is unknown; seed belongs to the top of the file"),
        (
            "[augment]\nrotatoin = 3",
            "line 1: augment.rotatoin is unknown; did you mean augment.rotation?",
        ),
        (
            "[augment]\nhorizontal-flip = 1",
            "line 1: augment.horizontal-flip is unknown; did you mean augment.horizontal_flip?",
        ),
        (
            "[training]\nepochs = 0",
            "line 2: training.epochs: expected a whole number from 1 to 1,000,000, found 0",
        ),
        ("[training]\nepochs = true", "line 2: training.epochs: expected a whole number from 1 to"),
        ('[training]\nepochs = "5"', "line 2: training.epochs: expected a whole number from 1 to"),
        ("[training]\nl1 = nan", "line 2: training.l1: expected a number from 0, found nan"),
        ("[head]\nhidden = 3", "line 2: head.hidden: expected a list, each a whole number from 1"),
        ('head = "mlp"', "line 1: head: expected a table [head], found 'mlp'"),
        ('fit = "scale"', "line 1: fit: expected one of: stretch, crop, pad, found 'scale'"),
        ('fit = ""', "line 1: fit: expected one of: stretch, crop, pad, found ''"),
        ("seed = 2025-01-01", "line 1: seed: expected a whole number from 0 to 2,147,483,647"),
        ("weights = 3", "line 1: weights: expected text, found 3"),
        ("backbone = 3", "line 1: backbone: expected text, found 3"),
        (
            'backbone = "resnet"',
            "line 1: backbone: unknown backbone 'resnet'; did you mean resne",
        ),
        ("augment = 3", "line 1: augment: expected text or a table, found 3"),
        (
            "[augment]\nrotation = -3",
            "line 1: augment.rotation: expected a number from 0 to 180, found -3",
        ),
        (
            "[augment]\nrotation = true",
            "line 1: augment.rotation: expected a number from 0 to 180, found true",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(
    toml: str, complaint: str, complain: Complain
) -> None:
    code, said = complain(toml=toml)
    assert code == 1
    assert said.startswith(f"edgetl: my.toml, {complaint}")


@pytest.mark.parametrize(
    ("flags", "one", "other", "allowed"),
    [
        ("--weights none --finetune 2", "--weights none", "--finetune 2", "finetune all"),
        ("--weights none --finetune none", "--weights none", "--finetune none", "finetune all"),
        ("--finetune 99", "--finetune 99", "--backbone efficientnet_lite0 (the d", "1 to 16, all"),
        ("--backbone cnn", "--backbone cnn", "--weights imagenet (the default)", "weights none"),
        ("--size 64 --backbone inception_v3", "--size 64", "--backbone inception_v3", "75 to 1024"),
        ("--augment cutmix=1", "--augment cutmix=1", "--finetune auto (the d", "finetune all"),
        ("--hidden 64", "--hidden 64", "--head linear (the default)", "head mlp"),
        ("--activation tanh", "--activation tanh", "--head linear (the default)", "head mlp"),
        ("--batch-norm --head linear", "--batch-norm", "--head linear", "head mlp"),
        ("--momentum 0.9", "--momentum 0.9", "--optimizer adam (the default)", "sgd, rmsprop"),
        ("--weight-decay 0.1", "--weight-decay 0.1", "--optimizer adam (the default)", "l2"),
        ("--warmup 0.1 --schedule step", "--warmup 0.1", "--schedule step", "schedule cosine"),
        (
            "--finetune none --finetune-epochs 3",
            *("--finetune-epochs 3", "--finetune none", "finetune auto, a number or all"),
        ),
        (
            "--finetune none --finetune-learning-rate 1e-4",
            *("--finetune-learning-rate 0.0001", "--finetune none", "finetune auto"),
        ),
        (
            "--weights none --backbone cnn --finetune-epochs 3",
            *("--finetune-epochs 3", "--weights none", "epochs"),
        ),
        ("--views 2 --finetune all", "--views 2", "--finetune all", "no views"),
        ("--views 2 --weights none", "--views 2", "--weights none", "no views"),
        ("--views 2 --augment none", "--views 2", "--augment none", "allowed: 0"),
        ("--views 0", "--views 0", "--augment light (the default)", "views 1 to 64"),
        (
            "--val-fraction 0.6 --test-fraction 0.4",
            *("--val-fraction 0.6", "--test-fraction 0.4", "below 1"),
        ),
    ],
)
def test_a_contradiction_names_both_options_and_what_is_allowed(
    flags: str, one: str, other: str, allowed: str, complain: Complain
) -> None:
    code, complaint = complain(*flags.split())
    assert code == 2
    assert complaint.startswith("edgetl train: ")
    for part in (one, other, allowed):
        assert part in complaint


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ("--weights none --finetune all", TrainOptions(weights="none", finetune="all")),
        (
            "--weights none --augment light,cutmix=1",
            TrainOptions(weights="none", augment="light,cutmix=1"),
        ),
        ("--finetune all --augment cutmix=1", TrainOptions(finetune="all", augment="cutmix=1")),
        ("--finetune 16", TrainOptions(finetune=16)),
        ("--finetune none --views 0", TrainOptions(finetune="none", views=0)),
        ("--augment none", TrainOptions(augment="none")),
        (
            "--augment none --finetune 2 --views 0",
            TrainOptions(augment="none", finetune=2, views=0),
        ),
        (
            "--optimizer sgd --momentum 0.9 --weight-decay 1e-4",
            TrainOptions(training=FittingOptions(optimizer="sgd", momentum=0.9, weight_decay=1e-4)),
        ),
        (
            "--head mlp --hidden 64 --batch-norm",
            TrainOptions(head=HeadOptions(kind="mlp", hidden=(64,), batch_norm=True)),
        ),
        (
            "--schedule step --patience 3 --monitor accuracy",
            TrainOptions(training=FittingOptions(schedule="step", patience=3, monitor="accuracy")),
        ),
    ],
)
def test_what_goes_together_is_taken_as_given(flags: str, options: TrainOptions) -> None:
    assert parse(*flags.split()) == options


def test_a_contradiction_between_file_and_flag_names_each_as_it_was_written(
    complain: Complain,
) -> None:
    toml = '[training]\nmomentum = 0.9\noptimizer = "sgd"'
    code, complaint = complain("--optimizer", "adamw", toml=toml)
    assert code == 2
    assert complaint.startswith(
        "edgetl train: training.momentum = 0.9 (my.toml, line 2) cannot be combined with "
        "--optimizer adamw; allowed"
    )


def test_a_contradiction_within_a_file_is_not_usage(complain: Complain) -> None:
    code, complaint = complain(toml='[training]\nmomentum = 0.9\noptimizer = "adamw"')
    assert code == 1
    assert "training.optimizer = 'adamw' (my.toml, line 3)" in complaint


def test_a_flag_may_mend_a_contradiction_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[training]\nmomentum = 0.9")
    options = choose_options(tmp_path / "my.toml", {"training": {"optimizer": "sgd"}})
    assert (options.training.optimizer, options.training.momentum) == ("sgd", 0.9)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"= 3", " is not valid TOML: Invalid statement (at line 1"),
        (b"\xff\xfe", ", line 1 is not UTF-8"),
        (None, " does not exist"),
    ],
)
def test_what_is_no_toml_is_named(content: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionsError, match=re.escape(f"{file}{why}")):
        read_config(file)


def test_a_file_that_never_ends_is_no_list_of_options(wording: str) -> None:
    with pytest.raises(OptionsError, match=wording):
        read_config(Path("/dev/zero"))


def test_a_file_may_begin_with_a_byte_order_mark_and_have_lines_of_windows(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_bytes(b"\xef\xbb\xbfviews = 3\r\nseed = 5\r\n")
    assert read_config(tmp_path / "my.toml") == TrainOptions(views=3, seed=5)


def test_a_run_given_as_config_is_pointed_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(encode_toml(TrainOptions()))
    with pytest.raises(OptionsError, match=rf"did you mean {tmp_path}/config\.toml\?"):
        read_config(tmp_path)
    assert read_config(tmp_path / "config.toml") == TrainOptions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TrainOptions(finetune="al"), "finetune: expected a whole number from 1 or one of: none"),
        (TrainOptions(seed=-1), "seed: expected a whole number from 0 to 2,147,483,647, found -1"),
        (
            TrainOptions(augment="rotate=1"),
            "augment: unknown name 'rotate'; did you mean rotation?",
        ),
        (
            TrainOptions(head=HeadOptions(hidden=(8,))),
            "head.hidden = [8] cannot be combined with head.kind",
        ),
        (TrainOptions(training=FittingOptions(epochs=0)), "training.epochs: expected a whole"),
    ],
)
def test_options_made_in_python_are_checked_too(options: TrainOptions, message: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(message)):
        check_options(options)


def test_differences_are_named_by_their_path() -> None:
    one = msgspec.to_builtins(TrainOptions(seed=1, training=FittingOptions(epochs=5)))
    other = msgspec.to_builtins(TrainOptions(training=FittingOptions(epochs=8)))
    assert list_differences(one, other) == ["seed: 1, before 0", "training.epochs: 5, before 8"]
    assert list_differences(one, one) == []
