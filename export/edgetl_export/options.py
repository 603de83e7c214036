"""The options of an export, for keywords and flags."""

from typing import Annotated, ClassVar, Literal

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.choices import Choices

Points = Annotated[float, msgspec.Meta(ge=0, le=100)]
# Plain files only; what takes seconds, and minutes only where they can help; all.
Repair = Literal["none", "quick", "thorough"]


def _check_recipes(names: tuple[str, ...]) -> str:
    from edgetl_export.recipes import find_recipes

    try:
        find_recipes(names)
    except OptionsError as error:
        return str(error)
    return ""


class ExportOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of an export.

    Attributes:
        recipes: Files to write, by recipe (litert-int8) or by precision (int8, for each engine);
            `edgetl recipes` lists them (default: int8 and float32, for each engine that the
            model can have).
        max_drop: Largest loss of top-1 accuracy, in points. A larger one that may be chance is
            accepted, up to the largest loss of a class.
        max_class_drop: Largest loss of recall of one class, in points, unless it may be chance.
        max_bytes: Largest size of a file, in bytes (default: no limit).
        repair: What to try for a file that loses too much accuracy. none: nothing; quick: refit the
            head, retrain the upper layers in 8 bits, and keep layers in float where that can help;
            thorough: everything.
        strict: Fail if any file loses too much accuracy, instead of leaving that file out
            (default: only if recipes are named).
        allow_drop: Write the bundle even if files lose too much accuracy; they are marked.
        false_accepts: Target for the false-accept rate on unknown images, in percent.
        max_false_rejects: Largest false-reject rate on known classes, in percent; takes
            precedence over the false-accept rate (default: 10 with photos in _unknown_, else 5; 2
            without unknown_class).
        unknown_class: Give each file one more output, the last one, for things of no class: where
            it has the highest score, there is no label. Other programs then show "unknown", too.
        name: Name of the model, for the model card and the metadata.
        model_version: Version of the model (default: a digest of its weights).
        author: Author of the model.
        license: License of the model, such as CC-BY-4.0.
        description: What the model is for, in one sentence.
    """

    FLAGS: ClassVar = {"recipes": "recipe"}
    EXAMPLES: ClassVar = {
        "max_bytes": 1_000_000,
        "strict": True,
        "unknown_class": False,
        "max_false_rejects": 5.0,
    }
    CHECKS: ClassVar = {"recipes": _check_recipes}

    recipes: tuple[str, ...] = ()
    max_drop: Points = 1.0
    max_class_drop: Points = 5.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    repair: Repair = "quick"
    strict: bool | None = None
    allow_drop: bool = False
    false_accepts: Points = 10.0
    max_false_rejects: Points | None = None
    unknown_class: bool = True
    name: str = ""
    model_version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""

    @property
    def is_strict(self) -> bool:
        """Whether a file that stays worse than allowed fails the export."""
        return bool(self.recipes) if self.strict is None else self.strict


def make_options(choices: Choices[ExportOptions]) -> ExportOptions:
    """Builds the chosen options.

    Raises:
        OptionsError: If two options contradict each other.
    """
    options = choices.make()
    if options.strict and options.allow_drop:
        one, other = choices.spell("strict"), choices.spell("allow_drop")
        raise OptionsError(f"{one} and {other} contradict each other; leave one out")
    return options
