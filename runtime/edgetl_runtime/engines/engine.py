"""Engines run model files; each lives in its own module behind one protocol."""

from typing import Literal, Protocol

from edgetl_runtime.engines import hidden_outputs
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs, Reveal, Seen
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
            float32 (outputs,), a copy.
        """
        ...

    def look(self, pixels: Frame) -> Seen:
        """Runs the model once, and returns what was revealed besides the scores, as copies.

        Args:
            pixels: As for `run`.

        Raises:
            EngineError: If it was opened without `reveal`, or fails.
        """
        ...


def open_engine(
    engine: EngineName,
    model: bytes,
    tensors: tuple[TensorSpec, TensorSpec],
    threads: int,
    hidden: HiddenOutputs | None = None,
    reveal: Reveal | None = None,
) -> Engine:
    """Loads verified model bytes into an engine.

    Args:
        engine: Which engine.
        model: The verified bytes of a .tflite or .onnx file.
        tensors: The input and the output that the model must have.
        threads: At least 1.
        hidden: The hidden outputs of this file, from the bundle.
        reveal: Which of them `look` shall return; None: it cannot be called.

    Raises:
        EngineError: If the engine is not installed, or the model does not fit, or what shall be
            revealed is not in it.
    """
    channels: tuple[int, ...] | None = None
    if reveal is not None:
        model = hidden_outputs.reveal(model, hidden, reveal)
        channels = hidden.map_channels if hidden and reveal == "maps" else ()
    # The chosen engine only is imported: a board needs no other.
    if engine == "litert":
        from edgetl_runtime.engines.litert_engine import LiteRTEngine

        return LiteRTEngine(model, *tensors, threads=threads, revealed=channels)
    from edgetl_runtime.engines.onnx_engine import OnnxEngine

    return OnnxEngine(model, *tensors, threads=threads, revealed=channels)
