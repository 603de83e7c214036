"""Model files: a plan becomes the bytes of a .tflite or an .onnx."""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from edgetl_export import litert, observation, onnx, onnx_head, sensitivity
from edgetl_export.calibration import choose_photos, load_inputs
from edgetl_export.correction import correct, round_to_bytes, round_to_halves
from edgetl_export.equalization import equalize
from edgetl_export.graph import Graph, Head
from edgetl_export.progress import Track, silent
from edgetl_export.recipes import Recipe
from edgetl_export.refit import refit
from edgetl_export.repair import PHOTOS, Plan, make_plans
from edgetl_export.sensitivity import Sensitivity
from edgetl_export.trained import Form, Trained
from edgetl_runtime.engine import Engine, default_threads, open_engine
from edgetl_runtime.errors import ExportError
from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Frame
from edgetl_runtime.tensors import TensorSpec

REFIT_PHOTOS = 1500
FEW = 20
_LOOKED_AT = 60
_ALL = 1.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class ModelFile(msgspec.Struct, frozen=True, eq=False):
    """A written model.

    Attributes:
        plan: What it was written by.
        data: Its bytes.
        tensors: Its input and its output.
        kept: Names of layers that stayed in float.
    """

    plan: Plan
    data: bytes
    tensors: tuple[TensorSpec, TensorSpec]
    kept: tuple[str, ...] = ()

    def open(self, threads: int = 1) -> Engine:
        """The engine that runs it."""
        return open_engine(self.plan.recipe.engine, self.data, self.tensors, threads)

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """What it puts out for pictures, float32 (pictures, outputs)."""
        engine = self.open(default_threads())
        return np.stack([engine.run(picture) for picture in pictures])


class FileWriter:
    """Writes the files of one trained model; what several files need is computed once."""

    def __init__(self, trained: Trained, track: Track = silent) -> None:
        """Nothing is computed yet."""
        self._trained = trained
        self._track = track
        self._pictures: list[Frame] = []
        self._known: dict[object, Any] = {}

    @property
    def can_refit(self) -> bool:
        """True if the classifier ends in a dense layer and a softmax that can be changed."""
        form = self._trained.form
        if form.precision != "float32":
            return False
        head = self._float.head if form.engine == "litert" else onnx_head.find_head(self._ready)
        return head is not None

    def plan(self, recipe: Recipe, *, repair: bool) -> tuple[Plan, ...]:
        """The plain recipe, and the repairs that this model can have, in order."""
        form = self._trained.form
        plans = make_plans(
            recipe, repair=repair and form.precision == "float32", refit=self.can_refit
        )
        # Which layers are sensitive is found on a .tflite.
        return tuple(one for one in plans if form.engine == "litert" or not one.keep)

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
            raise ExportError(
                "there are no training photos to calibrate with; add photos to the train part"
            )
        return photos

    def write(self, plan: Plan) -> ModelFile:
        """Writes a file.

        Raises:
            ExportError: If it cannot be converted, or there is nothing to calibrate with.
            FrameError: If a photo cannot be read any more.
        """
        if self._trained.form != Form():
            return self._write_foreign(plan)
        graph = self._prepare(plan)
        if plan.refit:
            graph.set_head(self._refit(plan, graph))
        return self._encode(plan, graph)

    @cached_property
    def sensitivities(self) -> list[Sensitivity]:
        """Of the layers, the most sensitive one first; measured on equalized, corrected weights."""
        graph = self._corrected(round_to_bytes, ())
        ranges = observation.choose_ranges(graph, self._extremes(PHOTOS))
        pictures = self.inputs(sensitivity.PHOTOS)
        return sensitivity.measure(graph, ranges, pictures, track=self._track)

    def inputs(self, most: int) -> list[Frame]:
        """The first `most` of the training pictures, which are decoded once."""
        photos = self.photos(most)
        self._warn_of_few(photos)
        if len(self._pictures) < len(photos):
            more = photos[len(self._pictures) :]
            self._pictures += load_inputs(
                more, self._trained.preprocessing, "reading training photos", track=self._track
            )
        return self._pictures[: len(photos)]

    def _warn_of_few(self, photos: Sequence[Path]) -> None:
        if len(photos) < FEW and not self._pictures:
            _log.warning(
                "only %d training photos to calibrate with, fewer than %d: what the layers put out "
                "for others may differ; add photos",
                len(photos),
                FEW,
            )

    @cached_property
    def _float(self) -> Graph:
        return Graph(self._trained.graph)

    def _prepare(self, plan: Plan) -> Graph:
        """The float graph whose weights are what the plan's file will hold."""
        match plan.recipe.precision:
            case "int8" | "mixed" | "dynamic" if plan.per_channel:
                return self._corrected(round_to_bytes, self._kept(plan))
            case "float16":
                return self._corrected(round_to_halves, ())
            case "float32":
                return Graph(self._trained.graph)
        return Graph(self._equalized)

    def _kept(self, plan: Plan) -> tuple[str, ...]:
        return tuple(one.name for one in self.sensitivities[: plan.keep]) if plan.keep else ()

    def _corrected(self, rounding: Any, keep: tuple[str, ...]) -> Graph:
        graph = Graph(self._equalized)
        patches = self._once(
            "patches", lambda: observation.mean_patches(graph, self.inputs(_LOOKED_AT))
        )
        correct(graph, patches, rounding, keep=keep)
        return graph

    @cached_property
    def _equalized(self) -> bytes:
        graph = Graph(self._trained.graph)
        equalize(graph, self.inputs(_LOOKED_AT))
        return graph.encode()

    def _encode(self, plan: Plan, graph: Graph) -> ModelFile:
        if plan.recipe.engine == "litert":
            data = self._encode_litert(plan, graph)
            return ModelFile(plan, data, litert.describe(data), self._kept(plan))
        data = self._encode_onnx(plan, graph)
        return ModelFile(plan, data, onnx.describe(data), self._kept(plan))

    def _encode_litert(self, plan: Plan, graph: Graph) -> bytes:
        recipe, model = plan.recipe, graph.encode()
        if recipe.precision == "float32":
            return model
        ranges: observation.Ranges = {}
        if recipe.calibrates:
            extremes = self._extremes(plan.photos)
            ranges = observation.choose_ranges(graph, extremes, _share(plan))
        return litert.quantize(model, recipe.precision, ranges, keep=self._kept(plan))

    def _write_foreign(self, plan: Plan) -> ModelFile:
        """Of an .onnx, or of what is quantized already."""
        data, form = self._trained.graph, self._trained.form
        form.check([plan.recipe])
        if form.engine == "litert":
            return ModelFile(plan, data, litert.describe(data, any_step=True))
        if form.precision == "float32":
            data = self._quantize_onnx(plan, self._refit_onnx(plan) if plan.refit else data)
        return ModelFile(plan, data, onnx.describe(data))

    @cached_property
    def _ready(self) -> bytes:
        return onnx.prepare(self._trained.graph)

    def _refit_onnx(self, plan: Plan) -> bytes:
        """An .onnx with the head for what the plan's file puts out below it."""
        head = onnx_head.find_head(self._ready)
        if head is None:
            raise ExportError("this classifier does not end in a dense layer and a softmax")
        lower = onnx_head.end_before_head(self._ready)
        pictures = self.inputs(REFIT_PHOTOS)

        def run(data: bytes) -> Scores:
            return ModelFile(plan, data, onnx.describe(data)).run(pictures)

        exact = self._once("features", lambda: run(lower))
        return onnx_head.set_head(
            self._ready, refit(head, exact, run(self._quantize_onnx(plan, lower)))
        )

    def _encode_onnx(self, plan: Plan, graph: Graph) -> bytes:
        return self._quantize_onnx(plan, onnx.convert(graph.encode()))

    def _quantize_onnx(self, plan: Plan, model: bytes) -> bytes:
        match plan.recipe.precision:
            case "int8":
                ready = onnx.prepare(model)
                extremes = onnx.find_extremes(ready, self.inputs(plan.photos))
                return onnx.quantize(
                    ready,
                    onnx.choose_ranges(extremes, _share(plan)),
                    per_channel=plan.per_channel,
                    keep=self._kept(plan),
                )
            case "float16":
                return onnx.halve(model)
        return model

    def _extremes(self, photos: int) -> dict[str, observation.Extremes]:
        graph = Graph(self._equalized)
        return self._once(
            ("extremes", photos), lambda: observation.find_extremes(graph, self.inputs(photos))
        )

    def _refit(self, plan: Plan, graph: Graph) -> Head:
        """The head for what the plan's file puts out below it."""
        head = self._float.head
        if head is None:
            raise ExportError("this classifier does not end in a dense layer and a softmax")
        lower = Graph(graph.encode())
        lower.end_before_head()
        pictures = self.inputs(REFIT_PHOTOS)
        return refit(head, self._trained_features, self._encode(plan, lower).run(pictures))

    @cached_property
    def _trained_features(self) -> Scores:
        lower = Graph(self._trained.graph)
        lower.end_before_head()
        return sensitivity.run(lower.encode(), self.inputs(REFIT_PHOTOS))

    def _once(self, key: object, compute: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = compute()
        known: T = self._known[key]
        return known


def _share(plan: Plan) -> float:
    return _ALL if plan.whole_ranges else observation.TYPICAL
