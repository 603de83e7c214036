"""Export: a trained model becomes files, the files are measured, and a bundle is written."""

import datetime
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edgetl_export import litert, onnx
from edgetl_export.calibration import choose_photos, load_inputs
from edgetl_export.metadata import add_tflite_metadata, encode_labels
from edgetl_export.progress import Track, silent
from edgetl_export.recipes import RECIPES, Recipe
from edgetl_export.scoring import Labelled, Outcome, judge, score
from edgetl_runtime.bundle import (
    FORMAT_VERSION,
    LABELS,
    MANIFEST,
    SEAL,
    Bundle,
    BundleManifest,
    Calibration,
    Provenance,
    StoredFile,
    Variant,
    encode_manifest,
    encode_seal,
)
from edgetl_runtime.engine import Engine, open_engine
from edgetl_runtime.errors import ExportError
from edgetl_runtime.golden import TOLERANCE
from edgetl_runtime.pictures import decode_picture, read_picture
from edgetl_runtime.preprocessing import Frame, Preprocessing, resize
from edgetl_runtime.storage import check_replaceable, staged_folder
from edgetl_runtime.tensors import TensorSpec

GOLDEN_FRAMES = 5
_GOLDEN_SIDE_PX = 320


class Trained(msgspec.Struct, frozen=True, eq=False):
    """All that export needs of a training run.

    Attributes:
        model: Keras classifier: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.
        labels: In the order of the output.
        preprocessing: From frame to input.
        training: Training photos; calibration draws from these only.
        validation: Photos that the files are scored on.
        seed: Of the draw.
        backbone: Name, for the record.
        weights_digest: For the record.
        dataset_digest: For the record.
        model_sha256: For the record.
        versions: For the record.
    """

    model: Any
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    training: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    seed: int
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    versions: dict[str, str]


class _File(msgspec.Struct, frozen=True, eq=False):
    recipe: Recipe
    data: bytes
    tensors: tuple[TensorSpec, TensorSpec]


def export_bundle(
    trained: Trained, out: Path, *, overwrite: bool = False, track: Track = silent
) -> Bundle:
    """Converts, measures and writes; the folder appears only when all is well.

    Raises:
        ExportError: If the model cannot be converted or there is nothing to calibrate with.
        FrameError: If a photo cannot be read any more.
        StorageError: If `out` exists or cannot be written.
    """
    check_replaceable(out, marker=MANIFEST, overwrite=overwrite)
    photos = _calibration_photos(trained)
    files = _convert(trained, load_inputs(photos, trained.preprocessing), track)
    engines = {
        file.recipe.name: open_engine(file.recipe.engine, file.data, file.tensors, threads=1)
        for file in files
    }
    outcome = score(trained.model, engines, trained.validation, trained.preprocessing, track)
    golden = _make_golden(trained, outcome)
    with staged_folder(out, marker=MANIFEST, overwrite=overwrite) as folder:
        stored = [_store(folder, f"golden/{n}.png", data) for n, data in enumerate(golden)]
        manifest = BundleManifest(
            format_version=FORMAT_VERSION,
            labels=trained.labels,
            preprocessing=trained.preprocessing,
            variants=tuple(
                _store_variant(folder, file, engines, outcome, trained, golden) for file in files
            ),
            calibration=Calibration(),
            golden=tuple(stored),
            labels_file=_store(folder, LABELS, encode_labels(trained.labels)),
            provenance=_provenance(trained, photos),
        )
        data = encode_manifest(manifest)
        (folder / MANIFEST).write_bytes(data)
        (folder / SEAL).write_bytes(encode_seal(data))
        Bundle.open(folder)
    return Bundle.open(out)


def _calibration_photos(trained: Trained) -> list[Path]:
    by_class: list[list[Path]] = [[] for _ in trained.labels]
    for photo in trained.training:
        by_class[photo.index].append(photo.file)
    photos = choose_photos(by_class, trained.seed)
    if not photos:
        raise ExportError("there are no training photos to calibrate with; train again")
    return photos


def _convert(trained: Trained, calibration: Sequence[Frame], track: Track) -> list[_File]:
    @functools.cache
    def convert_to_onnx() -> bytes:
        return onnx.convert(trained.model)

    def convert(recipe: Recipe) -> bytes:
        if recipe.engine == "litert":
            model = litert.convert(trained.model, recipe.precision, calibration)
            return _with_metadata(trained, model)
        model = convert_to_onnx()
        if recipe.precision == "int8":
            model = onnx.quantize(model, calibration)
        return _with_onnx_labels(model, trained)

    files = []
    for recipe in track(RECIPES, "converting", len(RECIPES)):
        data = convert(recipe)
        describe = litert.describe if recipe.engine == "litert" else onnx.describe
        files.append(_File(recipe, data, describe(data)))
    return files


def _with_metadata(trained: Trained, model: bytes) -> bytes:
    return add_tflite_metadata(
        model,
        name=f"edgetl {trained.backbone}",
        description=f"Classifies a picture as one of {len(trained.labels)} labels.",
        labels=trained.labels,
        size_px=(trained.preprocessing.width_px, trained.preprocessing.height_px),
    )


def _with_onnx_labels(model: bytes, trained: Trained) -> bytes:
    preprocessing = trained.preprocessing
    return onnx.add_properties(
        model,
        {
            "task": "classify",
            "names": str(dict(enumerate(trained.labels))),
            "imgsz": str([preprocessing.height_px, preprocessing.width_px]),
            "edgetl": json.dumps({"labels": trained.labels, "backbone": trained.backbone}),
        },
    )


def _make_golden(trained: Trained, outcome: Outcome) -> list[bytes]:
    """PNGs of validation photos from unsure to sure, so that a shift of scores shows."""
    confidence = outcome.trained.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    positions = np.linspace(0.1, 0.9, min(GOLDEN_FRAMES, len(order))) * (len(order) - 1)
    chosen = dict.fromkeys(int(order[round(position)]) for position in positions)
    return [_encode_png(read_picture(trained.validation[index].file)) for index in chosen]


def _encode_png(photo: Frame) -> bytes:
    height, width = photo.shape[:2]
    factor = min(1.0, _GOLDEN_SIDE_PX / max(height, width))
    small = resize(photo, max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.imencode(".png", small)[1].tobytes()


def _store(folder: Path, name: str, data: bytes) -> StoredFile:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return StoredFile(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _store_variant(
    folder: Path,
    file: _File,
    engines: dict[str, Engine],
    outcome: Outcome,
    trained: Trained,
    golden: Sequence[bytes],
) -> Variant:
    recipe = file.recipe
    stored = _store(folder, recipe.file, file.data)
    frames = [trained.preprocessing.apply(decode_picture(data)) for data in golden]
    scores = [engines[recipe.name].run(pixels).tolist() for pixels in frames]
    return Variant(
        file=stored.file,
        sha256=stored.sha256,
        bytes=stored.bytes,
        name=recipe.name,
        engine=recipe.engine,
        precision=recipe.precision,
        input=file.tensors[0],
        output=file.tensors[1],
        metrics=judge(outcome, recipe.name, trained.labels),
        golden_scores=tuple(map(tuple, scores)),
        golden_tolerance=TOLERANCE[recipe.precision],
    )


def _provenance(trained: Trained, photos: Sequence[Path]) -> Provenance:
    return Provenance(
        edgetl_version=trained.versions["edgetl"],
        backbone=trained.backbone,
        weights_digest=trained.weights_digest,
        dataset_digest=trained.dataset_digest,
        model_sha256=trained.model_sha256,
        calibration_photos=tuple(f"{photo.parent.name}/{photo.name}" for photo in photos),
        created_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=trained.versions,
    )
