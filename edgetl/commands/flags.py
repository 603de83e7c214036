"""The flags of `edgetl train`, one for each field of the options, and their help in sections."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

Function = Callable[..., Any]
# From an option's place, and its value if wanted, to how the user wrote it.
Spell = Callable[..., str]
_SWITCH = "SWITCH"


class Flag(NamedTuple):
    """A flag for one field.

    Attributes:
        name: As the user writes it.
        place: Of the field in the options: `seed`, `head.kind`.
        metavar: What follows: `N` and `X`: a number, `N,N`: several, else text.
        help: With the default in brackets.
    """

    name: str
    place: str
    metavar: str
    help: str


# Words and ranges are checked where those of the TOML file are, in `edgetl.options`.
_DATA = (
    Flag(
        "--val-fraction",
        "split.val_fraction",
        "X",
        "Fraction of the photos for validation.  [0.2]",
    ),
    Flag("--test-fraction", "split.test_fraction", "X", "Fraction of the photos for testing.  [0]"),
    Flag("--fit", "fit", "WORD", "How a photo becomes square: stretch, crop or pad.  [stretch]"),
    Flag(
        "--augment",
        "augment",
        "TEXT",
        "Augmentation: none, light, camera, heavy, or rotation=15,blur=1.  [light]",
    ),
    Flag("--views", "views", "N", "Augmented views per photo.  [1 for the head, 8 for blocks]"),
    Flag("--seed", "seed", "N", "Random seed.  [0]"),
)
_MODEL = (
    Flag(
        "--backbone",
        "backbone",
        "NAME",
        "Network; `edgetl backbones` lists them.  [mobilenet_v2_0.35]",
    ),
    Flag("--size", "size_px", "N", "Input size in pixels.  [the backbone's own]"),
    Flag(
        "--weights",
        "weights",
        "NAME",
        "Initial weights: imagenet, none (train from scratch) or FILE.  [imagenet]",
    ),
    Flag(
        "--finetune",
        "finetune",
        "N|WORD",
        "Blocks to fine-tune: the top N, none, all or auto.  [auto]",
    ),
)
_HEAD = (
    Flag("--head", "head.kind", "WORD", "Head: linear or mlp.  [linear]"),
    Flag(
        "--hidden",
        "head.hidden",
        "N,N",
        "Units of the hidden layers of an mlp, such as 256,64.  [128]",
    ),
    Flag(
        "--activation",
        "head.activation",
        "WORD",
        "Activation of an mlp: relu, tanh, gelu, swish or sigmoid.  [relu]",
    ),
    Flag(
        "--batch-norm",
        "head.batch_norm",
        _SWITCH,
        "Batch normalization after each hidden layer of an mlp.  [off]",
    ),
    Flag("--dropout", "head.dropout", "X", "Dropout rate, on the features and hidden layers.  [0]"),
    Flag(
        "--output",
        "head.output",
        "WORD",
        "Output activation: softmax, or sigmoid for two classes.  [softmax]",
    ),
)
_TRAINING = (
    Flag(
        "--epochs",
        "training.epochs",
        "N",
        "Epochs of the first stage.  [head: until it converges; from scratch: 20]",
    ),
    Flag("--finetune-epochs", "training.finetune_epochs", "N", "Epochs of fine-tuning.  [12]"),
    Flag("--batch", "training.batch", "N", "Batch size.  [256 for the head, else 32]"),
    Flag(
        "--optimizer",
        "training.optimizer",
        "WORD",
        "Optimizer: adam, adamw, sgd or rmsprop.  [adam]",
    ),
    Flag(
        "--learning-rate", "training.learning_rate", "X", "Peak learning rate of the first stage."
    ),
    Flag(
        "--finetune-learning-rate",
        "training.finetune_learning_rate",
        "X",
        "Peak learning rate of fine-tuning.",
    ),
    Flag("--momentum", "training.momentum", "X", "Momentum of sgd and rmsprop.  [0.9]"),
    Flag(
        "--schedule",
        "training.schedule",
        "WORD",
        "Learning rate schedule: cosine, step or constant.  [cosine]",
    ),
    Flag("--warmup", "training.warmup", "X", "Fraction of the steps for linear warmup."),
    Flag(
        "--weight-decay", "training.weight_decay", "X", "Decoupled weight decay of adamw and sgd."
    ),
    Flag("--l1", "training.l1", "X", "L1 regularization of the head.  [0]"),
    Flag("--l2", "training.l2", "X", "L2 regularization of the head.  [by cross-validation]"),
    Flag("--label-smoothing", "training.label_smoothing", "X", "Label smoothing, 0 to 1."),
    Flag(
        "--class-weights",
        "training.class_weights",
        "WORD",
        "Class weights: none, or balanced by frequency.  [none]",
    ),
    Flag(
        "--patience", "training.patience", "N", "Early stopping: epochs without improvement.  [off]"
    ),
    Flag(
        "--monitor",
        "training.monitor",
        "WORD",
        "Metric to improve: calibrated (loss), loss or accuracy.  [calibrated]",
    ),
)
SECTIONS = {"Data": _DATA, "Model": _MODEL, "Head": _HEAD, "Training": _TRAINING}
FLAGS = {flag.place: flag for section in SECTIONS.values() for flag in section}


class SectionedCommand(click.Command):
    """A command whose help has a section for each kind of option."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections, what belongs to none first."""
        titles = {_parameter(flag): title for title in SECTIONS for flag in SECTIONS[title]}
        sections: dict[str, list[tuple[str, str]]] = {"Run": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and not isinstance(parameter, click.Argument):
                title = titles.get(parameter.name or "", "Run")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def add_flags(function: Function) -> Function:
    """Gives a command a parameter for each flag; None: not given."""
    for flag in reversed(FLAGS.values()):
        if flag.metavar == _SWITCH:
            both = f"{flag.name}/--no-{flag.name[2:]}"
            add = click.option(both, _parameter(flag), default=None, help=flag.help)
        else:
            add = click.option(flag.name, _parameter(flag), metavar=flag.metavar, help=flag.help)
        function = add(function)
    return function


def read_flags(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Place -> value, as a TOML file has it, of the flags that were given."""
    return {
        place: _read(parameters[_parameter(flag)], flag.metavar)
        for place, flag in FLAGS.items()
        if parameters[_parameter(flag)] is not None
    }


def spell_flag(place: str, value: Any = None) -> str:
    """An option as on the command line: `--dropout 0.5`."""
    name = FLAGS[place].name
    if value is None or value is True:
        return name
    if value is False:
        return f"--no-{name[2:]}"
    words = value if isinstance(value, list | tuple) else [value]
    text = ",".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)
    return f"{name} {text or repr(text)}"


def spell_in(file: Path) -> Spell:
    """The spelling of options in a TOML file: `$.head.dropout = 0.5 in my.toml`."""
    from edgetl.validation import spell_key

    return lambda place, value=None: f"$.{spell_key(place, value)} in {file}"


def spell_both(file: Path, content: Mapping[str, Any], flags: Mapping[str, Any]) -> Spell:
    """The spelling of options that come from a file or from flags, which win.

    Args:
        file: The TOML file.
        content: What it holds.
        flags: By place.
    """
    from_file = set(_flatten(content)) - set(flags)
    in_file = spell_in(file)

    def spell(place: str, value: Any = None) -> str:
        return in_file(place, value) if place in from_file else spell_flag(place, value)

    return spell


def _flatten(content: Mapping[str, Any], table: str = "") -> Iterator[str]:
    for name, value in content.items():
        place = f"{table}{name}"
        if place in FLAGS or not isinstance(value, Mapping):
            yield place
        else:
            yield from _flatten(value, f"{place}.")


def _parameter(flag: Flag) -> str:
    return flag.place.replace(".", "__")


def _read(value: Any, metavar: str) -> Any:
    if metavar == "N,N":
        return [_read_number(part.strip()) for part in value.split(",")]
    return _read_number(value) if metavar in ("N", "X", "N|WORD") else value


def _read_number(text: str) -> int | float | str:
    """The number that a TOML file would have, or the text, which is refused later."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
