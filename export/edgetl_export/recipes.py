"""Recipes: named ways to turn a trained model into a file, as data."""

import difflib
from collections.abc import Iterable

import msgspec

from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.errors import OptionsError


class Recipe(msgspec.Struct, frozen=True):
    """One way to write a model file.

    Attributes:
        engine: Which engine runs the file.
        precision: Of weights and activations.
        does: What it does to the model, in one line.
        use_when: One line that helps to choose.
    """

    engine: EngineName
    precision: Precision
    does: str
    use_when: str

    @property
    def name(self) -> str:
        """`<engine>-<precision>`."""
        return f"{self.engine}-{self.precision}"

    @property
    def file(self) -> str:
        """Name of the file in the bundle."""
        return self.name + (".tflite" if self.engine == "litert" else ".onnx")

    @property
    def calibrates(self) -> bool:
        """True if photos must tell the range of each layer."""
        return self.precision in ("int8", "mixed", "int16x8")


# In the order that a device should prefer.
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "litert",
        "int8",
        "int8 weights and activations, uint8 input",
        "a Raspberry Pi or a phone: smallest and fastest",
    ),
    Recipe(
        "litert",
        "mixed",
        "int8, except for the most sensitive layers",
        "where int8 loses too much: a little slower and larger",
    ),
    Recipe(
        "litert",
        "int16x8",
        "int8 weights, int16 activations",
        "where bytes matter and latency does not: no fast kernels exist",
    ),
    Recipe(
        "litert",
        "dynamic",
        "int8 weights, activation ranges computed at run time",
        "no calibration photos, a quarter of the bytes",
    ),
    Recipe(
        "litert",
        "float16",
        "float16 weights, computed in float32",
        "half the bytes without loss; a phone's GPU",
    ),
    Recipe("litert", "float32", "as trained", "the reference, or where int8 loses too much"),
    Recipe(
        "onnx",
        "int8",
        "int8 weights and activations (static QDQ), uint8 input",
        "a board that already runs ONNX Runtime",
    ),
    Recipe(
        "onnx",
        "dynamic",
        "int8 weights, activation ranges computed at run time",
        "no calibration photos, and ONNX Runtime is installed already",
    ),
    Recipe(
        "onnx",
        "float16",
        "float16 weights and activations",
        "a GPU; slower than float32 on a CPU",
    ),
    Recipe("onnx", "float32", "as trained", "servers and other tools that read ONNX"),
)
DEFAULT = ("litert-int8", "litert-float32", "onnx-int8", "onnx-float32")


def find_recipes(names: Iterable[str]) -> tuple[Recipe, ...]:
    """Recipes by name (`litert-int8`) or precision (`int8`: of both engines), none twice.

    Returns:
        In the order that a device should prefer; those of `DEFAULT` if no name is given.

    Raises:
        OptionsError: If a name is unknown; it suggests the nearest.
    """
    wanted = set(names) or set(DEFAULT)
    known = {recipe.name for recipe in RECIPES} | {recipe.precision for recipe in RECIPES}
    for name in sorted(wanted - known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise OptionsError(f"unknown recipe {name!r}; {hint}`edgetl recipes` lists them all")
    return tuple(one for one in RECIPES if wanted & {one.name, one.precision})
