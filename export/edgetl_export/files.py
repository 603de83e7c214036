"""Model files: a plan becomes the bytes of a .tflite or an .onnx."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgetl_export import litert, onnx
from edgetl_export.calibration import choose_photos, load_inputs
from edgetl_export.metadata import ModelInfo, add_onnx_metadata, add_tflite_metadata
from edgetl_export.refit import PHOTOS, Features, Head, refit, split_at_head, using_head
from edgetl_export.repair import Plan
from edgetl_export.trained import Trained
from edgetl_runtime.engine import Engine, default_threads, open_engine
from edgetl_runtime.errors import ExportError
from edgetl_runtime.preprocessing import Frame
from edgetl_runtime.tensors import TensorSpec


class ModelFile(msgspec.Struct, frozen=True, eq=False):
    """A written model.

    Attributes:
        plan: What it was written by.
        data: Its bytes.
        tensors: Its input and its output.
    """

    plan: Plan
    data: bytes
    tensors: tuple[TensorSpec, TensorSpec]

    def open(self, threads: int = 1) -> Engine:
        """The engine that runs it."""
        return open_engine(self.plan.recipe.engine, self.data, self.tensors, threads)


class FileWriter:
    """Writes the files of one trained model; what several files need is computed once."""

    def __init__(self, trained: Trained) -> None:
        """Nothing is computed yet."""
        self._trained = trained
        self._pictures: list[Frame] = []

    def photos(self, most: int) -> list[Path]:
        """Training photos to calibrate with, the same number of each class.

        Raises:
            ExportError: If there are none.
        """
        trained = self._trained
        by_class: list[list[Path]] = [[] for _ in trained.labels]
        for photo in trained.training:
            by_class[photo.index].append(photo.file)
        photos = choose_photos(by_class, trained.seed, most)
        if not photos:
            raise ExportError("there are no training photos to calibrate with; train again")
        return photos

    def write(self, plan: Plan) -> ModelFile:
        """Converts the model.

        Raises:
            ExportError: If it cannot be converted, or there is nothing to calibrate with.
            FrameError: If a photo cannot be read any more.
        """
        model = self._trained.model
        if not plan.refit:
            return self._describe(plan, self._convert(model, plan))
        with using_head(model, self._refitted(plan)):
            return self._describe(plan, self._convert(model, plan, reuse=False))

    def _convert(self, model: Any, plan: Plan, *, reuse: bool = True) -> bytes:
        recipe = plan.recipe
        calibration = self._inputs(plan.photos) if recipe.calibrates else []
        if recipe.engine == "litert":
            return litert.convert(model, recipe.precision, calibration)
        source = self._as_onnx if reuse and model is self._trained.model else onnx.convert(model)
        match recipe.precision:
            case "int8":
                return onnx.quantize(source, calibration, per_channel=plan.per_channel)
            case "float16":
                return onnx.halve(source)
        return source

    def _describe(self, plan: Plan, data: bytes) -> ModelFile:
        if plan.recipe.engine == "litert":
            data = self._with_metadata(data)
            return ModelFile(plan, data, litert.describe(data))
        data = self._with_properties(data)
        return ModelFile(plan, data, onnx.describe(data))

    @functools.cached_property
    def _as_onnx(self) -> bytes:
        return onnx.convert(self._trained.model)

    def _inputs(self, most: int) -> list[Frame]:
        """The first `most` of the pictures, which are decoded once."""
        photos = self.photos(most)
        if len(self._pictures) < len(photos):
            self._pictures = load_inputs(photos, self._trained.preprocessing)
        return self._pictures[: len(photos)]

    def _refitted(self, plan: Plan) -> Head:
        extractor, head = split_at_head(self._trained.model)
        pictures = self._inputs(PHOTOS)
        features = self._run(plan, self._convert(extractor, plan), pictures)
        return refit(head, features, self._trained_scores, seed=self._trained.seed)

    @functools.cached_property
    def _trained_scores(self) -> Features:
        """Of the pictures to refit with; LiteRT gives Keras's scores several times faster."""
        data = litert.convert(self._trained.model, "float32", [])
        engine = open_engine("litert", data, litert.describe(data), default_threads())
        return np.stack([engine.run(picture) for picture in self._inputs(PHOTOS)])

    def _run(self, plan: Plan, model: bytes, pictures: Sequence[Frame]) -> Features:
        engine = plan.recipe.engine
        describe = litert.describe if engine == "litert" else onnx.describe
        opened = open_engine(engine, model, describe(model), default_threads())
        return np.stack([opened.run(picture) for picture in pictures])

    def _with_metadata(self, model: bytes) -> bytes:
        return add_tflite_metadata(model, self._info)

    def _with_properties(self, model: bytes) -> bytes:
        return add_onnx_metadata(model, self._info)

    @property
    def _info(self) -> ModelInfo:
        trained = self._trained
        return ModelInfo(
            name=f"edgetl {trained.backbone}",
            description=f"Classifies a picture as one of {len(trained.labels)} labels.",
            version=trained.model_sha256[:12],
            author=f"trained with edgetl {trained.versions['edgetl']}",
            license="not stated",
            labels=trained.labels,
            width_px=trained.preprocessing.width_px,
            height_px=trained.preprocessing.height_px,
            fit=trained.preprocessing.fit,
            record={
                "edgetl_version": trained.versions["edgetl"],
                "backbone": trained.backbone,
                "preprocessing": msgspec.to_builtins(trained.preprocessing),
                "weights_digest": trained.weights_digest,
                "dataset_digest": trained.dataset_digest,
                "model_sha256": trained.model_sha256,
            },
        )
