"""The engines as other programs call them, past our own code; each takes uint8 RGB pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

from edgetl_runtime.engines.onnx_engine import EXACT

ONNX_KINDS = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
# Kind and shape of a tensor.
Tensor = tuple[type, tuple[int, ...]]


class LiteRT:
    """A .tflite in its engine, on one thread."""

    def __init__(self, model: bytes) -> None:
        self.interpreter = Interpreter(model_content=model, num_threads=1)
        self.interpreter.allocate_tensors()
        (self.entry,) = self.interpreter.get_input_details()
        (self.exit,) = self.interpreter.get_output_details()

    def tensors(self) -> list[Tensor]:
        """Input and output."""
        return [(one["dtype"], tuple(one["shape"].tolist())) for one in (self.entry, self.exit)]

    def run(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """What it says of (height, width, 3) pictures, one after another."""
        scores = []
        for pixels in pictures:
            levels = pixels[np.newaxis].astype(self.entry["dtype"])
            self.interpreter.set_tensor(self.entry["index"], levels)
            self.interpreter.invoke()
            scores.append(self.interpreter.get_tensor(self.exit["index"])[0].copy())
        return np.stack(scores)


class Onnx:
    """An .onnx in its engine, on one thread and in exact arithmetic, as the device computes."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry(*EXACT)
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        (self.entry,), (self.exit,) = self.session.get_inputs(), self.session.get_outputs()

    def tensors(self) -> list[Tensor]:
        """Input and output."""
        return [(ONNX_KINDS[one.type], tuple(one.shape)) for one in (self.entry, self.exit)]

    def run(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """What it says of (height, width, 3) pictures, one after another."""
        planes = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
        levels = planes.astype(ONNX_KINDS[self.entry.type])
        feeds = ({self.entry.name: one[np.newaxis]} for one in levels)
        return np.concatenate([self.session.run(None, feed)[0] for feed in feeds])


def open_model(engine: str, model: bytes) -> Any:
    """A model file in the engine that it is for."""
    return LiteRT(model) if engine == "litert" else Onnx(model)
