"""Standard metadata: what other people's programs read in a .tflite and in an .onnx.

Both formats say the same: who made the model, what it takes, what its scores mean, below which
score to answer nothing, and all of that once more as our own JSON.
"""

from edgetl_export.package.metadata.info import ModelInfo, encode_labels
from edgetl_export.package.metadata.onnx_metadata import add_onnx_metadata
from edgetl_export.package.metadata.tflite_metadata import add_tflite_metadata

__all__ = ["ModelInfo", "add_onnx_metadata", "add_tflite_metadata", "encode_labels"]
