"""Recipes: named ways to turn a trained model into a file, as data."""

from typing import Literal

import msgspec

from edgetl_runtime.bundle import EngineName


class Recipe(msgspec.Struct, frozen=True):
    """One way to write a model file.

    Attributes:
        engine: Which engine runs the file.
        precision: Of weights and activations.
        use_when: One line that helps to choose.
    """

    engine: EngineName
    precision: Literal["float32", "int8"]
    use_when: str

    @property
    def name(self) -> str:
        """`<engine>-<precision>`."""
        return f"{self.engine}-{self.precision}"

    @property
    def file(self) -> str:
        """Name of the file in the bundle."""
        return self.name + (".tflite" if self.engine == "litert" else ".onnx")


# In the order that a device should prefer.
RECIPES: tuple[Recipe, ...] = (
    Recipe("litert", "int8", "a Raspberry Pi or a phone: smallest and fastest"),
    Recipe("litert", "float32", "the reference, or where int8 loses too much"),
    Recipe("onnx", "int8", "a board that runs ONNX Runtime already"),
    Recipe("onnx", "float32", "servers and other tools that read ONNX"),
)
