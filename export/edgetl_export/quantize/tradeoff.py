"""The trade-off: what each recipe costs in accuracy, and gains in bytes and time."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edgetl_export.evaluate.gate import Gate, GateVerdict
from edgetl_export.graph.model_graph import CONVOLUTION, DEPTHWISE, Graph
from edgetl_export.options import Repair
from edgetl_export.quantize.distribution import Distribution, find_distributions
from edgetl_export.quantize.latency import measure_latencies
from edgetl_export.quantize.model_files import FileWriter, ModelFile
from edgetl_export.quantize.repairs import KEEP, PHOTOS, Plan
from edgetl_export.quantize.search import Attempt, Judge, attempt, find_best, measure
from edgetl_export.quantize.sensitivity import Sensitivity
from edgetl_export.recipes import Recipe, find_recipes
from edgetl_export.trained import Trained
from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.engines.engine import EngineName

WORST = 6
_FLOAT_BYTES = 4
_KINDS = {CONVOLUTION: "convolution", DEPTHWISE: "depthwise"}


class Measured(msgspec.Struct, frozen=True):
    """One file and its figures.

    Attributes:
        recipe: What it was written by in the end: a repair may take another recipe.
        precision: Of that recipe.
        repair: What differs from the plain recipe, for people; empty for the plain one.
        kept: Names of layers that stayed in float.
        bytes: Its size.
        top1: Accuracy on the validation photos, 0..1.
        drop: Trained model's top-1 minus this one's, -1..1.
        agreement: Share of the photos for which it names the trained model's label, 0..1.
        worst_class: The label that lost the most recall; empty without photos.
        worst_class_drop: By how much, -1..1.
        failures: What the gate refuses; none: it may ship.
        unsure: What the gate would refuse, were the photos more.
        latency_ms: Median duration of an invoke on one thread of this machine; None: not timed.
        latency_ratio: Of that to the engine's float32 file.
    """

    recipe: str
    precision: Precision
    repair: str
    kept: tuple[str, ...]
    bytes: int
    top1: float
    drop: float
    agreement: float
    worst_class: str
    worst_class_drop: float
    failures: tuple[str, ...]
    unsure: tuple[str, ...]
    latency_ms: float | None = None
    latency_ratio: float | None = None

    @property
    def passed(self) -> bool:
        """True if it may ship."""
        return not self.failures

    @property
    def word(self) -> str:
        """See `GateVerdict.word`."""
        return GateVerdict(self.failures, self.unsure).word


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of one recipe.

    Attributes:
        recipe: Its name.
        engine: Which engine runs the files.
        tried: The plain file first, then the repairs in order.
        best: Position of the one that an export would take.
    """

    recipe: str
    engine: EngineName
    tried: tuple[Measured, ...]
    best: int

    @property
    def plain(self) -> Measured:
        """The file without any repair."""
        return self.tried[0]

    @property
    def chosen(self) -> Measured:
        """The file that an export would take."""
        return self.tried[self.best]


class Layer(msgspec.Struct, frozen=True):
    """One layer that holds weights.

    Attributes:
        name: As the float graph has it.
        kind: `convolution`, `depthwise` or `dense`.
        divergence: Mean Kullback-Leibler divergence of the scores from the float model's when
            this layer alone has 8 bits, nats.
        parameters: Number of its weights.
        share: Of the bytes of the float32 .tflite, 0..1.
    """

    name: str
    kind: str
    divergence: float
    parameters: int
    share: float


class Tradeoff(msgspec.Struct, frozen=True):
    """The effect of quantization on one trained classifier.

    Attributes:
        backbone: For the record.
        top1: Share of the validation photos that the trained model classifies correctly, 0..1.
        examples: Validation photos.
        scenes: How many different things they show; None: as many as photos.
        calibration_photos: Training photos that chose the ranges.
        kept: Layers that a `mixed` recipe leaves in float, the most sensitive ones.
        gate: What a file must not exceed.
        engines: Engine -> name and version of what was timed.
        outcomes: In the order that a device should prefer.
        layers: The most sensitive first.
        distributions: Of the most sensitive layers.
    """

    backbone: str
    top1: float
    examples: int
    calibration_photos: int
    kept: int
    gate: Gate
    engines: dict[str, str]
    outcomes: tuple[Outcome, ...]
    layers: tuple[Layer, ...]
    distributions: tuple[Distribution, ...]
    scenes: int | None = None


def measure_tradeoff(
    trained: Trained,
    recipes: Sequence[Recipe],
    gate: Gate,
    *,
    repair: Repair = "quick",
) -> Tradeoff:
    """Carries out recipes, with repairs, and measures all that a person decides by.

    Args:
        trained: The classifier and its photos.
        recipes: At least one.
        gate: Decides which files may ship, and so which repairs are tried.
        repair: How much may be tried, as in an export.

    Raises:
        ExportError: If the model cannot be converted or there is nothing to calibrate with.
        FrameError: If a photo cannot be read any more.
        EngineError: If an engine fails.
    """
    writer, judge = FileWriter(trained), Judge(trained, gate)
    layers = _describe_layers(trained, writer.sensitivities)
    attempts = {recipe.name: attempt(recipe, writer, judge, repair=repair) for recipe in recipes}
    latencies = _time(writer, attempts)
    graph, extremes, ranges = writer.observe()
    names = [layer.name for layer in layers[:WORST]]
    pictures = writer.inputs(PHOTOS)
    found = find_distributions(graph, names, extremes, ranges, pictures)
    outcomes = [_describe_outcome(one, attempts[one.name], trained, latencies) for one in recipes]
    return Tradeoff(
        backbone=trained.backbone,
        top1=float((trained.validation.scores.argmax(axis=1) == trained.validation.truth).mean()),
        examples=len(trained.validation.photos),
        calibration_photos=len(pictures),
        kept=KEEP,
        gate=gate,
        engines=_name_engines(attempts.values()),
        outcomes=tuple(outcomes),
        layers=tuple(layers),
        distributions=tuple(found),
        scenes=trained.validation.scenes,
    )


def _describe_layers(trained: Trained, found: Sequence[Sensitivity]) -> list[Layer]:
    kinds = {one.name: one.kind for one in Graph(trained.graph).operators}
    return [
        Layer(
            name=one.name,
            kind=_KINDS.get(kinds[one.name], "dense"),
            divergence=one.divergence,
            parameters=one.parameters,
            share=_FLOAT_BYTES * one.parameters / len(trained.graph),
        )
        for one in found
    ]


# What decides how long a file takes: recipe, layers in float, a step for each channel.
_Build = tuple[str, int, bool]


def _build(plan: Plan) -> _Build:
    return plan.recipe.name, plan.keep, plan.per_channel


def _time(writer: FileWriter, attempts: Mapping[str, Sequence[Attempt]]) -> dict[_Build, float]:
    """Latencies, ms: of plain and chosen files, and of the float32 files to compare with."""
    files: dict[_Build, ModelFile] = {}
    for tried in attempts.values():
        for file in (tried[0].file, find_best(tried).file):
            files.setdefault(_build(file.plan), file)
    for engine in {file.plan.recipe.engine for file in files.values()}:
        plan = Plan(_find_reference(engine))
        if _build(plan) not in files:
            files[_build(plan)] = writer.write(plan)
    (picture,) = writer.inputs(1)
    latencies = measure_latencies(list(files.values()), picture)
    return dict(zip(files, latencies, strict=True))


def _find_reference(engine: EngineName) -> Recipe:
    (recipe,) = find_recipes([f"{engine}-float32"])
    return recipe


def _describe_outcome(
    recipe: Recipe,
    attempts: Sequence[Attempt],
    trained: Trained,
    latencies: Mapping[_Build, float],
) -> Outcome:
    reference_ms = latencies[_build(Plan(_find_reference(recipe.engine)))]
    tried = [_describe(one, trained, latencies, reference_ms) for one in attempts]
    best = find_best(attempts)
    return Outcome(recipe.name, recipe.engine, tuple(tried), [*attempts].index(best))


def _describe(
    one: Attempt, trained: Trained, latencies: Mapping[_Build, float], reference_ms: float
) -> Measured:
    part = trained.validation
    exact = measure(part, part.scores, trained.labels).recall
    drops = {
        label: wanted - found
        for label, found in one.metrics.recall.items()
        if found is not None and (wanted := exact[label]) is not None
    }
    worst = max(drops, key=drops.__getitem__, default="")
    latency_ms = latencies.get(_build(one.file.plan))
    return Measured(
        recipe=one.file.plan.recipe.name,
        precision=one.file.plan.recipe.precision,
        repair=one.file.plan.repair,
        kept=one.file.kept,
        bytes=len(one.file.data),
        top1=one.metrics.top1,
        drop=one.metrics.drop,
        agreement=one.metrics.agreement,
        worst_class=worst,
        worst_class_drop=drops.get(worst, 0.0),
        failures=one.verdict.failures,
        unsure=one.verdict.unsure,
        latency_ms=latency_ms,
        latency_ratio=None if latency_ms is None else latency_ms / reference_ms,
    )


def _name_engines(attempts: Iterable[Sequence[Attempt]]) -> dict[str, str]:
    files = [tried[0].file for tried in attempts]
    return {file.plan.recipe.engine: file.open().name for file in files}
