"""What `bundle.json` holds: the records of the bundle's format."""

from typing import Annotated, Final, Literal

import msgspec

from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.image.preprocessing import Preprocessing

FORMAT_VERSION: Final = 4
READ_VERSIONS: Final = (3, 4)
"""Format 3 had no `unknown_label`, no `hidden` and no `memory`."""
# As long as the name of a folder can be.
MOST_LABEL_BYTES: Final = 255
LABELS: Final = "labels.txt"
CARD: Final = "MODEL_CARD.md"

Precision = Literal["float32", "float16", "int8", "mixed", "int16x8", "dynamic"]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# An output may be a rounding error beyond 0..1.
Score = Annotated[float, msgspec.Meta(ge=-1, le=2)]
# Source of the unknown photos that the threshold was chosen by; "": none.
UnknownSource = Literal["", "_unknown_", "held-out classes"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class StoredFile(_Strict, frozen=True):
    """A file of the bundle: relative path with forward slashes, size and content hash."""

    file: str
    sha256: Sha256
    bytes: Positive


class GoldenFrame(StoredFile, frozen=True):
    """An image with known scores.

    Attributes:
        input_sha256: SHA-256 of the model's input that preprocessing makes of it: uint8
            (height, width, 3) RGB, row by row. It is the same on every machine.
    """

    input_sha256: Sha256


class VariantMetrics(_Strict, frozen=True):
    """Metrics of this file, measured with the engine that the device uses.

    Attributes:
        examples: Number of photos.
        top1: Accuracy on them, 0..1.
        drop: Trained model's top-1 minus this file's, 0..1; negative when this file is better.
        agreement: Share on which this file predicts the same label as the trained model.
        recall: Per label, 0..1; None without photos of it.
        calibration_error: Expected calibration error of the scores after temperature, 0..1 (Guo
            et al. 2017, "On Calibration of Modern Neural Networks"); None if not measured.
        mean_confidence: Mean of the highest score after temperature, 0..1; this and what follows
            is what a device compares with what it sees; None if not measured.
        reject_rate: Share of the photos that are rejected, 0..1.
        label_shares: Per label, its share of the photos that are not rejected, 0..1.
    """

    examples: int
    top1: Share
    drop: float
    agreement: Share
    recall: dict[str, Share | None]
    calibration_error: Share | None = None
    mean_confidence: Share | None = None
    reject_rate: Share | None = None
    label_shares: dict[str, Share] | None = None


class Calibration(_Strict, frozen=True):
    """Temperature and reject threshold of one file, and their effect.

    Attributes:
        temperature: Temperature of the scores; above 1 it softens them.
        reject_threshold: Top score, after temperature, below which the label is None; 0..1.
        calibration_error_before: Expected calibration error on the validation split without
            temperature, 0..1; None if not measured.
        calibration_error: Calibration error with temperature.
        false_accept_rate: Share of the unknown photos that still get a label, 0..1;
            None if not measured.
        false_reject_rate: Share of the correctly classified validation photos that get none, 0..1;
            None if not measured.
        unknown: Source of the unknown photos: a folder `_unknown_` in the data, or
            classes that were held out; empty if none.
        held_out_accept_rate: Of a file that puts out a score of the unknown: share of the
            validation photos that get a label where their class was left out, 0..1; None if not
            measured.
        view_reject_rate: Of such a file: share of the correctly classified validation photos that
            are rejected where another camera took them (simulated), 0..1; None if not measured.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    reject_threshold: Share = 0.0
    calibration_error_before: Share | None = None
    calibration_error: Share | None = None
    false_accept_rate: Share | None = None
    false_reject_rate: Share | None = None
    unknown: UnknownSource = ""
    held_out_accept_rate: Share | None = None
    view_reject_rate: Share | None = None


class Variant(StoredFile, frozen=True):
    """One model file.

    Attributes:
        name: `<engine>-<precision>`, such as `litert-int8`.
        engine: The engine that runs it.
        precision: Of weights and activations; `int16x8` has int16 activations, `dynamic`
            computes their range at run time.
        repair: The repair that restored the accuracy; empty if none was
            needed.
        failures: Why the gate rejects it; empty unless that was overridden.
        unsure: How much worse than allowed it is, where chance explains it.
        input: The input tensor.
        output: The output tensor: probabilities, float32, of the classes and of the unknown one.
        metrics: Metrics on the validation photos, by which repair, temperature and threshold
            were chosen.
        golden_scores: Expected scores of each golden frame, in their order, before temperature.
        golden_tolerance: Largest allowed difference of another machine's scores, by
            `edgetl_runtime.bundle.golden_frames.measure_deviation`.
        calibration: Temperature and reject threshold.
        test_metrics: Metrics on the test photos, by which nothing was chosen; None if the data
            has no test split.
        hidden: What it can put out besides the scores; None for a classifier that does not end in
            a dense layer and a softmax.
        memory: The head, and features of known photos, as `edgetl_runtime.bundle.memory` reads
            them; None without `hidden`.
    """

    name: str
    engine: EngineName
    precision: Precision
    input: TensorSpec
    output: TensorSpec
    metrics: VariantMetrics
    golden_scores: tuple[tuple[Score, ...], ...]
    golden_tolerance: Annotated[float, msgspec.Meta(gt=0)]
    repair: str = ""
    failures: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    calibration: Calibration = Calibration()
    test_metrics: VariantMetrics | None = None
    hidden: HiddenOutputs | None = None
    memory: StoredFile | None = None


class Attempted(_Strict, frozen=True):
    """A file that was written and measured, but is not in the bundle.

    Attributes:
        recipe: `<engine>-<precision>`.
        repair: The repair that was tried; empty for the plain file.
        bytes: Its size.
        top1: Accuracy on the validation photos, 0..1.
        drop: Trained model's top-1 minus this one's, -1..1.
        agreement: Share on which it predicts the same label as the trained model.
    """

    recipe: str
    repair: str
    bytes: Positive
    top1: Share
    drop: float
    agreement: Share


class LeftOut(_Strict, frozen=True):
    """A recipe without a file that passed the gate.

    Attributes:
        name: Name of the recipe.
        reason: Why the gate rejected the best attempt.
        best: The attempt with the smallest drop.
    """

    name: str
    reason: str
    best: Attempted


class Provenance(_Strict, frozen=True):
    """Where the bundle comes from.

    Attributes:
        edgetl_version: Version of edgetl that trained it.
        backbone: Name of the network below the head.
        weights_digest: Digest of the initial weights.
        dataset_digest: Digest of the list of photos.
        model_sha256: SHA-256 of the trained model's file.
        calibration_photos: Training photos, `class/name`, by which ranges were chosen.
        versions: Versions of the packages that matter.
        created_utc: ISO 8601 date, if SOURCE_DATE_EPOCH was set; else empty, so that two
            exports of one run are equal.
        name: Name of the model; this and the next fields are empty if not given.
        version: Version of the model.
        author: Author of the model.
        license: SPDX name of the licence of the model, such as `apache-2.0`.
        description: One sentence or a few.
        left_out: Recipes without a file that passed the gate.
    """

    edgetl_version: str
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    calibration_photos: tuple[str, ...]
    versions: dict[str, str]
    created_utc: str = ""
    name: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""
    left_out: tuple[LeftOut, ...] = ()


class BundleManifest(_Strict, frozen=True):
    """The content of `bundle.json`.

    Attributes:
        format_version: Of the bundle.
        labels: The classes.
        preprocessing: From frame to input.
        variants: The model files, the preferred one first.
        golden: The golden frames.
        labels_file: The names of the outputs, one a line.
        card: The model card.
        provenance: Where the bundle comes from.
        unknown_label: Name of one more output, the last one, for what is none of the classes;
            empty where the models have none.
    """

    format_version: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    variants: tuple[Variant, ...]
    golden: tuple[GoldenFrame, ...]
    labels_file: StoredFile
    card: StoredFile
    provenance: Provenance
    unknown_label: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the models' outputs, in their order: the classes, then the unknown one."""
        return (*self.labels, self.unknown_label) if self.unknown_label else self.labels

    @property
    def unknown(self) -> int | None:
        """Index of the output for what is none of the classes; None without one."""
        return len(self.labels) if self.unknown_label else None

    @property
    def network(self) -> str:
        """Backbone and input, such as `mobilenet_v2_0.35 at 224x224`.

        Empty for a model that edgetl did not train: the name of its file says nothing.
        """
        if not self.provenance.weights_digest:
            return ""
        size = self.preprocessing
        return f"{self.provenance.backbone} at {size.width_px}x{size.height_px}"

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file that it lists."""
        memories = (variant.memory for variant in self.variants if variant.memory)
        return (*self.variants, *memories, *self.golden, self.labels_file, self.card)
