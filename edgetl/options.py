"""What `edgetl train` lets the user choose: by flags, in a TOML file, or both.

Each field has one name everywhere: `--label-smoothing` is `label_smoothing` in the section
`[training]` of the file and in `run.json`.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgetl.augmentation import Augmentation, describe, parse_augmentation
from edgetl.backbones import Backbone, find_backbone
from edgetl_runtime.errors import OptionsError

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Finetune = Literal["none", "auto", "all"] | Annotated[int, msgspec.Meta(ge=1)]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Schedule = Literal["cosine", "step", "constant"]


class SplitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which photos are for what, where the folders do not say.

    Attributes:
        val_fraction: Share of photos for validation.
        test_fraction: Share of photos for testing.
    """

    val_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    test_fraction: Share = 0.0


class HeadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The classifier on top of the features.

    Attributes:
        kind: `linear`, or `mlp`: a multi-layer perceptron.
        hidden: Units of each hidden layer of an mlp.
        activation: Of the hidden layers.
        dropout: Share of features, and of hidden units, left out in each training step.
        batch_norm: Batch normalization after each hidden layer.
        output: `softmax`, or `sigmoid` for two classes: one unit that says how likely the
            second class is. The exported file has two scores either way.
    """

    kind: Literal["linear", "mlp"] = "linear"
    hidden: tuple[Count, ...] = ()
    activation: Literal["relu", "tanh", "gelu", "swish", "sigmoid"] = "relu"
    dropout: Share = 0.0
    batch_norm: bool = False
    output: Literal["softmax", "sigmoid"] = "softmax"


class TrainingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are found. None: a default that suits the stage.

    Attributes:
        epochs: Of the head, or of a network from random weights.
        finetune_epochs: Of the top blocks, or of the whole pretrained network.
        batch: Photos a step.
        optimizer: Rule of the steps.
        learning_rate: Highest rate of the first stage.
        finetune_learning_rate: Highest rate of the second.
        momentum: Of sgd and rmsprop.
        schedule: `cosine`: down to 0; `step`: a tenth after each third; `constant`.
        warmup: Share of the steps in which the rate grows from 0.
        weight_decay: Decoupled, of adamw and sgd (Loshchilov and Hutter 2019), each step.
        l1: Strength of the L1 penalty on the head's kernels.
        l2: Strength of the L2 penalty; None: chosen by cross-validation (linear head).
        label_smoothing: Share of each target spread over all classes.
        class_weights: `balanced`: a photo counts by the inverse of its class's share.
        patience: Stop after so many epochs without improvement; 0: never.
        monitor: What improves: the validation `loss` or `accuracy`.
    """

    epochs: Count | None = None
    finetune_epochs: Count | None = None
    batch: Count | None = None
    optimizer: Optimizer = "adam"
    learning_rate: Positive | None = None
    finetune_learning_rate: Positive | None = None
    momentum: Share | None = None
    schedule: Schedule = "cosine"
    warmup: Share | None = None
    weight_decay: NotNegative | None = None
    l1: NotNegative = 0.0
    l2: NotNegative | None = None
    label_smoothing: Share | None = None
    class_weights: Literal["none", "balanced"] = "none"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    monitor: Literal["loss", "accuracy"] = "loss"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what a run becomes, besides the photos.

    Attributes:
        backbone: A name of the table.
        size_px: Side of the input; None: the backbone's own.
        weights: `imagenet`, `none` or a file.
        fit: How a photo of another aspect ratio becomes a square.
        seed: Of split, folds, views, order and initial weights.
        finetune: `none`: the head alone; N: the top N blocks, too; `all`: everything; `auto`:
            the backbone's usual number of blocks, kept where validation gets better by it.
        augment: A preset, names and strengths, or both; in a file also a table.
        views: Augmented views of each training photo that are computed and kept; None: 1 for
            the head, 8 for blocks.
        split: Which photos are for what.
        head: The classifier.
        training: How the weights are found.
    """

    backbone: str = "mobilenet_v2_0.35"
    size_px: Annotated[int, msgspec.Meta(ge=32, le=1024)] | None = None
    weights: str = "imagenet"
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    finetune: Finetune = "auto"
    augment: str | Augmentation = "light"
    views: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    split: SplitOptions = SplitOptions()
    head: HeadOptions = HeadOptions()
    training: TrainingOptions = TrainingOptions()

    @property
    def augmentation(self) -> Augmentation:
        """The strengths that `augment` names."""
        if isinstance(self.augment, Augmentation):
            return self.augment
        return parse_augmentation(self.augment)


def read_config(path: Path) -> dict[str, Any]:
    """Reads a TOML file of options.

    Raises:
        OptionsError: If it is no TOML, or names an option that does not exist.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionsError(f"{path} cannot be read as TOML: {error}") from error
    make_options(content, source=str(path))
    return content


def make_options(content: dict[str, Any], *, source: str) -> Options:
    """Turns nested plain values into options.

    Args:
        content: As a TOML file has it.
        source: Where they come from, for the message.

    Raises:
        OptionsError: If a name or a value is not allowed; it names the place.
    """
    try:
        options = msgspec.convert(content, Options, str_keys=True)
    except msgspec.ValidationError as error:
        reason = str(error)
        raise OptionsError(f"{source}: {reason}; {_allowed(reason)}") from error
    check_options(options, source=source)
    return options


def check_options(options: Options, *, source: str = "options") -> None:
    """Refuses options that contradict one another.

    Raises:
        OptionsError: Naming both, and what is allowed.
    """
    backbone = find_backbone(options.backbone)
    for complaint in _contradictions(options, backbone):
        if complaint:
            raise OptionsError(f"{source}: {complaint}")


def _contradictions(options: Options, backbone: Backbone) -> list[str]:
    found = [_finetune_fault(options, backbone), _head_fault(options.head)]
    found.append(_training_fault(options.training))
    augmentation = options.augmentation
    if augmentation.cutmix and options.finetune != "all" and options.weights != "none":
        found.append(
            f"cutmix pastes pixels, and finetune = {options.finetune} trains on computed features; "
            "allowed with finetune = all, or with weights = none (mixup goes with all)"
        )
    if options.views == 0 and options.finetune not in ("none", "all"):
        found.append(
            "views = 0 leaves nothing to fine-tune on but the photos themselves; allowed are 1 to "
            "64, or finetune = none"
        )
    return found


def _finetune_fault(options: Options, backbone: Backbone) -> str:
    most = len(backbone.cuts)
    if isinstance(options.finetune, int) and options.finetune > most:
        return (
            f"finetune = {options.finetune}, but {backbone.name} has {most} blocks above its stem; "
            f"allowed are none, auto, 1 to {most}, and all"
        )
    if options.weights == "none" and options.finetune not in ("auto", "all"):
        return (
            f"weights = none trains the whole network, finetune = {options.finetune} does not; "
            "allowed are finetune = all, or weights = imagenet or a file"
        )
    return ""


def _head_fault(head: HeadOptions) -> str:
    plain = HeadOptions(kind=head.kind, dropout=head.dropout, output=head.output)
    if head.kind == "linear" and head != plain:
        return (
            "hidden, activation and batch_norm belong to the mlp head; allowed with a linear head "
            "are dropout and output"
        )
    return ""


def _training_fault(training: TrainingOptions) -> str:
    if training.momentum is not None and training.optimizer not in ("sgd", "rmsprop"):
        return f"{training.optimizer} takes no momentum; allowed with optimizer = sgd, rmsprop"
    if training.weight_decay is not None and training.optimizer not in ("adamw", "sgd"):
        return (
            f"{training.optimizer} takes no weight_decay; allowed with optimizer = adamw, sgd (or "
            "give l2, a penalty that all optimizers take)"
        )
    return ""


def _allowed(reason: str) -> str:
    """The names of the section that a message of msgspec points to."""
    sections: dict[str, type[msgspec.Struct]] = {
        "split": SplitOptions,
        "head": HeadOptions,
        "training": TrainingOptions,
        "augment": Augmentation,
    }
    place = (
        reason.rpartition("`$")[2].rstrip("`").strip(".").split(".")[0] if "`$" in reason else ""
    )
    kind = sections.get(place, Options)
    return "allowed here are " + ", ".join(kind.__struct_fields__)


def encode_toml(options: Options) -> bytes:
    """A file that `--config` reads back as these options."""
    import tomli_w

    plain = msgspec.to_builtins(
        msgspec.structs.replace(options, augment=describe(options.augmentation))
    )
    return tomli_w.dumps(_without_none(plain)).encode()


def _without_none(content: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value is not None
    }


def list_differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Says where two nested plain values differ: `training.epochs: 5, before 8`."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [f"{path}: {one}, before {other}"]
    return [
        difference
        for name in {**other, **one}
        for difference in list_differences(
            one.get(name), other.get(name), f"{path}.{name}" if path else name
        )
    ]
