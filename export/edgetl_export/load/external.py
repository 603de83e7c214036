"""Data of an .onnx that lies in files beside it, read only from its own folder."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.quoting import quote_error

_LIMIT_BYTES = 2**31 - 1


def load_external(proto: onnx.ModelProto, folder: Path) -> None:
    """Puts all external data into the model.

    Args:
        proto: Changed in place.
        folder: That the .onnx lies in.

    Raises:
        ExportError: If data lies outside the folder or behind a link, is missing or too short, or
            more than 2 GiB in all.
    """
    total = proto.ByteSize()
    for tensor in _find_tensors(proto):
        if uses_external_data(tensor):
            data = _read(tensor, folder)
            total += len(data)
            if total > _LIMIT_BYTES:
                raise ExportError("the .onnx with its external data is larger than 2 GiB")
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
            tensor.raw_data = data


def _read(tensor: TensorProto, folder: Path) -> bytes:
    try:
        info = ExternalDataInfo(tensor)
        offset, length = int(info.offset or 0), info.length and int(info.length)
    except ValueError as error:
        raise ExportError(
            f"the .onnx does not say where the weights {tensor.name} are ({quote_error(error)}); "
            "export it again"
        ) from error
    path = _locate(info.location, folder)
    try:
        size = path.stat().st_size
        length = size - offset if length is None else length
        if offset + max(length, _count_bytes(tensor)) > size or min(offset, length) < 0:
            raise ExportError(
                f"{path} has {size:,} bytes, too few for the weights {tensor.name} of the .onnx; "
                "copy both again"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise ExportError(
            f"{path} with weights of the .onnx cannot be read ({error.strerror}); put it "
            "beside the .onnx"
        ) from error


def _count_bytes(tensor: TensorProto) -> int:
    """The bytes of its numbers; 0 of kinds that numpy lacks, of which several share a byte."""
    if tensor.data_type not in helper.get_all_tensor_dtypes():
        return 0
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return math.prod(tensor.dims) * kind.itemsize if kind.kind in "biufc" else 0


def _locate(location: str, folder: Path) -> Path:
    pure = PurePosixPath(location.replace("\\", "/"))
    home = folder.resolve()
    path = home / pure
    outside = pure.is_absolute() or ".." in pure.parts or not pure.parts or ":" in location
    # A link could lead to any file of this computer, and reading a pipe could wait for ever.
    special = not outside and "\x00" not in location and path.exists() and not path.is_file()
    if outside or "\x00" in location or path.resolve() != path or special:
        raise ExportError(
            f"the .onnx stores weights in {location!r}, which is not a plain file inside its own "
            "folder; such a model is not opened"
        )
    return path


def _find_tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)
