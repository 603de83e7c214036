"""What an export may be told, by keyword or by flag."""

from typing import Annotated

import msgspec

from edgetl_export.evaluate.gate import Gate, Points
from edgetl_export.quantize.repairs import Repair


class ExportOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to export.

    Attributes:
        recipes: Files to write, by recipe (`litert-int8`) or precision (`int8`, for every engine
            that has it); empty: int8 and float32, for each engine that the model can have.
        max_drop: Points of top-1 accuracy that a file may lose, 0..100.
        max_class_drop: Points of recall that one class may lose, 0..100.
        max_bytes: Largest size of a file, bytes; None: any.
        repair: What is tried for a file that lost more: `none`, `quick` or `thorough`.
        strict: Write no bundle if one file stays worse than allowed; False: leave that file out.
            None: strict if `recipes` names the files.
        allow_drop: Write the bundle whatever was lost, and mark the files.
        false_accepts: Target for the false-accept rate on unknown images, percent, 0..100.
        max_false_rejects: Largest false-reject rate on known classes, percent, 0..100; takes
            precedence over `false_accepts`. None: 10 with photos in `_unknown_`, else 2.
        name: Name of the model, for the card and the metadata.
        model_version: Version of the model; empty: a digest.
        author: Author of the model.
        license: License of the model, such as CC-BY-4.0.
        description: What the model is for, in one sentence.
    """

    recipes: tuple[str, ...] = ()
    max_drop: Points = 1.0
    max_class_drop: Points = 5.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    repair: Repair = "quick"
    strict: bool | None = None
    allow_drop: bool = False
    false_accepts: Points = 10.0
    max_false_rejects: Points | None = None
    name: str = ""
    model_version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""

    @property
    def gate(self) -> Gate:
        """What a file must not exceed."""
        return Gate(self.max_drop, self.max_class_drop, self.max_bytes)

    @property
    def is_strict(self) -> bool:
        """Whether a file that stays worse than allowed ends the export."""
        return bool(self.recipes) if self.strict is None else self.strict
