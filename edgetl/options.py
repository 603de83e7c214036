"""What `edgetl train` lets the user choose: by flags, in a TOML file, or both.

Each field has one name everywhere: `--label-smoothing` is `label_smoothing` in the table
`[training]` of the file and in `run.json`. Two flags are shorter than their field: `--size` is
`size_px`, `--head` is `kind` in `[head]`.
"""

import tomllib
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgetl.augmentation import NONE, Augmentation, describe, digest, parse_augmentation
from edgetl.augmentation.strengths import LIMITS, check_strength
from edgetl.networks.backbones import Backbone, find_backbone
from edgetl.networks.head import HeadOptions as HeadOptions
from edgetl.validation import Rules, Share, Spell, check_values, spell_key
from edgetl_runtime.errors import EdgetlError, OptionsError

# A device would never end.
_MOST_CHARACTERS = 2**20
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Finetune = Literal["none", "auto", "all"] | Annotated[int, msgspec.Meta(ge=1)]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Schedule = Literal["cosine", "step", "constant"]
Monitor = Literal["calibrated", "loss", "accuracy"]
Say = Callable[[str], str]


class SplitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which photos are for what, where the folders do not say.

    Attributes:
        val_fraction: Share of photos for validation.
        test_fraction: Share of photos for testing.
    """

    val_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    test_fraction: Share = 0.0


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
        monitor: What improves on the validation part: the `calibrated` loss, which is the loss
            at the best temperature, the `loss`, or the `accuracy`.
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
    monitor: Monitor = "calibrated"


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
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
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

    @property
    def changes_photos(self) -> bool:
        """False if `augment` leaves photos as they are, so that views would be copies."""
        return digest(self.augmentation) != digest(NONE)


def read_config(path: Path, *, spell: Spell = spell_key) -> dict[str, Any]:
    """Reads a TOML file of options; each is checked for itself, `make_options` does the rest.

    Args:
        path: The file.
        spell: Names an option as its user wrote it.

    Raises:
        OptionsError: If it is no TOML, or has a name or a value that is not allowed.
    """
    try:
        # Editors on Windows begin a file with a byte order mark.
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MOST_CHARACTERS + 1)
        if len(text) > _MOST_CHARACTERS:
            raise OptionsError(f"{path} is larger than any list of options")
        content = tomllib.loads(text)
    except OSError as error:
        copy = path / "config.toml"
        hint = f"; did you mean {copy}?" if copy.is_file() else ""
        raise OptionsError(f"{path} cannot be read ({error.strerror}){hint}") from error
    except UnicodeDecodeError as error:
        raise OptionsError(f"{path} is not UTF-8; save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OptionsError(
            f"{path} is no TOML: {error}; a line is `name = value`, words are in quotes"
        ) from error
    check_values(content, Options, spell=spell, rules=_RULES)
    return content


def make_options(content: dict[str, Any], *, spell: Spell = spell_key) -> Options:
    """Turns nested plain values into options.

    Args:
        content: As a TOML file has it.
        spell: Names an option as its user wrote it.

    Raises:
        OptionsError: If a name or a value is not allowed, or two contradict each other.
    """
    check_values(content, Options, spell=spell, rules=_RULES)
    options = msgspec.convert(content, Options)
    _check_contradictions(options, spell)
    return options


def check_options(options: Options) -> None:
    """Refuses options, made in Python, that `make_options` would have refused.

    Raises:
        OptionsError: With the option, or with both of two that contradict each other.
    """
    make_options(msgspec.to_builtins(options))


def _check_backbone(name: Any) -> str:
    if not isinstance(name, str):
        return "allowed are the names that `edgetl backbones` lists"
    try:
        find_backbone(name)
    except EdgetlError as error:
        return str(error)
    return ""


def _check_weights(name: Any) -> str:
    return "" if isinstance(name, str) else "allowed are imagenet, none or a file"


def _check_augment(text: Any) -> str:
    if not isinstance(text, str):
        return "allowed are a preset, strengths such as rotation=15,blur=1, or both"
    try:
        parse_augmentation(text)
    except OptionsError as error:
        return str(error).removeprefix("augmentation: ")
    return ""


def _check_strength(name: str, value: Any) -> str:
    try:
        check_strength(name, value)
    except ValueError as error:
        return str(error)
    return ""


_RULES: Rules = {
    "backbone": _check_backbone,
    "weights": _check_weights,
    "augment": _check_augment,
    **{f"augment.{name}": partial(_check_strength, name) for name in LIMITS},
}


class _Clash(msgspec.Struct, frozen=True):
    """An option that means nothing beside certain values of another."""

    place: str
    other: str
    values: tuple[str, ...]
    instead: str


_SECOND_STAGE = "finetune auto, a number or all"
_ONE_STAGE = "which from random weights is the only stage"
_CLASHES = (
    _Clash("head.hidden", "head.kind", ("linear",), "head mlp"),
    _Clash("head.activation", "head.kind", ("linear",), "head mlp"),
    _Clash("head.batch_norm", "head.kind", ("linear",), "head mlp"),
    _Clash("training.momentum", "training.optimizer", ("adam", "adamw"), "optimizer sgd, rmsprop"),
    _Clash(
        "training.weight_decay",
        "training.optimizer",
        ("adam", "rmsprop"),
        "optimizer adamw, sgd, or l2 instead, a penalty that goes with all",
    ),
    _Clash("training.warmup", "training.schedule", ("step", "constant"), "schedule cosine"),
    _Clash("training.finetune_epochs", "finetune", ("none",), _SECOND_STAGE),
    _Clash("training.finetune_epochs", "weights", ("none",), f"epochs, {_ONE_STAGE}"),
    _Clash("training.finetune_learning_rate", "finetune", ("none",), _SECOND_STAGE),
    _Clash("training.finetune_learning_rate", "weights", ("none",), f"learning_rate, {_ONE_STAGE}"),
    _Clash("views", "finetune", ("all",), "no views: each epoch draws new ones of each photo"),
    _Clash("views", "weights", ("none",), "no views: each epoch draws new ones of each photo"),
)


def _check_contradictions(options: Options, spell: Spell) -> None:
    defaults = Options()

    def say(place: str) -> str:
        value, default = (attrgetter(place)(one) for one in (options, defaults))
        shown = describe(options.augmentation) if place == "augment" else value
        return spell(place, shown) + (" (the default)" if value == default else "")

    for clash in _CLASHES:
        given = attrgetter(clash.place)
        if given(options) != given(defaults) and attrgetter(clash.other)(options) in clash.values:
            raise OptionsError(
                f"{say(clash.place)} does not go with {say(clash.other)}; allowed: {clash.instead}"
            )
    backbone = find_backbone(options.backbone)
    faults = [_start_fault(options, backbone, say), _size_fault(options, backbone, say)]
    faults += [_views_fault(options, say), _split_fault(options.split, say)]
    for fault in filter(None, faults):
        raise OptionsError(fault)


def _start_fault(options: Options, backbone: Backbone, say: Say) -> str:
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


def _size_fault(options: Options, backbone: Backbone, say: Say) -> str:
    if options.size_px is None or options.size_px >= backbone.least_px:
        return ""
    return (
        f"{say('size_px')} is too small for {say('backbone')}; allowed: {backbone.least_px} to "
        f"1024, {backbone.size_px} is its own"
    )


def _views_fault(options: Options, say: Say) -> str:
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


def _split_fault(split: SplitOptions, say: Say) -> str:
    if split.val_fraction + split.test_fraction < 1:
        return ""
    return (
        f"{say('split.val_fraction')} and {say('split.test_fraction')} leave no photo to train on; "
        "together they must stay below 1"
    )


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
