"""Training: the model in the run folder is the one that was measured, again and again."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import keras
import msgspec
import numpy as np
import pytest

from edgetl.checksum import map_checksummed
from edgetl.networks.backbones import find_backbone
from edgetl.networks.model import load_network
from edgetl.networks.weights import find_weights
from edgetl.options import FittingOptions, HeadOptions, TrainOptions, read_config
from edgetl.run import Run
from edgetl.training.train import train
from edgetl_export.evaluate.confidence import fit_temperature
from edgetl_runtime.errors import EdgetlError, OptionsError, StorageError
from edgetl_runtime.image.decoding import read_picture
from tests.conftest import BACKBONE

TINY = TrainOptions(
    backbone="cnn", weights="none", size_px=32, fit="pad", training=FittingOptions(epochs=1)
)


def score(run: Run) -> float:
    """Top-1 of the saved model on the validation photos, worked out anew."""
    model, apply = run.load_model(), run.spec.preprocessing.apply
    part = run.manifest.select("val")
    inputs = np.stack([apply(read_picture(run.manifest.file(one))) for one in part])
    named = model.predict_on_batch(inputs.astype(np.float32)).argmax(axis=1)
    return float((named == [run.manifest.index(one) for one in part]).mean())


@pytest.mark.parametrize("fixture", ["run_folder", "tiny_run_folder", "finetuned_run_folder"])
def test_metrics_are_those_of_the_saved_model(fixture: str, request: pytest.FixtureRequest) -> None:
    run = Run.open(request.getfixturevalue(fixture))
    assert score(run) == pytest.approx(run.metrics.top1)


def test_a_run_counts_each_photo_once(run_folder: Path) -> None:
    run = Run.open(run_folder)
    assert run.file.cached + run.file.computed == len(run.manifest.examples) == 48


@pytest.mark.parametrize("fixture", ["run_folder", "finetuned_run_folder"])
def test_a_second_run_by_the_stored_file_computes_nothing_and_finds_the_same(
    fixture: str, photos: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = Run.open(request.getfixturevalue(fixture))
    options = read_config(first.path / "config.toml")
    second = train(photos, tmp_path / "again", options)
    assert second.file.options == first.file.options
    assert second.file.computed == 0
    assert second.predictions == first.predictions
    assert second.metrics == first.metrics
    assert second.spec == first.spec
    weights = [run.load_model().get_layer("head").get_weights() for run in (first, second)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_from_scratch_repeats_by_seed(
    tiny_run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    first = Run.open(tiny_run_folder)
    again = train(photos, tmp_path / "again", first.file.options)
    assert again.metrics == first.metrics
    losses = [run.histories[0].curves["loss"] for run in (first, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("fixture", ["run_folder", "tiny_run_folder", "finetuned_run_folder"])
def test_scores_are_at_the_best_temperature(fixture: str, request: pytest.FixtureRequest) -> None:
    run = Run.open(request.getfixturevalue(fixture))
    validation = run.predictions[0]
    logits = np.log(np.maximum(validation.probabilities, 1e-30))
    assert run.spec.temperature != 1
    assert fit_temperature(logits, validation.classes) == pytest.approx(1, abs=0.02)


@pytest.fixture(scope="module")
def before_and_after(finetuned_run_folder: Path) -> tuple[Any, Any, Run]:
    """The backbone as it was, the trained classifier, and the run."""
    run = Run.open(finetuned_run_folder)
    backbone = find_backbone(run.spec.backbone)
    weights = find_weights(run.file.options.weights, backbone, 64)
    trained = run.load_model()
    after = next(one for one in trained.layers if isinstance(one, keras.Model))
    return load_network(backbone, weights, 64), after, run


def weights_of(layer: Any) -> list[bytes]:
    return [part.tobytes() for part in layer.get_weights()]


def test_layers_below_the_cut_keep_their_weights_bit_for_bit(
    before_and_after: tuple[Any, Any, Run],
) -> None:
    before, after, run = before_and_after
    names = [layer.name for layer in before.layers]
    below = before.layers[: names.index(run.spec.cut) + 1]
    assert run.spec.blocks == 2
    assert sum(bool(layer.weights) for layer in below) > 40
    for layer in below:
        assert weights_of(after.get_layer(layer.name)) == weights_of(layer), layer.name


def test_layers_above_the_cut_learn_but_for_batch_normalization(
    before_and_after: tuple[Any, Any, Run],
) -> None:
    before, after, run = before_and_after
    names = [layer.name for layer in before.layers]
    above = [one for one in before.layers[names.index(run.spec.cut) + 1 :] if one.weights]
    assert run.histories[1].best_epoch > 1, "the first step of this run moves the head alone"
    kinds = set()
    for layer in above:
        frozen = isinstance(layer, keras.layers.BatchNormalization)
        kinds.add(frozen)
        assert (weights_of(after.get_layer(layer.name)) == weights_of(layer)) == frozen, layer.name
    assert kinds == {True, False}


def test_the_second_stage_starts_where_the_first_one_ended(finetuned_run_folder: Path) -> None:
    head, blocks = Run.open(finetuned_run_folder).histories
    assert (head.name, blocks.name) == ("head", "top 2 blocks")
    assert [len(one.curves["loss"]) for one in (head, blocks)] == [2, 3]
    rates = blocks.curves["learning_rate"]
    assert max(rates) <= 2e-4
    assert rates[-1] < rates[0]


def test_no_augmentation_computes_no_view_twice(
    photos: Path, weights_file: Path, own_cache: Path, tmp_path: Path
) -> None:
    options = TrainOptions(
        backbone=BACKBONE,
        weights=str(weights_file),
        size_px=64,
        finetune="none",
        augment="none",
        training=FittingOptions(epochs=1, l2=1e-3),
    )
    train(photos, tmp_path / "run", options)
    keys = [
        key
        for shard in own_cache.rglob("*.features")
        for key in map_checksummed(shard, dict)[0]["keys"]
    ]
    assert len(keys) == 48


def test_a_sigmoid_needs_two_classes(photos: Path, tmp_path: Path, wording: str) -> None:
    options = msgspec.structs.replace(TINY, head=HeadOptions(output="sigmoid"))
    with pytest.raises(OptionsError, match=wording):
        train(photos, tmp_path / "run", options)
    assert list(tmp_path.iterdir()) == []


def test_contradicting_options_are_refused_before_the_photos_are_read(
    tmp_path: Path, wording: str
) -> None:
    options = msgspec.structs.replace(TINY, finetune=2)
    with pytest.raises(OptionsError, match=wording):
        train(tmp_path / "no photos here", tmp_path / "run", options)


def test_an_existing_run_is_refused_before_any_work(
    tiny_run_folder: Path, tmp_path: Path, wording: str
) -> None:
    with pytest.raises(StorageError, match=wording):
        train(tmp_path / "no photos here", tiny_run_folder, TINY)


def test_a_folder_of_something_else_is_never_overwritten(
    photos: Path, photos_copy: Path, wording: str
) -> None:
    with pytest.raises(StorageError, match=wording):
        train(photos, photos_copy, TINY, overwrite=True)
    assert len(list(photos_copy.rglob("*.jpg"))) == 48


def test_overwrite_replaces_a_run(photos: Path, tiny_run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run_folder, tmp_path / "run")
    run = train(photos, tmp_path / "run", TINY, overwrite=True)
    assert run.spec.preprocessing.fit == "pad"
    assert len(run.histories[0].curves["loss"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_failed_training_leaves_nothing(photos: Path, tmp_path: Path, wording: str) -> None:
    with pytest.raises(EdgetlError, match=wording):
        train(photos, tmp_path / "run", TrainOptions(backbone="mobilenet"))
    assert list(tmp_path.iterdir()) == []


def test_photos_of_other_things_change_nothing_that_is_learned(
    photos_copy: Path, tmp_path: Path
) -> None:
    first = train(photos_copy, tmp_path / "without", TINY)
    (photos_copy / "_unknown_").mkdir()
    for number in range(4):
        random = np.random.default_rng(number)
        noise = random.integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(photos_copy / f"_unknown_/{number}.png"), noise)
    second = train(photos_copy, tmp_path / "with", TINY)
    assert second.predictions == first.predictions
    assert second.spec == first.spec
    assert len(second.manifest.unknown) == 4
    assert len(second.manifest.unknown_files("choose")) in (1, 2, 3)
