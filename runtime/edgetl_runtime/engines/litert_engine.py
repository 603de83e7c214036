"""The LiteRT engine: ai-edge-litert, or tflite-runtime where only that has a wheel."""

import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.engines.hidden_outputs import NOT_REVEALED, Seen
from edgetl_runtime.engines.tensors import (
    TensorSpec,
    check_maps,
    check_tensor,
    only,
    split_outputs,
)
from edgetl_runtime.errors import EngineError, MissingEngineError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores
from edgetl_runtime.text.quoting import quote_error

_PACKAGES = (("ai-edge-litert", "ai_edge_litert"), ("tflite-runtime", "tflite_runtime"))


class LiteRTEngine:
    """Runs a .tflite model with one image input; scores, and what was revealed, are outputs."""

    def __init__(
        self,
        model: bytes,
        tensor_in: TensorSpec,
        tensor_out: TensorSpec,
        *,
        threads: int,
        revealed: Sequence[int] | None = None,
    ) -> None:
        """Loads verified bytes; `Interpreter` checks the flatbuffer, `CompiledModel` would not.

        Args:
            model: The bytes.
            tensor_in: The input that the bundle promises.
            tensor_out: The scores that it promises.
            threads: At least 1.
            revealed: Channels of each map that was revealed, beside the features; None if nothing
                was.

        Raises:
            EngineError: If LiteRT is missing or refuses the model.
        """
        self.name, interpreter_module = _find_package()
        self.threads = threads
        try:
            self._interpreter = interpreter_module.Interpreter(
                model_content=model, num_threads=threads
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self.name} cannot load the model: {quote_error(error)}") from error
        entry = only(self._interpreter.get_input_details(), "input")
        exit_, self._hidden = split_outputs(self._interpreter.get_output_details(), revealed)
        check_tensor(tensor_in, entry["shape"], entry["dtype"])
        check_tensor(tensor_out, exit_["shape"], exit_["dtype"])
        self._input, self._output = entry["index"], exit_["index"]
        self._dtype = np.dtype(tensor_in.dtype)
        self._channels = revealed or ()

    def run(self, pixels: Frame) -> Scores:
        """See `Engine.run`."""
        self._invoke(pixels)
        return self._read_scores()

    def look(self, pixels: Frame) -> Seen:
        """See `Engine.look`."""
        if not self._hidden:
            raise EngineError(NOT_REVEALED)
        self._invoke(pixels)
        features, *maps = map(self._read_dequantized, self._hidden)
        check_maps(maps, self._channels)
        return Seen(self._read_scores(), features.reshape(-1), [one[0] for one in maps])

    def _invoke(self, pixels: Frame) -> None:
        self._interpreter.set_tensor(
            self._input, pixels[np.newaxis].astype(self._dtype, copy=False)
        )
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise EngineError(f"{self.name} failed: {quote_error(error)}") from error

    def _read_scores(self) -> Scores:
        scores: Scores = self._interpreter.get_tensor(self._output)
        return scores.reshape(-1)

    def _read_dequantized(self, tensor: Any) -> NDArray[np.float32]:
        values: NDArray[Any] = self._interpreter.get_tensor(tensor["index"])
        scale, zero_point = tensor["quantization"]
        if np.issubdtype(values.dtype, np.floating):
            return values.astype(np.float32, copy=False)
        return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _find_package() -> tuple[str, Any]:
    for distribution, package in _PACKAGES:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except ModuleNotFoundError:
            continue
        return f"{distribution} {version(distribution)}", module
    raise MissingEngineError(f"this bundle needs LiteRT, which is not installed; {_advise()}")


def _advise() -> str:
    if sys.maxsize > 2**32:
        return "install it with: pip install ai-edge-litert"
    if sys.version_info < (3, 12):
        return "install it with: pip install tflite-runtime 'numpy<2'"
    return (
        "for 32-bit systems it was last built for Python 3.11: take a 64-bit system, or one whose "
        "Python is 3.11"
    )
