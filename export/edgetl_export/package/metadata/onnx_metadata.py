"""Properties of an .onnx: there is no one standard, so each reader gets its own keys."""

import re
from typing import Any

import onnx
from onnx import TensorProto, helper

from edgetl_export.package.metadata.info import OURS, ModelInfo, check_ends

# Model API's word for each way to fit an image; it pads with the level given beside it.
_RESIZE_TYPE = {"stretch": "standard", "crop": "crop", "pad": "fit_to_window_letterbox"}
_PAD_LEVEL = 128


def add_onnx_metadata(model: bytes, info: ModelInfo) -> bytes:
    """Writes metadata into an .onnx; what it said before under the same keys is replaced.

    Args:
        model: An .onnx with one image input and one score output.
        info: What to write.

    Raises:
        ExportError: If the model has another size or another number of outputs than `info`.
    """
    proto = onnx.load_from_string(model)
    entry, exit_ = proto.graph.input[0], proto.graph.output[0]
    check_ends(info, _shape(entry), _shape(exit_))
    proto.producer_name = OURS
    proto.producer_version = str(info.record.get("edgetl_version", ""))
    proto.doc_string = info.description
    # It is what makes the keys of `_onnx_keys` valid; Windows refuses images of integers.
    if entry.type.tensor_type.elem_type == TensorProto.FLOAT:
        entry.type.denotation = "IMAGE"
    before = {one.key: one.value for one in proto.metadata_props}
    helper.set_model_props(proto, before | _properties(info))
    return bytes(proto.SerializeToString())


def _properties(info: ModelInfo) -> dict[str, str]:
    return {
        OURS: info.encode().decode(),
        **_ultralytics_keys(info),
        **{f"model_info {key}": value for key, value in _model_api_keys(info).items()},
        **_onnx_keys(),
    }


def _ultralytics_keys(info: ModelInfo) -> dict[str, str]:
    """Python literals; without its `date`, so that equal models give equal bytes."""
    keys = {
        "task": "classify",
        "names": str(dict(enumerate(info.labels))),
        "imgsz": str([info.height_px, info.width_px]),
        "description": info.description,
        "version": info.version,
        "author": info.author,
        "license": info.license,
    }
    return {key: value for key, value in keys.items() if value}


def _model_api_keys(info: ModelInfo) -> dict[str, str]:
    """Properties for OpenVINO's Model API, which takes RGB images and splits lists at blanks."""
    return {
        "model_type": "Classification",
        "labels": " ".join(re.sub(r"\s", "_", label) for label in info.labels),
        "mean_values": "0 0 0",
        "scale_values": "1 1 1",
        # Whether to swap red and blue of the images given.
        "reverse_input_channels": "False",
        "resize_type": _RESIZE_TYPE[info.fit],
        "pad_value": str(_PAD_LEVEL),
        # Whether the graph resizes by itself.
        "embedded_processing": "False",
        "confidence_threshold": str(info.reject_threshold),
        "topk": "1",
    }


def _onnx_keys() -> dict[str, str]:
    """Properties of the ONNX standard (docs/MetadataProps.md), for inputs denoted IMAGE."""
    return {
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
