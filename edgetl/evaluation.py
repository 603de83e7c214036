"""Evaluation of a run or a bundle on labelled photos."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.labels import find_twin, normalize
from edgetl.dataset.listing import show_names
from edgetl.dataset.manifest import DatasetManifest, Example, scan_to_score
from edgetl.metrics import Metrics, measure
from edgetl.run import RUN_FILE, Run
from edgetl_export.progress import track
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import DatasetError, RunError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

_BATCH = 32
Predict = Callable[[list[Frame]], list[Scores]]


class Evaluation(msgspec.Struct, frozen=True):
    """Metrics, and how many of the photos the model was trained on.

    Attributes:
        metrics: On all photos that were read.
        trained_on: Photos of the run's training part among them; None for a bundle, which
            does not list its photos.
        skipped: Files that were not usable photos.
        unknown: Photos of other things, from `_unknown_`; they are not scored.
    """

    metrics: Metrics
    trained_on: int | None
    skipped: int
    unknown: int

    @property
    def top1(self) -> float:
        """Accuracy: the share of photos whose label was predicted, 0..1."""
        return self.metrics.top1


def evaluate(
    model: Run | Path,
    data: Path,
    *,
    variant: str | None = None,
    unseen: bool = False,
) -> Evaluation:
    """Scores a run or a bundle on a data folder, whose classes are matched by name.

    Args:
        model: A run, its folder, or a bundle.
        data: `class/*.jpg`, or `{train,val,test}/class/*.jpg` of which train is left out.
        variant: Of a bundle; by default its first.
        unseen: Leave out the photos that the run was trained on.

    Raises:
        RunError, BundleError: If the model cannot be opened.
        DatasetError: If the data has other classes or no photo is left.
    """
    run, path = (model, model.path) if isinstance(model, Run) else (_find_run(model), model)
    if unseen and run is None:
        raise RunError(
            f"{path} is not a run, and only a run knows its training photos; leave out --unseen or "
            "give the run"
        )
    if run is not None:
        labels = run.spec.labels
        learned = {example.sha256 for example in run.manifest.select("train")}
    else:
        classifier = Classifier.open(path, variant=variant)
        labels, learned = classifier.bundle.labels, set()
    manifest = scan_to_score(data)
    places = _find_places(labels, manifest)
    examples = _choose(manifest, learned if unseen else set())
    truth = np.array([places[example.label] for example in examples], np.int64)
    predict = run.scorer if run else _bundle_predictor(classifier)
    predicted = _predict(predict, manifest, examples)
    return Evaluation(
        measure(labels, truth, predicted),
        sum(example.sha256 in learned for example in examples) if run else None,
        len(manifest.skipped),
        len(manifest.unknown),
    )


def _find_run(model: Path) -> Run | None:
    return Run.open(model) if (model / RUN_FILE).is_file() else None


def _choose(manifest: DatasetManifest, left_out: set[str]) -> list[Example]:
    """All photos of a plain folder; of one with parts, those outside `train`."""
    examples = manifest.select("val", "test")
    if not examples:
        raise DatasetError(f"{manifest.root} has no usable photo outside train; give other photos")
    chosen = [example for example in examples if example.sha256 not in left_out]
    if not chosen:
        raise DatasetError(
            f"{manifest.root} has no photo that the run was not trained on; give other photos, or "
            "leave out --unseen"
        )
    return chosen


def _find_places(labels: tuple[str, ...], manifest: DatasetManifest) -> dict[str, int]:
    """Where each label of the photos stands in the model's output, whoever composed its accents."""
    places = {normalize(label): n for n, label in enumerate(labels)}
    for label in manifest.labels:
        if label not in places:
            twin = find_twin(label, places)
            known = f"{twin} in that spelling" if twin else show_names(labels)
            remedy = f"give its photos the label {twin}" if twin else "rename it or move it away"
            raise DatasetError(
                f"{manifest.root} has the class {label}, the model knows {known}; {remedy}"
            )
    return places


def _predict(
    predict: Predict, manifest: DatasetManifest, examples: list[Example]
) -> NDArray[np.int64]:
    starts = range(0, len(examples), _BATCH)
    predicted: list[int] = []
    for start in track(starts, "classifying", len(starts)):
        photos = [read_picture(manifest.file(one)) for one in examples[start : start + _BATCH]]
        predicted += [int(scores.argmax()) for scores in predict(photos)]
    return np.array(predicted, np.int64)


def _bundle_predictor(classifier: Classifier) -> Predict:
    count = len(classifier.bundle.labels)
    # Accuracy is that of the best class, whatever the output for the unknown says.
    return lambda photos: [classifier(photo).scores[:count] for photo in photos]
