"""The stages of a training: the head, then the top blocks or the whole network."""

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl.history import StageHistory
from edgetl.networks.backbones import Backbone
from edgetl.networks.features import Extractor, Features
from edgetl.networks.head import build_head, finish_head, freeze_statistics, probabilities
from edgetl.networks.model import (
    HEAD_CUT,
    NO_CUT,
    Cut,
    build_classifier,
    build_extractor,
    build_upper,
    compile_prediction,
    load_network,
    set_trainable,
)
from edgetl.networks.weights import Weights
from edgetl.options import TrainOptions
from edgetl.predictions import Predictions
from edgetl.training.cross_validation import (
    LabelledRows,
    choose_epochs,
    choose_l2,
    sample_groups,
    standardize,
)
from edgetl.training.devices import one_device
from edgetl.training.fitting import Fitter
from edgetl.training.material import Material
from edgetl.training.photo_curve import MOST_PHOTOS
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import (
    CachedRows,
    LivePhotos,
    TrainingSource,
)
from edgetl.training.steps import Stage, predict_logits
from edgetl.training.teacher import Teacher, Teaching
from edgetl_export.evaluate.confidence import fit_temperature
from edgetl_runtime.image.preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras

HEAD_VIEWS, BLOCK_VIEWS = 1, 8
# With many photos views matter less: together they stay below this, but for one each.
_MOST_ROWS = 60_000
_SCRATCH_EPOCHS, _FINETUNE_EPOCHS = 20, 12
_CROSS_VALIDATION_ROWS = 6000
# An mlp's L2 strength; that of a linear head is chosen by cross-validation.
_MLP_L2 = 3e-3

Standardization = tuple[NDArray[np.float32], NDArray[np.float32]]


class FitResult(msgspec.Struct, frozen=True, eq=False):
    """The result of a training.

    Attributes:
        model: Classifier: float32 (batch, h, w, 3) RGB 0..255 -> probabilities.
        cut: Above it everything was trained.
        l2: Strength of the L2 penalty on the head.
        temperature: The logits were divided by it, so that scores mean what they say; fitted on
            the validation part.
        histories: Of the stages, in order.
        predictions: Of the validation part and, where there is one, of the test part.
        seconds: Stage -> duration, s.
        cached: Photos of which all features were known.
        computed: Photos that were decoded.
        features: Of the frozen backbone, float32 (photos, features), in the order of the
            manifest; None where the whole network was trained from random weights, and for more
            photos than are worth the memory.
    """

    model: "keras.Model"
    cut: Cut
    l2: float
    temperature: float
    histories: tuple[StageHistory, ...]
    predictions: tuple[Predictions, ...]
    seconds: dict[str, float]
    cached: int
    computed: int
    features: NDArray[np.float32] | None


class Parts(msgspec.Struct, frozen=True, eq=False):
    """The parts of a data set as sources; `test` is None without test photos."""

    train: TrainingSource
    val: TrainingSource
    test: TrainingSource | None


class Learner:
    """Takes one training through its stages."""

    def __init__(
        self,
        *,
        manifest: DatasetManifest,
        options: TrainOptions,
        backbone: Backbone,
        weights: Weights,
        preprocessing: Preprocessing,
        fitter: Fitter,
        teaching: Teaching | None = None,
    ) -> None:
        """Prepares a training; nothing is computed yet."""
        self._manifest = manifest
        self._options = options
        self._backbone = backbone
        self._weights = weights
        self._preprocessing = preprocessing
        self._fitter = fitter
        self._teacher: Teacher | None = None
        if teaching:
            self._teacher = Teacher(teaching.run, manifest.labels, options.augmentation)
        self._material = Material(manifest, teaching.unlabelled if teaching else ())
        self._count = len(manifest.labels)
        self._l2 = 0.0
        self._seconds: dict[str, float] = {}
        self._computed = 0
        self._features: NDArray[np.float32] | None = None

    def learn(self) -> FitResult:
        """Runs all stages.

        Raises:
            FrameError: If a photo cannot be read any more.
            TrainingError: If the loss is no longer finite.
            StorageError: If a checkpoint or the cache cannot be written.
        """
        import keras

        keras.utils.set_random_seed(self._options.seed)
        if self._weights.path is None:
            return self._learn_from_scratch()
        views = self._views(HEAD_VIEWS)
        extracted = self._extract(HEAD_CUT, views, "features")
        taught = self._ask_teacher(views, "head")
        if self._material.labelled <= MOST_PHOTOS:
            labelled = extracted.owner < self._material.labelled
            photos = np.flatnonzero(labelled & ~extracted.is_view)
            self._features = np.stack([extracted.rows[n] for n in photos])
        parts, rows = self._cached_parts(extracted, taught, every_row=True)
        head = self._build_head(standardize(rows.chunks()), extracted)
        self._fit("head", "head", head, parts, self._head_epochs(rows))
        cut = self._choose_cut()
        if cut.kind == "head":
            return self._finish(head, None, head, parts, cut)
        network = load_network(self._backbone, self._weights, self._preprocessing.width_px)
        set_trainable(self._backbone, network, cut)
        freeze_statistics(head)
        if cut.kind == "none":
            return self._learn_everything(network, head, "all")
        return self._learn_blocks(network, head, cut)

    @cached_property
    def _network(self) -> "keras.Model":
        """The backbone as it came; built once, in float32, for all but training."""
        return load_network(self._backbone, self._weights, self._preprocessing.width_px)

    def _choose_cut(self) -> Cut:
        wanted = self._options.finetune
        if wanted == "none":
            return HEAD_CUT
        if wanted == "all":
            return NO_CUT
        return Cut("blocks", self._backbone.auto_blocks if wanted == "auto" else wanted)

    def _learn_blocks(self, network: "keras.Model", head: "keras.Model", cut: Cut) -> FitResult:
        import keras

        name = f"top {cut.blocks} blocks" if cut.blocks > 1 else "top block"
        views = self._views(BLOCK_VIEWS)
        extracted = self._extract(cut, views, f"maps below the {name}")
        parts, _ = self._cached_parts(extracted, self._ask_teacher(views, name))
        upper = build_upper(self._backbone, network, cut)
        model = keras.Model(upper.input, head(upper.output))
        history = self._fit(name, "blocks", model, parts, self._finetune_epochs())
        kept = HEAD_CUT if self._options.finetune == "auto" and not history.best_epoch else cut
        return self._finish(model, network, head, parts, kept)

    def _learn_everything(
        self, network: "keras.Model", head: "keras.Model", kind: str
    ) -> FitResult:
        import keras

        parts = self._live_parts()
        extractor = build_extractor(self._backbone, network, self._preprocessing.width_px)
        model = keras.Model(extractor.input, head(extractor.output))
        epochs = self._options.training.epochs or _SCRATCH_EPOCHS
        self._fit(
            "whole network",
            kind,
            model,
            parts,
            epochs if kind == "scratch" else self._finetune_epochs(),
        )
        return self._finish(model, network, head, parts, NO_CUT)

    def _learn_from_scratch(self) -> FitResult:
        network = load_network(self._backbone, self._weights, self._preprocessing.width_px)
        size_px = self._preprocessing.width_px
        width = build_extractor(self._backbone, network, size_px).output_shape[-1]
        plain = np.zeros(width, np.float32), np.ones(width, np.float32)
        self._l2 = self._options.training.l2 or 0.0
        return self._learn_everything(network, self._make_head(plain), "scratch")

    def _build_head(self, standardization: Standardization, extracted: Features) -> "keras.Model":
        self._l2 = self._choose_l2(extracted)
        return self._make_head(standardization)

    def _make_head(self, standardization: Standardization) -> "keras.Model":
        options = self._options
        return build_head(
            standardization, self._count, options.head, l1=options.training.l1, l2=self._l2
        )

    def _choose_l2(self, extracted: Features) -> float:
        given = self._options.training.l2
        if given is not None:
            return given
        if self._options.head.kind == "mlp":
            return _MLP_L2
        start = time.monotonic()
        examples = self._manifest.examples
        learned = self._material.is_part("train") & self._material.is_labelled
        row_of = np.flatnonzero(learned[extracted.owner])
        groups = _number([examples[n].group for n in extracted.owner[row_of]])
        kept = row_of[sample_groups(groups, _CROSS_VALIDATION_ROWS, seed=self._options.seed)]
        rows = LabelledRows(
            features=np.stack([extracted.rows[row] for row in kept]),
            classes=self._material.classes[extracted.owner[kept]],
            groups=_number([examples[n].group for n in extracted.owner[kept]]),
            judged=~extracted.is_view[kept],
        )
        with one_device():
            chosen = choose_l2(rows, self._count, seed=self._options.seed)
        self._seconds["choosing L2"] = time.monotonic() - start
        return chosen

    def _extract(self, cut: Cut, views: int, name: str) -> Features:
        import keras

        start = time.monotonic()
        extractor = Extractor(
            self._backbone,
            self._weights,
            self._preprocessing,
            cut,
            self._options.augmentation,
            load=lambda: self._network,
        )
        wanted = self._material.request(views)
        with one_device():
            extracted = extractor.extract(wanted)
        # Building an extractor draws random numbers, finding its features in the cache does not.
        keras.utils.set_random_seed(self._options.seed)
        self._seconds[name] = time.monotonic() - start
        self._computed = max(self._computed, extracted.computed)
        return extracted

    def _ask_teacher(self, views: int, name: str) -> list[Any] | None:
        """The teacher's scores of all rows that are learned from, in their order."""
        if self._teacher is None:
            return None
        start = time.monotonic()
        learned = self._material.is_part("train")
        wanted = [
            one for one, part in zip(self._material.request(views), learned, strict=True) if part
        ]
        with one_device():
            scores = self._teacher.score_all(wanted)
        self._seconds[f"asking the teacher, {name}"] = time.monotonic() - start
        return scores

    def _views(self, default: int) -> int:
        if not self._options.changes_photos:
            return 0
        if self._options.views is not None:
            return self._options.views
        photos = int(self._material.is_part("train").sum())
        return max(1, min(default, _MOST_ROWS // photos))

    def _head_epochs(self, rows: CachedRows) -> int:
        return self._options.training.epochs or choose_epochs(len(rows))

    def _finetune_epochs(self) -> int:
        return self._options.training.finetune_epochs or _FINETUNE_EPOCHS

    def _fit(
        self, name: str, kind: str, model: "keras.Model", parts: Parts, epochs: int
    ) -> StageHistory:
        augmentation = self._options.augmentation
        recipe = make_recipe(
            kind,
            self._options.training,
            epochs=epochs,
            mixup=augmentation.mixup,
            cutmix=augmentation.cutmix if isinstance(parts.train, LivePhotos) else 0.0,
        )
        number = len(self._fitter.histories)
        stage = Stage(number, name, model, self._count, parts.train, parts.val, recipe)
        history = self._fitter.fit(stage)
        self._seconds[f"fitting {name}"] = history.seconds
        return history

    def _cached_parts(
        self, extracted: Features, taught: list[Any] | None, *, every_row: bool = False
    ) -> tuple[Parts, CachedRows]:
        train = self._cached(extracted, "train", taught)
        test = self._cached(extracted, "test") if self._manifest.select("test") else None
        learned = train.using_every_row() if every_row else train
        return Parts(learned, self._cached(extracted, "val"), test), train

    def _cached(
        self, extracted: Features, split: Split, taught: list[Any] | None = None
    ) -> CachedRows:
        chosen = self._material.is_part(split)
        rows = np.flatnonzero(chosen[extracted.owner])
        owner = (np.cumsum(chosen) - 1)[extracted.owner[rows]]
        kept = [extracted.rows[row] for row in rows]
        return CachedRows(kept, owner, self._material.classes[chosen], taught)

    def _live_parts(self) -> Parts:
        augmentation = self._options.augmentation
        self._computed = len(self._material)
        test = self._manifest.select("test")
        teach = self._teacher.score if self._teacher else None
        photos = self._material.list_photos
        return Parts(
            LivePhotos(photos("train"), self._preprocessing, augmentation, teach),
            LivePhotos(photos("val"), self._preprocessing, None),
            LivePhotos(photos("test"), self._preprocessing, None) if test else None,
        )

    def _finish(
        self,
        model: "keras.Model",
        network: "keras.Model | None",
        head: "keras.Model",
        parts: Parts,
        cut: Cut,
    ) -> FitResult:
        predict = compile_prediction(model)
        logits = predict_logits(predict, parts.val)
        temperature = fit_temperature(logits, parts.val.classes)
        predictions = [self._score("val", logits / temperature)]
        if parts.test is not None:
            logits = predict_logits(predict, parts.test)
            predictions.append(self._score("test", logits / temperature))
        return FitResult(
            model=self._assemble(network, head, temperature),
            cut=cut,
            l2=self._l2,
            temperature=temperature,
            histories=tuple(self._fitter.histories),
            predictions=tuple(predictions),
            seconds=self._seconds,
            cached=len(self._material) - self._computed,
            computed=self._computed,
            features=self._features,
        )

    def _score(self, split: Split, logits: NDArray[np.float32]) -> Predictions:
        chosen = self._material.is_part(split)
        return Predictions(
            split,
            tuple(one.path for one in self._manifest.select(split)),
            tuple(int(n) for n in self._material.classes[chosen]),
            tuple(tuple(float(score) for score in row) for row in probabilities(logits)),
        )

    def _assemble(
        self, trained: "keras.Model | None", head: "keras.Model", temperature: float
    ) -> "keras.Model":
        """The whole classifier in float32, whatever precision it was trained in."""
        size_px = self._preprocessing.width_px
        with one_device():
            if trained is not None:
                self._network.set_weights(trained.get_weights())
            extractor = build_extractor(self._backbone, self._network, size_px)
            finished = finish_head(head, self._options.head, temperature)
            return build_classifier(extractor, finished)


def _number(names: list[str]) -> NDArray[np.int64]:
    """Equal names become equal numbers."""
    place = {name: n for n, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names], np.int64)
