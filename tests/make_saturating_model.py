"""Writes tests/data/saturating.onnx: one quantized convolution whose sums leave 16 bits.

The picture is 4x4 pixels, and so is the kernel; all weights of output 0 are 127 (1.0), those of
output 1 are -127 and 64 in turn, so that on white the right sums are 48 * 255 * 127 = 1,554,480
and 24 * 255 * (64 - 127) = -385,560. Processors that add pairs of products in 16 bits with
saturation get 32,767 for the first pair instead of 64,770.

    .venv/bin/python tests/make_saturating_model.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TARGET = Path(__file__).parent / "data" / "saturating.onnx"
WEIGHT_STEP = 1 / 127
# 255 steps reach 48 * 255, the largest sum of output 0; 128 stands for 0.
SCORE_STEP, SCORE_ZERO = 128.0, 128


def main() -> None:
    kernel = np.empty((2, 3, 4, 4), np.int8)
    kernel[0] = 127
    kernel[1] = np.where(np.arange(48) % 2, 64, -127).reshape(3, 4, 4)
    constants = {
        "one": np.float32(1),
        "black": np.uint8(0),
        "kernel": kernel,
        "weight_step": np.float32(WEIGHT_STEP),
        "weight_zero": np.int8(0),
        "score_step": np.float32(SCORE_STEP),
        "score_zero": np.uint8(SCORE_ZERO),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "one", "black"], ["pixels"]),
        helper.make_node("DequantizeLinear", ["kernel", "weight_step", "weight_zero"], ["weights"]),
        helper.make_node("Conv", ["pixels", "weights"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "score_step", "score_zero"], ["levels"]),
        helper.make_node("DequantizeLinear", ["levels", "score_step", "score_zero"], ["rounded"]),
        helper.make_node("Flatten", ["rounded"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 3, 4, 4))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 2))],
        [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    TARGET.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
