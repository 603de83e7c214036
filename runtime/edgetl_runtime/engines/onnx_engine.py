"""The ONNX Runtime engine."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

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

_NUMPY_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
_ERRORS_ONLY = 3
EXACT = ("session.x64quantprecision", "1")
"""Session option: int8 products are summed exactly on x86 without VNNI, too.

There ONNX Runtime otherwise adds pairs of products in 16 bits, which saturate, so that a file has
other scores than on ARM (microsoft/onnxruntime#6004). It costs 2 to 3.5 times the time on such a
processor, and nothing on others.
"""


class OnnxEngine:
    """Runs an .onnx model with one (1, 3, height, width) input; see `LiteRTEngine`."""

    def __init__(
        self,
        model: bytes,
        tensor_in: TensorSpec,
        tensor_out: TensorSpec,
        *,
        threads: int,
        revealed: Sequence[int] | None = None,
    ) -> None:
        """Loads verified bytes.

        Args:
            model: The bytes.
            tensor_in: The input that the bundle promises.
            tensor_out: The scores that it promises.
            threads: At least 1.
            revealed: Channels of each map that was revealed, beside the features; None if nothing
                was.

        Raises:
            EngineError: If ONNX Runtime is missing or refuses the model.
        """
        runtime = _import_runtime()
        self.name = f"onnxruntime {runtime.__version__}"
        self.threads = threads
        self._errors = error_types(runtime)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry(*EXACT)
        try:
            self._session = runtime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            raise EngineError(f"{self.name} cannot load the model: {quote_error(error)}") from error
        entry = only(self._session.get_inputs(), "input")
        exit_, hidden = split_outputs(self._session.get_outputs(), revealed)
        for spec, tensor in ((tensor_in, entry), (tensor_out, exit_)):
            dtype = _NUMPY_DTYPES.get(tensor.type, np.void)
            # A free axis has a name or nothing for a length.
            shape = tuple(n if isinstance(n, int) else -1 for n in tensor.shape)
            check_tensor(spec, shape, dtype)
        self._input, self._output = entry.name, exit_.name
        self._hidden = [tensor.name for tensor in hidden]
        self._channels = revealed or ()
        self._planes = np.empty(tensor_in.shape[1:], np.uint8)  # (3, height, width)
        self._dtype = np.dtype(tensor_in.dtype)

    def run(self, pixels: Frame) -> Scores:
        """See `Engine.run`."""
        return self._invoke(pixels, [self._output])[0].reshape(-1)

    def look(self, pixels: Frame) -> Seen:
        """See `Engine.look`."""
        if not self._hidden:
            raise EngineError(NOT_REVEALED)
        scores, *hidden = self._invoke(pixels, [self._output, *self._hidden])
        # Those of a float16 file are float16.
        features, *maps = (one.astype(np.float32, copy=False) for one in hidden)
        arranged = [one[0].transpose(1, 2, 0) for one in maps]
        check_maps(arranged, self._channels)
        return Seen(scores.reshape(-1), features.reshape(-1), arranged)

    def _invoke(self, pixels: Frame, outputs: list[str]) -> list[Scores]:
        cv2.split(pixels, list(self._planes))
        feed = {self._input: self._planes[np.newaxis].astype(self._dtype, copy=False)}
        try:
            values: list[Scores] = self._session.run(outputs, feed)
        except self._errors as error:
            raise EngineError(f"{self.name} failed: {quote_error(error)}") from error
        return values


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingEngineError(
            "this variant needs ONNX Runtime, which is not installed; "
            "install it with: pip install 'edgetl-runtime[onnx]'"
        ) from error
    return onnxruntime


def error_types(runtime: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's errors (InvalidProtobuf, Fail ...) have no base but Exception."""
    names = vars(runtime.capi.onnxruntime_pybind11_state).values()
    own = [kind for kind in names if isinstance(kind, type) and issubclass(kind, Exception)]
    return (RuntimeError, ValueError, *own)
