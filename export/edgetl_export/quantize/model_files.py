"""Model files: a plan becomes the bytes of a .tflite or an .onnx."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgetl_export.evaluate.scoring import run, run_described
from edgetl_export.evaluate.tensors import describe, describe_onnx, describe_tflite
from edgetl_export.graph import activations
from edgetl_export.graph.bias_correction import correct, round_to_float16, round_to_int8
from edgetl_export.graph.equalization import equalize
from edgetl_export.graph.head_refit import refit
from edgetl_export.graph.model_graph import Graph
from edgetl_export.options import Repair
from edgetl_export.progress import step
from edgetl_export.quantize import onnx_quantizer, sensitivity, tflite_quantizer
from edgetl_export.quantize.calibration import Inputs, draw_training_photos
from edgetl_export.quantize.repairs import PHOTOS, Plan, make_plans
from edgetl_export.quantize.retraining import PHOTOS as RETRAINING_PHOTOS
from edgetl_export.quantize.retraining import find_retrainable, retrain
from edgetl_export.quantize.sensitivity import Divergences, Sensitivity
from edgetl_export.recipes import Recipe
from edgetl_export.trained import Trained
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.engines.engine import Engine, EngineName, open_engine
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

# With 1,500 the agreement on MobileNetV2 0.35 is the same, within a photo or two of 350.
REFIT_PHOTOS = 500
_LOOKED_AT = 100
# With 300 photos the same share is chosen on MobileNetV2 0.35.
_COMPARED = 100
FEW = 20
_TYPICAL = 0.95
T = TypeVar("T")
_log = logging.getLogger(__name__)


class ModelFile(msgspec.Struct, frozen=True, eq=False):
    """A written model.

    Attributes:
        plan: What it was written by.
        data: Its bytes.
        tensors: Its input and its output.
        kept: Names of layers that stayed in float.
        hidden: What a finished file can put out besides its scores; None before, or if it cannot.
        head: The dense layer of a finished file, as its numbers have it; None as above.
    """

    plan: Plan
    data: bytes
    tensors: tuple[TensorSpec, TensorSpec]
    kept: tuple[str, ...] = ()
    hidden: HiddenOutputs | None = None
    head: Head | None = None

    @property
    def engine(self) -> EngineName:
        """Which engine runs it."""
        return self.plan.recipe.engine

    def open(self, threads: int = 1) -> Engine:
        """The engine that runs it."""
        return open_engine(self.engine, self.data, self.tensors, threads)

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """Runs the model on at least one image: float32 (images, outputs)."""
        with step(self.plan.title):
            return run_described(self.engine, self.data, self.tensors, pictures)


class FileWriter:
    """Writes the files of one trained model; what several files need is computed once."""

    def __init__(self, trained: Trained, inputs: Inputs | None = None) -> None:
        """Nothing is computed yet.

        Args:
            trained: The model and its photos.
            inputs: Where decoded photos are kept; None: for itself.
        """
        self._trained, self._inputs = trained, inputs or Inputs(trained.preprocessing)
        self._pictures: list[Frame] = []
        self._known: dict[object, Any] = {}

    @property
    def can_refit(self) -> bool:
        """True if the classifier ends in a dense layer and a softmax that can be changed."""
        return self._trained.form.precision == "float32" and self._head is not None

    def plan(self, recipe: Recipe, *, repair: Repair) -> tuple[Plan, ...]:
        """The plain recipe, and the repairs that this model can have, in order."""
        form = self._trained.form
        # ONNX Runtime's own tool, which writes dynamic files, takes the head apart.
        refit = self.can_refit and recipe.name != "onnx-dynamic"
        plans = make_plans(
            recipe,
            repair=repair if form.precision == "float32" else "none",
            refit=refit,
            retrain=refit and not self._is_onnx and find_retrainable(self._float) is not None,
        )
        # Which layers are sensitive is found on a .tflite.
        return tuple(one for one in plans if form.engine == "litert" or not one.keep)

    def photos(self, most: int) -> list[Path]:
        """Training photos to calibrate with, the same number of each class.

        Raises:
            ExportError: If there are none.
        """
        photos = draw_training_photos(self._trained, most)
        if not photos:
            raise ExportError("no training photos for calibration; add photos to the train split")
        return photos

    def write(self, plan: Plan) -> ModelFile:
        """Writes a file.

        Raises:
            ExportError: If it cannot be converted, or there is nothing to calibrate with.
            FrameError: If a photo cannot be read any more.
        """
        if self._trained.form.precision != "float32":
            return self._ship(plan)
        data = self._write_litert(plan) if _is_litert(plan) else self._write_onnx(plan)
        return ModelFile(plan, data, describe(plan.recipe.engine, data), self._kept(plan))

    def _ship(self, plan: Plan) -> ModelFile:
        """What is quantized already, as it is."""
        data = self._trained.graph
        tensors = describe_tflite(data, any_step=True) if _is_litert(plan) else describe_onnx(data)
        return ModelFile(plan, data, tensors)

    @cached_property
    def sensitivities(self) -> list[Sensitivity]:
        """Sensitivity of the layers, most sensitive first, with equalized, corrected weights."""
        graph = self._corrected(round_to_int8, ())
        ranges = activations.choose_ranges(graph, self._extremes(PHOTOS), activations.SHARES[0])
        pictures = self.inputs(sensitivity.PHOTOS)
        return sensitivity.measure(graph, ranges, pictures)

    def observe(self) -> tuple[Graph, Mapping[str, activations.Extremes], activations.Ranges]:
        """The float graph that 8 bits are made of; by name its tensors' extremes and ranges."""
        graph, extremes = Graph(self._equalized), self._extremes(PHOTOS)
        ranges = activations.choose_ranges(graph, extremes, self._share)
        return graph, extremes, ranges

    def inputs(self, most: int) -> list[Frame]:
        """The first `most` of the training images, which are decoded once."""
        photos = self.photos(most)
        self._warn_of_few(photos)
        if len(self._pictures) < len(photos):
            more = photos[len(self._pictures) :]
            self._pictures += self._inputs.load(more, "reading training photos")
        return self._pictures[: len(photos)]

    def _warn_of_few(self, photos: Sequence[Path]) -> None:
        if len(photos) < FEW and not self._pictures:
            _log.warning(
                "only %d training photos for calibration, fewer than %d: the activations for other "
                "photos may differ; add photos",
                len(photos),
                FEW,
            )

    @property
    def _is_onnx(self) -> bool:
        return self._trained.form.engine == "onnx"

    @cached_property
    def _head(self) -> Head | None:
        return onnx_quantizer.read_head(self._ready) if self._is_onnx else self._float.head

    @cached_property
    def _ready(self) -> bytes:
        """A foreign .onnx, its constants folded."""
        return onnx_quantizer.prepare(self._trained.graph)

    @cached_property
    def _float(self) -> Graph:
        return Graph(self._trained.graph)

    def _prepare(self, plan: Plan) -> Graph:
        """The float graph whose weights are what the plan's file will hold."""
        match plan.recipe.precision:
            case "int8" if plan.retrain:
                return Graph(self._retrained)
            case "int8" | "mixed" | "dynamic" if plan.per_channel:
                return self._corrected(round_to_int8, self._kept(plan))
            case "float16":
                return self._corrected(round_to_float16, ())
            case "float32":
                return Graph(self._trained.graph)
        return Graph(self._equalized)

    def _kept(self, plan: Plan) -> tuple[str, ...]:
        return tuple(one.name for one in self.sensitivities[: plan.keep]) if plan.keep else ()

    def _corrected(self, rounding: Any, keep: tuple[str, ...]) -> Graph:
        graph = Graph(self._equalized)
        pictures = self.inputs(_LOOKED_AT)
        with step("correcting biases"):
            patches = self._once("patches", lambda: activations.mean_patches(graph, pictures))
        correct(graph, patches, rounding, keep=keep)
        return graph

    @cached_property
    def _retrained(self) -> bytes:
        graph = self._corrected(round_to_int8, ())
        ranges = activations.choose_ranges(graph, self._extremes(PHOTOS), self._share)
        pictures = self.inputs(RETRAINING_PHOTOS)
        retrain(graph, self._trained.graph, ranges, pictures, seed=self._trained.seed)
        return graph.encode()

    @cached_property
    def _equalized(self) -> bytes:
        graph = Graph(self._trained.graph)
        pictures = self.inputs(_LOOKED_AT)
        with step("equalizing channels"):
            equalize(graph, pictures)
        return graph.encode()

    def _write_litert(self, plan: Plan) -> bytes:
        graph = self._prepare(plan)
        if plan.refit:
            lower = Graph(graph.encode())
            lower.end_before_head()
            graph.set_head(self._refit(plan, self._encode(plan, lower)))
        return self._encode(plan, graph)

    def _encode(self, plan: Plan, graph: Graph) -> bytes:
        recipe, model = plan.recipe, graph.encode()
        if recipe.precision == "float32":
            return model
        ranges: activations.Ranges = {}
        if recipe.calibrates:
            extremes = self._extremes(plan.photos)
            ranges = activations.choose_ranges(graph, extremes, self._share)
        return tflite_quantizer.quantize(model, recipe.precision, ranges, keep=self._kept(plan))

    def _write_onnx(self, plan: Plan) -> bytes:
        # The plan with and the plan without a refit differ in the head only.
        unfitted = msgspec.structs.replace(plan, refit=False, repair="")
        data = self._once(unfitted, lambda: self._convert_onnx(unfitted))
        if not plan.refit:
            return data
        return onnx_quantizer.set_head(
            data, self._refit(plan, onnx_quantizer.end_before_head(data))
        )

    def _convert_onnx(self, plan: Plan) -> bytes:
        model = (
            self._ready if self._is_onnx else onnx_quantizer.convert(self._prepare(plan).encode())
        )
        match plan.recipe.precision:
            case "int8":
                ready = model if self._is_onnx else onnx_quantizer.prepare(model)
                pictures = self.inputs(plan.photos)
                with step(plan.title):
                    extremes = onnx_quantizer.find_extremes(ready, pictures)
                return onnx_quantizer.quantize(
                    ready,
                    onnx_quantizer.choose_ranges(extremes, self._share),
                    per_channel=plan.per_channel,
                    keep=self._kept(plan),
                )
            case "dynamic":
                ready = model if self._is_onnx else onnx_quantizer.prepare(model)
                return onnx_quantizer.quantize_dynamically(ready, per_channel=plan.per_channel)
            case "float16":
                return onnx_quantizer.to_float16(model)
        return model

    @cached_property
    def _share(self) -> float:
        """Fraction of the photos that keep all their values; see `activations.choose_share`."""
        if self._is_onnx:
            # Ranges are compared on a .tflite.
            return _TYPICAL
        pictures, graph = self.inputs(_COMPARED), self._corrected(round_to_int8, ())
        extremes, model = self._extremes(PHOTOS), graph.encode()

        def measure(share: float) -> Divergences:
            ranges = activations.choose_ranges(graph, extremes, share)
            scores = run("litert", tflite_quantizer.quantize(model, "int8", ranges), pictures)
            return sensitivity.diverge(trained, scores)

        with step("choosing ranges"):
            trained = run("litert", self._trained.graph, pictures)
            found = {share: measure(share) for share in activations.SHARES}
        return activations.choose_share(found)

    def _extremes(self, photos: int) -> dict[str, activations.Extremes]:
        graph, pictures = Graph(self._equalized), self.inputs(photos)
        with step("finding ranges"):
            return self._once(
                ("extremes", photos), lambda: activations.find_extremes(graph, pictures)
            )

    def _refit(self, plan: Plan, lower: bytes) -> Head:
        """The head for what a file outputs below it."""
        head = self._head
        if head is None:
            raise ExportError("this classifier does not end in a dense layer and a softmax")
        pictures = self.inputs(REFIT_PHOTOS)
        with step(plan.title):
            features = run(plan.recipe.engine, lower, pictures)
        return refit(head, self._trained_features, features)

    @cached_property
    def _trained_features(self) -> Scores:
        pictures = self.inputs(REFIT_PHOTOS)
        with step("trained features"):
            if self._is_onnx:
                return run("onnx", onnx_quantizer.end_before_head(self._ready), pictures)
            lower = Graph(self._trained.graph)
            lower.end_before_head()
            return run("litert", lower.encode(), pictures)

    def _once(self, key: object, compute: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = compute()
        known: T = self._known[key]
        return known


def _is_litert(plan: Plan) -> bool:
    return plan.recipe.engine == "litert"
