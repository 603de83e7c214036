"""Data of an .onnx that lies in files beside it, read only from its own folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from edgetl_runtime.errors import ExportError

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
    info = ExternalDataInfo(tensor)
    path = _locate(info.location, folder)
    try:
        size = path.stat().st_size
        offset = int(info.offset or 0)
        length = size - offset if info.length is None else int(info.length)
        if offset < 0 or length < 0 or offset + length > size:
            raise ExportError(
                f"{path} has {size:,} bytes, too few for the weights {tensor.name} of the .onnx; "
                "copy both again"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise ExportError(
            f"{path}, which the .onnx keeps weights in, cannot be read ({error.strerror}); put it "
            "beside the .onnx"
        ) from error


def _locate(location: str, folder: Path) -> Path:
    pure = PurePosixPath(location.replace("\\", "/"))
    home = folder.resolve()
    path = home / pure
    outside = pure.is_absolute() or ".." in pure.parts or not pure.parts or ":" in location
    # A link could lead to any file of this computer.
    if outside or "\x00" in location or path.resolve() != path:
        raise ExportError(
            f"the .onnx keeps weights in {location!r}, which is not a plain file inside its own "
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
