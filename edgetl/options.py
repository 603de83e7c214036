"""The options of `edgetl train`: keywords, flags, a TOML file, or all three.

Each field has one name everywhere: `--label-smoothing` is `label_smoothing` in the table
`[training]` of the file and in `run.json`. Two flags are shorter than their field: `--size` is
`size_px`, `--head` is `kind` in `[head]`.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from edgetl.augmentation.parsing import describe as describe_augmentation
from edgetl.augmentation.parsing import parse_augmentation
from edgetl.augmentation.strengths import NONE, Augmentation, digest
from edgetl.networks.backbones import DEFAULT_BACKBONE, Backbone, find_backbone
from edgetl.networks.head_options import Fraction
from edgetl.networks.head_options import HeadOptions as HeadOptions
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.choices import Choices
from edgetl_runtime.options.toml_file import describe

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Finetune = Literal["none", "auto", "all"] | Annotated[int, msgspec.Meta(ge=1)]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Schedule = Literal["cosine", "step", "constant"]
Monitor = Literal["calibrated", "loss", "accuracy"]
Spell = Callable[[str], str]


class SplitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How photos are split, if the folders do not say.

    Attributes:
        val_fraction: Fraction of the photos for validation.
        test_fraction: Fraction of the photos for testing.
    """

    val_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    test_fraction: Fraction = 0.0


class FittingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are fitted.

    Attributes:
        epochs: Epochs of the first stage (default: until the head converges; from scratch: 20).
        finetune_epochs: Epochs of fine-tuning (default: 12).
        batch: Batch size (default: 256 for the head, else 32).
        optimizer: Optimizer.
        learning_rate: Peak learning rate of the first stage (default: one that suits it).
        finetune_learning_rate: Peak learning rate of fine-tuning (default: one that suits it).
        momentum: Momentum of sgd and rmsprop (default: 0.9).
        schedule: Learning rate schedule: cosine to 0; step, to a tenth after each third; constant.
        warmup: Fraction of the steps for linear warmup (default: one that suits the stage).
        weight_decay: Decoupled weight decay of adamw and sgd, each step (Loshchilov and Hutter
            2019; default: 0.001 for adamw, none for sgd).
        l1: L1 regularization of the head's kernels.
        l2: L2 regularization (default: chosen by cross-validation for a linear head).
        label_smoothing: Label smoothing: fraction of each target that is spread over all classes
            (default: one that suits the stage).
        class_weights: Class weights: none, or balanced: inversely proportional to the number of
            photos.
        patience: Early stopping after this many epochs without improvement; 0: never.
        monitor: Validation metric to improve: calibrated (the loss at the best temperature),
            loss or accuracy.
        teacher_weight: Weight of the teacher's scores against the labels, 0 to 1.
        teacher_temperature: Temperature that evens the teacher's scores out.
    """

    epochs: Count | None = None
    finetune_epochs: Count | None = None
    batch: Count | None = None
    optimizer: Optimizer = "adam"
    learning_rate: Positive | None = None
    finetune_learning_rate: Positive | None = None
    momentum: Fraction | None = None
    schedule: Schedule = "cosine"
    warmup: Fraction | None = None
    weight_decay: NotNegative | None = None
    l1: NotNegative = 0.0
    l2: NotNegative | None = None
    label_smoothing: Fraction | None = None
    class_weights: Literal["none", "balanced"] = "none"
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    monitor: Monitor = "calibrated"
    teacher_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.7
    teacher_temperature: Positive = 2.0


def _check_backbone(name: str) -> str:
    try:
        find_backbone(name)
    except OptionsError as error:
        return str(error)
    return ""


def _check_augment(text: str | Augmentation) -> str:
    try:
        if isinstance(text, str):
            parse_augmentation(text)
    except OptionsError as error:
        return str(error).removeprefix("augmentation: ")
    return ""


class TrainOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what a run becomes, besides the photos.

    Attributes:
        backbone: Network; `edgetl backbones` lists them.
        size_px: Side of the input in pixels (default: the backbone's own).
        weights: Initial weights: imagenet, none (train from scratch) or a file.
        fit: How a photo is fitted to the square input.
        seed: Random seed of split, folds, views, order and initial weights.
        finetune: Blocks to fine-tune: the top N, none, all, or auto: the backbone's usual number,
            kept where validation improves.
        augment: Augmentation: a preset (none, light, camera, heavy), strengths such as
            rotation=15,blur=1, or both; in a file also a table.
        views: Augmented views of each training photo that are computed and kept (default: 1 for
            the head, 8 for blocks).
        teacher: Larger network to learn from beside the labels: a trained run of the same labels,
            or a backbone, which is trained first.
        unlabelled: Folder of photos without labels, such as a camera kept; the teacher names them.
        split: How photos are divided.
        head: The classifier.
        training: How the weights are fitted.
    """

    FLAGS: ClassVar = {"size_px": "size", "head.kind": "head"}
    EXAMPLES: ClassVar = {
        "size_px": 160,
        "views": 4,
        "training.epochs": 20,
        "training.finetune_epochs": 12,
        "training.batch": 32,
        "training.learning_rate": 0.001,
        "training.finetune_learning_rate": 0.0001,
        "training.momentum": 0.9,
        "training.warmup": 0.1,
        "training.weight_decay": 0.001,
        "training.l2": 0.0001,
        "training.label_smoothing": 0.1,
    }
    CHECKS: ClassVar = {"backbone": _check_backbone, "augment": _check_augment}

    backbone: str = DEFAULT_BACKBONE
    size_px: Annotated[int, msgspec.Meta(ge=32, le=1024)] | None = None
    weights: str = "imagenet"
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    finetune: Finetune = "auto"
    augment: str | Augmentation = "light"
    views: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    teacher: str = ""
    unlabelled: str = ""
    split: SplitOptions = SplitOptions()
    head: HeadOptions = HeadOptions()
    training: FittingOptions = FittingOptions()

    @property
    def augmentation(self) -> Augmentation:
        """The strengths that `augment` names."""
        if isinstance(self.augment, Augmentation):
            return self.augment
        return parse_augmentation(self.augment)

    @property
    def changes_photos(self) -> bool:
        """False if `augment` leaves photos as they are, so that views would be copies."""
        return digest(self.augmentation) != digest(NONE)


def read_config(path: Path) -> TrainOptions:
    """Reads a TOML file of options.

    Raises:
        OptionsError: If it cannot be read, has a name or a value that is not allowed, or two
            contradict each other.
    """
    choices = Choices(TrainOptions)
    choices.add_file(path)
    return make_options(choices)


def choose_options(options: TrainOptions | None, keywords: Mapping[str, Any]) -> TrainOptions:
    """Options with some replaced, each by the name of its flag: `size`, `head`, `val_fraction`.

    Args:
        options: What is not replaced; None: the defaults.
        keywords: Values by name. A whole table may be given, too: `split=SplitOptions(...)`.

    Raises:
        OptionsError: If a name is unknown, a value not allowed, or two contradict each other.
    """
    if options is not None:
        check_options(options)
    choices = Choices(TrainOptions, options, style="keyword")
    choices.add_keywords(keywords)
    return make_options(choices)


def check_options(options: TrainOptions) -> None:
    """Refuses options, made in Python, that a file or flags could not say.

    Raises:
        OptionsError: With the option, or with both of two that contradict each other.
    """
    choices = Choices(TrainOptions)
    choices.add_tables(msgspec.to_builtins(options))
    make_options(choices)


def make_options(choices: Choices[TrainOptions]) -> TrainOptions:
    """Builds the chosen options.

    Raises:
        OptionsError: If two options contradict each other.
    """
    options = choices.make()
    _check_contradictions(options, choices)
    return options


class _Clash(msgspec.Struct, frozen=True):
    """An option that means nothing beside certain values of another."""

    path: str
    other: str
    values: tuple[str, ...]
    instead: str


_SECOND_STAGE = "finetune auto, a number or all"
_ONE_STAGE = "because training from scratch has only one stage"
_CLASHES = (
    _Clash("head.hidden", "head.kind", ("linear",), "head mlp"),
    _Clash("head.activation", "head.kind", ("linear",), "head mlp"),
    _Clash("head.batch_norm", "head.kind", ("linear",), "head mlp"),
    _Clash("training.momentum", "training.optimizer", ("adam", "adamw"), "optimizer sgd, rmsprop"),
    _Clash(
        "training.weight_decay",
        "training.optimizer",
        ("adam", "rmsprop"),
        "optimizer adamw, sgd, or l2 instead, a penalty that works with all",
    ),
    _Clash("training.warmup", "training.schedule", ("step", "constant"), "schedule cosine"),
    _Clash("training.finetune_epochs", "finetune", ("none",), _SECOND_STAGE),
    _Clash("training.finetune_epochs", "weights", ("none",), f"epochs, {_ONE_STAGE}"),
    _Clash("training.finetune_learning_rate", "finetune", ("none",), _SECOND_STAGE),
    _Clash("training.finetune_learning_rate", "weights", ("none",), f"learning_rate, {_ONE_STAGE}"),
    _Clash("views", "finetune", ("all",), "no views: each epoch draws new ones of each photo"),
    _Clash("views", "weights", ("none",), "no views: each epoch draws new ones of each photo"),
)


def _check_contradictions(options: TrainOptions, choices: Choices[TrainOptions]) -> None:
    defaults = TrainOptions()

    def say(path: str) -> str:
        augment = describe_augmentation(options.augmentation)
        return choices.spell(path, value=augment if path == "augment" else None)

    for clash in _CLASHES:
        given = attrgetter(clash.path)
        if given(options) != given(defaults) and attrgetter(clash.other)(options) in clash.values:
            raise OptionsError(
                f"{say(clash.path)} cannot be combined with {say(clash.other)}; allowed: "
                f"{clash.instead}"
            )
    backbone = find_backbone(options.backbone)
    faults = [_start_fault(options, backbone, say), _size_fault(options, backbone, say)]
    faults += [_teacher_fault(options, say), _views_fault(options, say)]
    faults.append(_split_fault(options.split, say))
    for fault in filter(None, faults):
        raise OptionsError(fault)


def _start_fault(options: TrainOptions, backbone: Backbone, say: Spell) -> str:
    """What the weights at the start and the blocks to train say of one another."""
    most = len(backbone.cuts)
    if options.weights == "imagenet" and not backbone.pretrained:
        return (
            f"{say('backbone')} has no ImageNet weights, {say('weights')} asks for them; allowed: "
            "weights none, which trains it from scratch, or a file"
        )
    if options.weights == "none" and options.finetune not in ("auto", "all"):
        return (
            f"{say('weights')} trains the whole network, {say('finetune')} does not; allowed: "
            "finetune all, or weights imagenet or a file"
        )
    if isinstance(options.finetune, int) and options.finetune > most:
        return (
            f"{say('finetune')} is more than {say('backbone')} has, {most} blocks above its stem; "
            f"allowed: none, auto, 1 to {most}, all"
        )
    return ""


def _size_fault(options: TrainOptions, backbone: Backbone, say: Spell) -> str:
    if options.size_px is None or options.size_px >= backbone.least_px:
        return ""
    return (
        f"{say('size_px')} is too small for {say('backbone')}; allowed: {backbone.least_px} to "
        f"1024, {backbone.size_px} is its own"
    )


def _teacher_fault(options: TrainOptions, say: Spell) -> str:
    if not options.teacher:
        for path in ("unlabelled", "training.teacher_weight", "training.teacher_temperature"):
            if attrgetter(path)(options) != attrgetter(path)(TrainOptions()):
                return f"{say(path)} means nothing without --teacher (in a file teacher)"
    elif options.head.output == "sigmoid":
        return (
            f"a teacher gives a score to each class, {say('head.output')} has a single unit; "
            "allowed with --teacher: softmax"
        )
    return ""


def _views_fault(options: TrainOptions, say: Spell) -> str:
    """Views that are computed and kept; from scratch and with `all` none are."""
    if options.weights == "none" or options.finetune == "all":
        return ""
    changes = options.changes_photos
    if options.augmentation.cutmix:
        return (
            f"{say('augment')} has cutmix, which pastes pixels, {say('finetune')} trains on "
            "computed features; allowed: mixup, or cutmix with finetune all or weights none"
        )
    if options.views and not changes:
        return f"{say('augment')} changes no photo, {say('views')} would be copies; allowed: 0"
    if options.views == 0 and options.finetune != "none" and changes:
        return (
            f"{say('views')} leaves no use for {say('augment')}, and {say('finetune')} the photos "
            "alone to learn from; allowed: views 1 to 64, or augment none, or finetune none"
        )
    return ""


def _split_fault(split: SplitOptions, say: Spell) -> str:
    if split.val_fraction + split.test_fraction < 1:
        return ""
    return (
        f"{say('split.val_fraction')} and {say('split.test_fraction')} leave no photo to train on; "
        "together they must stay below 1"
    )


def encode_toml(options: TrainOptions) -> bytes:
    """A file that `--config` reads back as these options."""
    augment = describe_augmentation(options.augmentation)
    plain = msgspec.structs.replace(options, augment=augment)
    return describe(plain, "Options of edgetl train.", complete=True).encode()


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
