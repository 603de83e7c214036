"""What a file can put out besides its scores, and the answer where the unknown is the best."""

import msgspec
import numpy as np
import pytest

from edgetl_runtime.answers import answer_alone
from edgetl_runtime.bundle.manifest import FORMAT_VERSION
from edgetl_runtime.bundle.memory import Memory, encode_memory, read_memory
from edgetl_runtime.bundle.reader import Bundle, encode_checksum, encode_manifest
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs, reveal
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.pipeline.drift import Drift
from edgetl_runtime.pipeline.meter import Meter
from edgetl_runtime.pipeline.smoothing import Smoother
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import SmoothingSettings
from tests import damaged_bundles
from tests.runtime.conftest import FakeEngine

HIDDEN = HiddenOutputs(offset=2, features=b"ab", maps=b"abc", map_channels=(3,))
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
# Of tests/data/tiny.bundle/onnx-float32.onnx.
FEATURES, MAP = "Squeeze_9:0", "Relu_7:0"
OUTPUTS = ("gear", "spring", "washer", "unknown")


def announce(*names: str) -> bytes:
    """An .onnx of nothing but outputs: field 7 of it, field 12 of that, field 1 of that."""
    outputs = b"".join(
        b"\x62" + bytes([len(name) + 2]) + b"\x0a" + bytes([len(name)]) + name.encode()
        for name in names
    )
    return b"\x3a" + bytes([len(outputs)]) + outputs


def test_bytes_are_written_over_those_of_the_file():
    assert reveal(b"0123456", HIDDEN, "features") == b"01ab456"
    assert reveal(b"0123456", HIDDEN, "maps") == b"01abc56"
    assert reveal(b"01", HIDDEN, "maps") == b"01abc"


def test_a_file_without_hidden_outputs_says_so(wording):
    for hidden, pattern in zip((None, HiddenOutputs(2, b"ab")), wording, strict=True):
        with pytest.raises(EngineError, match=pattern):
            reveal(b"0123456", hidden, "maps")


@pytest.mark.parametrize("name", ["litert-int8", "onnx-int8"])
def test_an_engine_that_reveals_nothing_cannot_look(name, bundle, wording):
    variant = bundle.variant(name)
    model = bundle.read(variant)
    engine = open_engine(variant.engine, model, (variant.input, variant.output), 1)
    with pytest.raises(EngineError, match=wording):
        engine.look(PIXELS)


def test_an_onnx_puts_out_what_is_appended(bundle):
    variant = bundle.variant("onnx-float32")
    model, tensors = bundle.read(variant), (variant.input, variant.output)
    hidden = HiddenOutputs(len(model), announce(FEATURES), announce(FEATURES, MAP), (16,))
    plain = open_engine("onnx", model, tensors, 1).run(PIXELS)
    for which, count in (("features", 0), ("maps", 1)):
        seen = open_engine("onnx", model, tensors, 1, hidden, which).look(PIXELS)
        np.testing.assert_allclose(seen.scores, plain, atol=1e-6)
        assert seen.features.shape == (16,)
        assert len(seen.maps) == count
    assert seen.maps[0].shape == (4, 4, 16)
    np.testing.assert_allclose(seen.maps[0].mean(axis=(0, 1)), seen.features, atol=1e-4)


def test_maps_of_other_channels_than_promised_are_refused(bundle, wording):
    variant = bundle.variant("onnx-float32")
    model, tensors = bundle.read(variant), (variant.input, variant.output)
    hidden = HiddenOutputs(len(model), announce(FEATURES), announce(FEATURES, MAP), (17,))
    engine = open_engine("onnx", model, tensors, 1, hidden, "maps")
    with pytest.raises(EngineError, match=wording):
        engine.look(PIXELS)


def test_a_model_with_other_outputs_than_were_revealed_is_refused(bundle, wording):
    variant = bundle.variant("litert-int8")
    model, tensors = bundle.read(variant), (variant.input, variant.output)
    # Bytes that change nothing.
    hidden = HiddenOutputs(0, model[:4])
    with pytest.raises(EngineError, match=wording):
        open_engine("litert", model, tensors, 1, hidden, "features")


@pytest.mark.parametrize("name", damaged_bundles.SOUND)
def test_a_sound_bundle_of_format_4_opens(name, edit):
    Bundle.open(edit(damaged_bundles.SOUND[name]))


def test_a_bundle_of_format_3_has_none_of_what_is_new(bundle):
    manifest = bundle.manifest
    assert (manifest.format_version, FORMAT_VERSION) == (3, 4)
    assert manifest.outputs == manifest.labels
    assert manifest.unknown is None
    for variant in manifest.variants:
        assert (variant.hidden, variant.memory) == (None, None)
        assert read_memory(bundle, variant) is None


def suspicious(edit, *scores):
    bundle = Bundle.open(edit(damaged_bundles.add_unknown))
    return Classifier(bundle, bundle.variant(), FakeEngine(*scores))


def test_a_frame_whose_best_output_is_the_unknown_gets_no_label(edit):
    found = suspicious(edit, 0.1, 0.2, 0.1, 0.6)(np.zeros((40, 40, 3), np.uint8))
    assert found.labels == OUTPUTS
    assert (found.label, found.unknown, found.index) == (None, 3, 3)
    assert found.top(2)[0] == ("unknown", pytest.approx(found.score))


def test_a_frame_whose_best_output_is_a_class_gets_its_label(edit):
    found = suspicious(edit, 0.01, 0.97, 0.01, 0.01)(np.zeros((40, 40, 3), np.uint8))
    assert found.label == "spring"


def predict(*scores: float, at_s: float = 0.0) -> Prediction:
    values = np.array(scores, np.float32)
    return Prediction(OUTPUTS, values, 0.0, at_s, at_s, 1.0, 1.0, unknown=3)


@pytest.mark.parametrize("method", ["none", "average", "majority"])
def test_the_unknown_is_no_stable_label(method):
    smoother = Smoother(SmoothingSettings(method=method, hold=1))
    named = smoother.update(predict(0.9, 0.0, 0.0, 0.1), 0.0)
    assert named.label == "gear"
    for n in range(1, 9):
        unknown = smoother.update(predict(0.0, 0.1, 0.0, 0.9), float(n))
    assert unknown.label is None
    assert unknown.score == pytest.approx(unknown.scores.max())


def test_drift_counts_the_unknown_as_rejected(bundle):
    drift = Drift(bundle.variant().metrics, spacing_s=0)
    for n in range(4):
        drift.add(predict(0.1, 0.1, 0.1, 0.7 if n else 0.0, at_s=float(n)))
    report = drift.report()
    assert report.reject_rate == 0.75
    assert report.label_shares == {"gear": 1.0}


def test_the_meter_counts_the_unknown_as_rejected():
    meter = Meter()
    frame = CapturedFrame(PIXELS, "camera", 0, 0.0)
    meter.add(answer_alone(frame, predict(0.0, 0.0, 0.1, 0.9)))
    assert meter.read().counts.rejected == 1


@pytest.fixture
def memory() -> Memory:
    random = np.random.default_rng(0)
    return Memory(
        kernel=random.normal(size=(16, 3)).astype(np.float32),
        bias=random.normal(size=3).astype(np.float32),
        rows=random.normal(size=(6, 16)).astype(np.float16),
        classes=np.array([0, 1, 2, 0, 1, 2], np.int16),
        held_out=np.array([False] * 3 + [True] * 3),
        detector={"mean": random.normal(size=16).astype(np.float32)},
    )


def remember(folder, data: bytes) -> Bundle:
    """The bundle, with this memory beside its first model."""
    path = folder / "first.memory.npz"
    path.write_bytes(data)
    bundle = Bundle.open(folder)
    stored = damaged_bundles.describe_file(path.name, data)
    variants = list(bundle.manifest.variants)
    variants[0] = msgspec.structs.replace(
        variants[0],
        hidden=HiddenOutputs(8, b"ab", b"abc", (16,)),
        memory=msgspec.convert(stored, type(bundle.manifest.card)),
    )
    manifest = msgspec.structs.replace(
        bundle.manifest, format_version=FORMAT_VERSION, variants=tuple(variants)
    )
    written = encode_manifest(manifest)
    (folder / "bundle.json").write_bytes(written)
    (folder / "bundle.json.sha256").write_bytes(encode_checksum(written))
    return Bundle.open(folder)


def test_a_memory_is_read_as_it_was_written(memory, tiny_copy):
    bundle = remember(tiny_copy, encode_memory(memory))
    found = read_memory(bundle, bundle.variant())
    assert found is not None
    for name in ("kernel", "bias", "rows", "classes", "held_out"):
        np.testing.assert_array_equal(getattr(found, name), getattr(memory, name))
        assert getattr(found, name).dtype == getattr(memory, name).dtype
    np.testing.assert_array_equal(found.detector["mean"], memory.detector["mean"])
    assert bundle.find_unlisted() == []


def test_equal_memories_are_equal_bytes(memory):
    assert encode_memory(memory) == encode_memory(memory)


def test_a_damaged_memory_is_refused_as_the_bundle_is_opened(memory, tiny_copy):
    remember(tiny_copy, encode_memory(memory))
    file = tiny_copy / "first.memory.npz"
    file.write_bytes(damaged_bundles.flip_a_bit(file.read_bytes()))
    with pytest.raises(BundleError, match=file.name):
        Bundle.open(tiny_copy)


@pytest.mark.parametrize(
    "change",
    [
        {"bias": np.zeros(4, np.float32)},
        {"kernel": np.zeros((15, 3), np.float32), "rows": np.zeros((6, 15), np.float16)},
        {"kernel": np.zeros((16, 3), np.float64)},
        {"kernel": np.full((16, 3), np.nan, np.float32)},
        {"rows": np.zeros((6, 15), np.float16)},
        {"rows": np.zeros(6, np.float16)},
        {"classes": np.array([0, 1, 2, 0, 1, 3], np.int16)},
        {"classes": np.array([0, 1, 2, 0, 1, -1], np.int16)},
        {"held_out": np.zeros(5, np.bool_)},
    ],
)
def test_a_memory_that_does_not_fit_is_refused(change, memory, tiny_copy, wording):
    bundle = remember(tiny_copy, encode_memory(msgspec.structs.replace(memory, **change)))
    with pytest.raises(BundleError, match=wording):
        read_memory(bundle, bundle.variant())


def list_no_memories(data: bytes) -> list[bytes]:
    header = b"'descr': '<f4', 'fortran_order': False, 'shape': (16, 3), }"
    assert data.count(header) == 1
    huge = header.replace(b"(16, 3), }", b"(9**9,)}  ")
    pickled = header.replace(b"'<f4'", b"'|O' ")
    fortran = header.replace(b"False", b"True ")
    changed = [data.replace(header, one) for one in (huge, pickled, fortran)]
    return [b"", b"PK", data[:-30], data[:400], *map(damaged_bundles.fix_crc, changed)]


@pytest.mark.parametrize("number", range(7))
def test_what_is_no_memory_is_refused(number, memory, tiny_copy, wording):
    data = list_no_memories(encode_memory(memory))[number] or b"\0"
    bundle = remember(tiny_copy, data)
    with pytest.raises(BundleError, match=wording):
        read_memory(bundle, bundle.variant())
