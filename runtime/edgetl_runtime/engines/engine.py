"""Engines run model files; each lives in its own module behind one protocol."""

from typing import Literal, Protocol

from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

EngineName = Literal["litert", "onnx"]


class Engine(Protocol):
    """A loaded model. It knows nothing of labels, frames or files.

    Attributes:
        name: Name and version of the engine, such as `ai-edge-litert 2.3.0`.
        threads: Number of threads it may use.
    """

    name: str
    threads: int

    def run(self, pixels: Frame) -> Scores:
        """Runs the model once.

        Args:
            pixels: uint8 (height, width, 3) RGB, levels 0..255, C-contiguous.

        Returns:
            float32 (classes,), a copy.
        """
        ...


def open_engine(
    engine: EngineName, model: bytes, tensors: tuple[TensorSpec, TensorSpec], threads: int
) -> Engine:
    """Loads verified model bytes into an engine.

    Args:
        engine: Which engine.
        model: The verified bytes of a .tflite or .onnx file.
        tensors: The input and the output that the model must have.
        threads: At least 1.

    Raises:
        EngineError: If the engine is not installed, or the model does not fit.
    """
    # The chosen engine only is imported: a board needs no other.
    if engine == "litert":
        from edgetl_runtime.engines.litert_engine import LiteRTEngine

        return LiteRTEngine(model, *tensors, threads=threads)
    from edgetl_runtime.engines.onnx_engine import OnnxEngine

    return OnnxEngine(model, *tensors, threads=threads)
