"""Files of PyTorch's old form: what is read of them, and what is refused."""

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetl.networks.torch_files import read_torch_file
from edgetl_runtime.errors import WeightsError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SIZES = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}


def make_torch() -> dict[str, types.ModuleType]:
    """Modules of the names that a file of PyTorch has."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*told: object) -> object:
        raise AssertionError("nothing of a file is called")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    torch._utils = utils
    return {"torch": torch, "torch._utils": utils}


class Stored:
    """A tensor as `_Pickler` writes it."""

    def __init__(self, key: str, array: np.ndarray, kind: str, **changes: object) -> None:
        self.key, self.array, self.kind = key, array, kind
        strides = tuple(step // array.itemsize for step in array.strides)
        self.told = {"offset": 0, "shape": array.shape, "strides": strides} | changes


class Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, torch: dict[str, types.ModuleType]) -> None:
        super().__init__(file, protocol=2)
        self._torch = torch

    def reducer_override(self, one: object) -> object:
        if not isinstance(one, Stored):
            return NotImplemented
        rebuild = self._torch["torch._utils"]._rebuild_tensor_v2
        told = (one.told["offset"], one.told["shape"], one.told["strides"])
        return rebuild, (Key(one), *told, False, OrderedDict())

    def persistent_id(self, one: object) -> object:
        if not isinstance(one, Key):
            return None
        kind = getattr(self._torch["torch"], one.stored.kind)
        return ("storage", kind, one.stored.key, "cpu", one.stored.array.size, None)


class Key:
    def __init__(self, stored: Stored) -> None:
        self.stored = stored


def write(path: Path, tensors: object, *, magic: int = MAGIC, sizes: object = SIZES) -> Path:
    torch = make_torch()
    file = io.BytesIO()
    before = {name: sys.modules.get(name) for name in torch}
    sys.modules.update(torch)
    try:
        for part in (magic, PROTOCOL, sizes, tensors):
            Pickler(file, torch).dump(part)
        stored = {one.key: one for one in tensors.values() if isinstance(one, Stored)}
        Pickler(file, torch).dump(sorted(stored))
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    for key in sorted(stored):
        array = stored[key].array
        file.write(struct.pack("<q", array.size) + array.ravel(order="K").tobytes())
    path.write_bytes(file.getvalue())
    return path


WEIGHT = np.arange(24, dtype="<f4").reshape(4, 3, 2, 1)
COUNT = np.array(7, "<i8")


def make_tensors(**changes: object) -> OrderedDict[str, object]:
    return OrderedDict(
        weight=Stored("11", WEIGHT, "FloatStorage", **changes),
        count=Stored("12", COUNT, "LongStorage"),
    )


def test_tensors_are_read_as_they_were_saved(tmp_path: Path) -> None:
    found = read_torch_file(write(tmp_path / "a.pth", make_tensors()))
    assert list(found) == ["weight", "count"]
    assert found["weight"].dtype == np.float32
    np.testing.assert_array_equal(found["weight"], WEIGHT)
    assert found["count"] == 7


def test_a_view_in_another_order_of_axes_is_read_by_its_strides(tmp_path: Path) -> None:
    turned = OrderedDict(weight=Stored("1", WEIGHT.transpose(3, 2, 0, 1), "FloatStorage"))
    found = read_torch_file(write(tmp_path / "a.pth", turned))
    np.testing.assert_array_equal(found["weight"], WEIGHT.transpose(3, 2, 0, 1))


class Call:
    """What a malicious file asks for."""

    def __reduce__(self) -> object:
        return print, ("run",)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (OrderedDict(weight=Call()), "it names __builtin__.print"),
        (OrderedDict(weight=np.float32(1)), "it names numpy"),
        (OrderedDict(weight="text"), "more than named tensors"),
        (OrderedDict({5: Stored("1", COUNT, "LongStorage")}), "more than named tensors"),
        (OrderedDict(w=Stored("1", COUNT, "HalfStorage")), "it names torch.HalfStorage"),
        (make_tensors(shape=(4, 3, 2, 2)), "outside of its storage"),
        (make_tensors(offset=1), "outside of its storage"),
        (make_tensors(strides=(6, 2, -1, 1)), "described in another way"),
        (make_tensors(strides=(6, 2, 1)), "described in another way"),
        (make_tensors(shape=(4, 3, 2, True)), "described in another way"),
        (make_tensors(offset=2**70), "outside of its storage"),
        (make_tensors(shape=(2**45,), strides=(0,)), "more values than its storage"),
    ],
)
def test_whatever_else_a_file_holds_is_refused(
    tensors: OrderedDict[str, object], said: str, tmp_path: Path, capsys
) -> None:
    path = write(tmp_path / "a.pth", tensors)
    with pytest.raises(WeightsError, match=said) as refused:
        read_torch_file(path)
    assert str(path) in str(refused.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"magic": MAGIC + 1}, "begins otherwise"),
        ({"sizes": SIZES | {"little_endian": False}}, "not little-endian"),
        ({"sizes": []}, "not little-endian"),
    ],
)
def test_another_form_is_refused(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=said):
        read_torch_file(write(tmp_path / "a.pth", make_tensors(), **changes))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read .*b\.pth: No such file"):
        read_torch_file(tmp_path / "b.pth")


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_runs_nothing(
    data: st.DataObject, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.pth", make_tensors())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_torch_file(path)
    except WeightsError:
        return
    assert all(isinstance(one, np.ndarray) for one in found.values())
