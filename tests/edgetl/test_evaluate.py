"""Evaluation of runs and bundles on labelled photos."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.evaluation import evaluate
from edgetl.options import FittingOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.train import train
from edgetl_runtime.errors import BundleError, DatasetError, RunError


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
