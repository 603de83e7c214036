"""Evaluation of runs and bundles on labelled photos."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgetl.drawings import draw_part
from edgetl.evaluation import evaluate
from edgetl.metrics import count_answers
from edgetl.options import FittingOptions, TrainOptions
from edgetl.run import Run, is_run
from edgetl.training.train import train
from edgetl_runtime import Classifier
from edgetl_runtime.errors import BundleError, DatasetError, OptionsError, RunError
from tests.runtime.conftest import draw_cross

LEARNING = Path(__file__).parents[1] / "data" / "learning.bundle"


@pytest.fixture
def validation(run_folder: Path, tmp_path: Path) -> Path:
    """The validation photos of the run, in a folder of their own."""
    manifest = Run.open(run_folder).manifest
    for one in manifest.select("val"):
        target = tmp_path / "validation" / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest.file(one), target)
    return tmp_path / "validation"


def test_a_run_scores_what_training_measured(run_folder: Path, validation: Path) -> None:
    result = evaluate(run_folder, validation)
    assert result.metrics == Run.open(run_folder).metrics
    assert result.trained_on == 0


@pytest.mark.parametrize("variant", ["litert-int8", "litert-float32", "onnx-int8", "onnx-float32"])
def test_a_bundle_scores_what_export_measured(
    bundle_folder: Path, validation: Path, variant: str
) -> None:
    from edgetl_runtime.bundle.reader import Bundle

    recorded = Bundle.open(bundle_folder).variant(variant).metrics
    metrics = evaluate(bundle_folder, validation, variant=variant).metrics
    assert metrics.top1 == pytest.approx(recorded.top1)
    assert metrics.examples == recorded.examples
    for label, recall in recorded.recall.items():
        assert metrics.classes[label].recall == pytest.approx(recall)


def test_photos_that_were_trained_on_are_counted(run_folder: Path, photos: Path) -> None:
    result = evaluate(run_folder, photos)
    assert result.metrics.examples == 48
    assert result.trained_on == len(Run.open(run_folder).manifest.select("train"))


def test_unseen_leaves_out_what_was_trained_on(run_folder: Path, photos: Path) -> None:
    result = evaluate(run_folder, photos, unseen=True)
    assert result.metrics == Run.open(run_folder).metrics
    assert result.trained_on == 0


def test_unseen_with_nothing_left_says_so(
    run_folder: Path, photos_copy: Path, wording: str
) -> None:
    for one in Run.open(run_folder).manifest.select("val"):
        (photos_copy / one.path).unlink()
    with pytest.raises(DatasetError, match=wording):
        evaluate(run_folder, photos_copy, unseen=True)


def test_unseen_needs_a_run(bundle_folder: Path, photos: Path, wording: str) -> None:
    with pytest.raises(RunError, match=wording):
        evaluate(bundle_folder, photos, unseen=True)


def test_a_run_has_no_lessons(run_folder: Path, photos: Path, wording: str) -> None:
    with pytest.raises(RunError, match=wording):
        evaluate(run_folder, photos, lessons=True)


def test_a_run_has_no_variants(run_folder: Path, photos: Path, wording: str) -> None:
    with pytest.raises(OptionsError, match=wording):
        evaluate(run_folder, photos, variant="litert-int8")


@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_a_model_that_is_not_there_may_have_been_a_run(edgetl: Any, command: str) -> None:
    code, _, noted = edgetl(command, "runs/gone", "photos")
    assert code == 1
    assert "runs/gone does not exist; give the folder of a run, or a bundle" in noted


def test_a_run_that_a_kill_left_aside_is_found(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".parts.edgetl-old.1").mkdir()
    shutil.copytree(run_folder, tmp_path / ".parts.edgetl-old.1/parts")
    assert is_run(tmp_path / "parts")


def test_one_photo_of_one_class_can_be_scored(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "gear").mkdir()
    shutil.copy(photos / "gear/00.jpg", tmp_path / "gear")
    metrics = evaluate(run_folder, tmp_path).metrics
    assert metrics.examples == metrics.classes["gear"].support == 1
    assert metrics.classes["bolt"].recall is None


def test_of_a_folder_with_parts_train_is_left_out(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    for part, name in (("train", "00"), ("val", "01"), ("test", "02")):
        for label in ("bolt", "gear", "washer"):
            (tmp_path / part / label).mkdir(parents=True)
            shutil.copy(photos / label / f"{name}.jpg", tmp_path / part / label)
    assert evaluate(run_folder, tmp_path).metrics.examples == 6


def test_a_folder_with_nothing_but_train_says_so(
    run_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    shutil.copytree(photos, tmp_path / "train")
    with pytest.raises(DatasetError, match=wording):
        evaluate(run_folder, tmp_path)


def test_classes_the_model_does_not_know_are_refused(
    run_folder: Path, photos_copy: Path, wording: str
) -> None:
    (photos_copy / "gear").rename(photos_copy / "cog")
    with pytest.raises(DatasetError, match=wording):
        evaluate(run_folder, photos_copy)


def test_what_is_neither_run_nor_bundle_is_refused(
    photos: Path, tmp_path: Path, wording: str
) -> None:
    with pytest.raises(BundleError, match=wording):
        evaluate(tmp_path, photos)


def test_photos_of_other_things_are_counted_and_not_scored(
    run_folder: Path, validation: Path
) -> None:
    (validation / "_unknown_").mkdir()
    cv2.imwrite(str(validation / "_unknown_/white.png"), np.full((64, 64, 3), 255, np.uint8))
    result = evaluate(run_folder, validation)
    assert result.metrics == Run.open(run_folder).metrics
    assert result.unknown == 1


def test_a_run_rejects_nothing(run_folder: Path, validation: Path) -> None:
    assert evaluate(run_folder, validation).answers is None


def test_answers_are_counted_by_who_gets_a_label() -> None:
    right = np.array([True, True, True, False, False, True])
    labelled = np.array([True, True, False, True, False, True])
    counted = count_answers(right, labelled, ["gear", None, None, None])
    assert (counted.labelled, counted.correct, counted.accuracy) == (4, 3, 0.75)
    assert (counted.rejected, counted.false_rejects, counted.false_reject_rate) == (2, 1, 0.25)
    assert (counted.unknown, counted.false_accepts, counted.false_accept_rate) == (4, 1, 0.25)
    assert counted.taken_for == {"gear": 1}


def test_shares_of_no_photos_are_none() -> None:
    none = np.zeros(0, np.bool_)
    counted = count_answers(none, none, [])
    assert counted.accuracy is counted.false_accept_rate is counted.false_reject_rate is None


def draw_strangers(folder: Path) -> None:
    (folder / "_unknown_").mkdir(parents=True)
    for seed in range(11):
        cv2.imwrite(str(folder / f"_unknown_/{seed}.png"), draw_cross(seed))
    cv2.imwrite(str(folder / "_unknown_/black.png"), np.zeros((96, 96, 3), np.uint8))


def test_a_threshold_decides_which_photos_get_a_label(tmp_path: Path) -> None:
    draw_strangers(tmp_path)
    for label in ("gear", "washer"):
        (tmp_path / label).mkdir()
        for seed in range(12):
            cv2.imwrite(str(tmp_path / f"{label}/{seed}.png"), draw_part(label, seed, 96))
    classifier = Classifier.open(LEARNING)
    assert classifier.unknown is None
    said = {one: classifier(one).label for one in sorted(tmp_path.rglob("*.png"))}
    strangers = [label for one, label in said.items() if one.parent.name == "_unknown_"]
    known = {one: label for one, label in said.items() if one.parent.name != "_unknown_"}
    answers = evaluate(LEARNING, tmp_path).answers
    assert answers is not None
    assert answers.rejected == list(known.values()).count(None) > 0
    assert answers.labelled == len(known) - answers.rejected
    assert answers.correct == sum(one.parent.name == label for one, label in known.items())
    assert answers.unknown == 12
    assert answers.false_accepts == 12 - strangers.count(None)


@pytest.mark.parametrize("variant", ["litert-int8", "onnx-float32"])
def test_where_the_unknown_is_the_best_output_there_is_no_label_and_top_1_stays(
    bundle_folder: Path, validation: Path, variant: str
) -> None:
    alone = evaluate(bundle_folder, validation, variant=variant)
    draw_strangers(validation)
    result = evaluate(bundle_folder, validation, variant=variant)
    assert result.metrics == alone.metrics
    classifier = Classifier.open(bundle_folder, variant=variant)
    assert classifier.unknown == 3
    strangers = [classifier(one).label for one in (validation / "_unknown_").glob("*.png")]
    assert result.answers is not None
    assert result.answers.false_accepts == 12 - strangers.count(None) < 12
    assert result.answers.labelled + result.answers.rejected == result.metrics.examples
    right = result.answers.correct + result.answers.false_rejects
    assert right / result.metrics.examples == result.top1


def test_labels_are_matched_whoever_composed_them(
    photos_copy: Path, tmp_path: Path, wording: str
) -> None:
    options = TrainOptions(
        backbone="cnn", weights="none", size_px=32, training=FittingOptions(epochs=1)
    )
    (photos_copy / "gear").rename(photos_copy / "Zahnra\u0308der")
    run = train(photos_copy, tmp_path / "run", options)
    assert run.spec.labels[2] == "washer"
    (photos_copy / "Zahnra\u0308der").rename(photos_copy / "Zahnr\u00e4der")
    assert evaluate(tmp_path / "run", photos_copy).metrics.examples == 48
    (photos_copy / "washer").rename(photos_copy / "Washer")
    with pytest.raises(DatasetError, match=wording):
        evaluate(tmp_path / "run", photos_copy)
