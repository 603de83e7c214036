"""What the tools of other people write becomes a bundle that the device verifies."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgetl.exporting.foreign import ForeignOptions, export_foreign
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.reader import Bundle


def quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(source, target)


def halve(source: Path, target: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=False), target)


@pytest.mark.parametrize(
    ("write", "recipe", "variant"),
    [
        (quantize, (), "onnx-dynamic"),
        (quantize, ("onnx-dynamic",), "onnx-dynamic"),
        (quantize, ("dynamic",), "onnx-dynamic"),
        (halve, (), "onnx-float16"),
    ],
)
def test_what_microsofts_tools_write_ships_as_it_is(
    foreign_folder: Path,
    photos: Path,
    tmp_path: Path,
    write: Callable[[Path, Path], None],
    recipe: tuple[str, ...],
    variant: str,
) -> None:
    write(foreign_folder / "model.onnx", tmp_path / "m.onnx")
    options = ForeignOptions(tmp_path / "m.onnx", foreign_folder / "labels.txt", photos, "-1..1")
    export_foreign(options, tmp_path / "b", ExportOptions(recipes=tuple(recipe)))
    bundle = Bundle.open(tmp_path / "b")
    (only,) = bundle.manifest.variants
    assert only.name == variant
    assert only.metrics.top1 > 0.8
    assert verify(bundle).ok


def test_a_float_onnx_becomes_a_dynamic_one_by_either_name(
    foreign_folder: Path, photos: Path, tmp_path: Path
) -> None:
    model = foreign_folder / "model.onnx"
    options = ForeignOptions(model, foreign_folder / "labels.txt", photos, "-1..1")
    for name in ("dynamic", "onnx-dynamic"):
        exported = export_foreign(options, tmp_path / name, ExportOptions(recipes=(name,)))
        assert [one.name for one in exported.bundle.manifest.variants] == ["onnx-dynamic"]


@pytest.mark.parametrize(
    ("name", "file"), [("litert-float32", "float.tflite"), ("onnx-float32", "model.onnx")]
)
def test_a_model_from_elsewhere_gets_hidden_outputs_and_a_memory(
    foreign_folder: Path, photos: Path, tmp_path: Path, name: str, file: str
) -> None:
    model = foreign_folder / file
    options = ForeignOptions(model, foreign_folder / "labels.txt", photos, "-1..1")
    bundle = export_foreign(options, tmp_path / "b", ExportOptions(recipes=(name,))).bundle
    variant = bundle.variant(name)
    memory = read_memory(bundle, variant)
    assert variant.hidden is not None
    assert memory is not None
    assert memory.kernel.shape == (sum(variant.hidden.map_channels), len(bundle.labels))
    assert {*memory.held_out} == {True, False}
