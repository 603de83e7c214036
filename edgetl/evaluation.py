"""Evaluation of a run or a bundle on labelled photos."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.labels import find_twin, normalize
from edgetl.dataset.listing import show_names
from edgetl.dataset.manifest import DatasetManifest, Example, scan_to_score
from edgetl.lessons import find_lessons
from edgetl.metrics import Answers, Metrics, count_answers, measure
from edgetl.run import Run, is_run
from edgetl_export.progress import track
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import DatasetError, LessonError, OptionsError, RunError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame

_BATCH = 32


class Evaluation(msgspec.Struct, frozen=True):
    """Metrics, what a device would answer, and what was left out.

    Attributes:
        metrics: On all labelled photos that were read, by the best class of each, also where the
            answer is unknown.
        trained_on: Photos of the run's training part among them; None for a bundle, which
            does not list its photos.
        skipped: Files that were not usable photos.
        unknown: Photos of no class, from `_unknown_`.
        answers: Which photos get a label; None for a run, which rejects none.
        lessons: How many lessons were applied.
        lessons_left_out: How many lie beside the bundle and were not.
    """

    metrics: Metrics
    trained_on: int | None
    skipped: int
    unknown: int
    answers: Answers | None = None
    lessons: int = 0
    lessons_left_out: int = 0

    @property
    def top1(self) -> float:
        """Accuracy: the share of photos whose best class is the true one, 0..1."""
        return self.metrics.top1


class _Model(msgspec.Struct, frozen=True, eq=False):
    """A run or a bundle, opened.

    Attributes:
        classes: Its labels.
        predict: Index of the best class of each frame, and whether the frame gets a label.
        learned: Hashes of the photos that it was trained on; None if nobody knows.
        rejects: Whether a frame may get no label.
        lessons: How many were applied.
        left_out: Labels of the lessons that were not, one each.
    """

    classes: tuple[str, ...]
    predict: Callable[[list[Frame]], list[tuple[int, bool]]]
    learned: frozenset[str] | None
    rejects: bool
    lessons: int = 0
    left_out: tuple[str | None, ...] = ()


def evaluate(
    model: Run | Path,
    data: Path,
    *,
    variant: str | None = None,
    unseen: bool = False,
    lessons: bool = False,
) -> Evaluation:
    """Scores a run or a bundle on a data folder, whose classes are matched by name.

    Args:
        model: A run, its folder, or a bundle.
        data: `class/*.jpg`, or `{train,val,test}/class/*.jpg` of which train is left out. Photos
            in `_unknown_` are of no class.
        variant: Of a bundle; by default its first.
        unseen: Leave out the photos that the run was trained on.
        lessons: Apply the lessons beside the bundle; what they taught may be classes of `data`.

    Raises:
        RunError, BundleError: If the model cannot be opened.
        LessonError: If there are no lessons, or they cannot be applied.
        OptionsError: If a variant is given for a run.
        DatasetError: If the data has other classes or no photo is left.
    """
    opened = _open(model, variant, unseen=unseen, lessons=lessons)
    manifest = scan_to_score(data)
    places = _find_places(opened, manifest)
    learned = opened.learned or frozenset()
    examples = _choose(manifest, learned if unseen else frozenset())
    truth = np.array([places[example.label] for example in examples], np.int64)
    paths = [example.path for example in examples]
    known = len(paths)
    if opened.rejects:
        paths += [one.path for one in manifest.unknown]
    best, labelled = _predict(opened, [Path(manifest.root) / path for path in paths])
    others = zip(best[known:], labelled[known:], strict=True)
    given = [opened.classes[index] if accepted else None for index, accepted in others]
    answers = count_answers(best[:known] == truth, labelled[:known], given)
    trained_on = sum(example.sha256 in learned for example in examples)
    return Evaluation(
        metrics=measure(opened.classes, truth, best[:known]),
        trained_on=trained_on if opened.learned is not None else None,
        skipped=len(manifest.skipped),
        unknown=len(manifest.unknown),
        answers=answers if opened.rejects else None,
        lessons=opened.lessons,
        lessons_left_out=len(opened.left_out),
    )


def _open(model: Run | Path, variant: str | None, *, unseen: bool, lessons: bool) -> _Model:
    if isinstance(model, Path) and not is_run(model):
        if unseen:
            raise RunError(
                f"{model} is not a run, and only a run knows its training photos; leave out "
                "--unseen or give the run"
            )
        return _open_bundle(model, variant, lessons=lessons)
    run = model if isinstance(model, Run) else Run.open(model)
    if variant is not None:
        raise OptionsError("a run has no variants; --variant is for a bundle")
    if lessons:
        raise RunError(
            f"{run.path} is a run, and lessons lie beside a bundle; leave out --lessons or give "
            "the bundle"
        )
    return _open_run(run)


def _open_run(run: Run) -> _Model:
    return _Model(
        run.spec.labels,
        lambda photos: [(int(scores.argmax()), True) for scores in run.scorer(photos)],
        frozenset(example.sha256 for example in run.manifest.select("train")),
        rejects=False,
    )


def _open_bundle(path: Path, variant: str | None, *, lessons: bool) -> _Model:
    classifier = Classifier.open(path, variant=variant, overlay=lessons)
    if lessons and classifier.learned is None:
        raise LessonError(
            f"{classifier.fault or f'{path} has no lessons beside it'}; leave out --lessons to "
            "evaluate the bundle alone"
        )
    beside = () if lessons else find_lessons(classifier.bundle)
    return _Model(
        classifier.classes,
        lambda photos: [_predict_one(classifier, photo) for photo in photos],
        None,
        rejects=True,
        lessons=classifier.lessons,
        left_out=tuple(one.label for one in beside),
    )


def _predict_one(classifier: Classifier, photo: Frame) -> tuple[int, bool]:
    prediction = classifier(photo)
    scores = prediction.scores
    if prediction.unknown is not None:
        # Accuracy is that of the best class, whatever the output for the unknown says.
        scores = np.delete(scores, prediction.unknown)
    return int(scores.argmax()), prediction.label is not None


def _choose(manifest: DatasetManifest, left_out: frozenset[str]) -> list[Example]:
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


def _find_places(model: _Model, manifest: DatasetManifest) -> dict[str, int]:
    """Where each label of the photos stands in the model's output, whoever composed its accents."""
    places = {normalize(label): n for n, label in enumerate(model.classes)}
    taught = {normalize(label) for label in model.left_out if label is not None}
    for label in manifest.labels:
        if label not in places:
            twin = find_twin(label, places)
            known = f"{twin} in that spelling" if twin else show_names(model.classes)
            remedy = f"give its photos the label {twin}" if twin else "rename it or move it away"
            if label in taught:
                remedy = "a lesson beside the bundle taught it: add --lessons"
            raise DatasetError(
                f"{manifest.root} has the class {label}, the model knows {known}; {remedy}"
            )
    return places


def _predict(model: _Model, files: list[Path]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index of the best class of each photo, and whether it gets a label; both (photos,)."""
    starts = range(0, len(files), _BATCH)
    predicted: list[tuple[int, bool]] = []
    for start in track(starts, "classifying", len(starts)):
        predicted += model.predict([read_picture(one) for one in files[start : start + _BATCH]])
    best, labelled = zip(*predicted, strict=True)
    return np.array(best, np.int64), np.array(labelled, np.bool_)
