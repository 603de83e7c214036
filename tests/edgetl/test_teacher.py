"""A teacher: its scores are learned beside the labels, from the same views, on photos of anyone."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import keras
import msgspec
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from edgetl.dataset.manifest import scan
from edgetl.dataset.unlabelled import list_unlabelled
from edgetl.networks.features import FeatureRequest
from edgetl.networks.head import build_head
from edgetl.options import FittingOptions, HeadOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.checkpoint import Checkpoints
from edgetl.training.fitting import Fitter
from edgetl.training.recipe import build_optimizer, make_recipe
from edgetl.training.sources import UNLABELLED, Batch, CachedRows
from edgetl.training.steps import Stage, Stepper, predict_logits, soften
from edgetl.training.teacher import Teacher, open_teacher
from edgetl.training.train import resume, train
from edgetl_runtime.errors import DatasetError, OptionsError, RunError
from edgetl_runtime.image.decoding import read_picture
from tests.conftest import BACKBONE

CLASSES, FEATURES, ROWS = 3, 6, 60
CENTRES = np.random.default_rng(7).normal(0, 1.5, (CLASSES, FEATURES))
PLAIN = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
RANDOM = np.random.default_rng(0)


def draw(seed: int, rows: int = ROWS) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.arange(rows) % CLASSES
    return list((CENTRES[truth] + random.normal(0, 0.5, (rows, FEATURES))).astype("f4")), truth


def know(truth: np.ndarray, sureness: float = 0.9) -> list[np.ndarray]:
    """The scores of a teacher that knows the truth."""
    scores = np.full((len(truth), CLASSES), (1 - sureness) / (CLASSES - 1), np.float32)
    scores[np.arange(len(truth)), truth] = sureness
    return list(scores)


def make_stage(train: CachedRows, **training: Any) -> Stage:
    keras.utils.set_random_seed(0)
    options = FittingOptions(**{"batch": 8, "learning_rate": 0.05, "monitor": "loss"} | training)
    rows, truth = draw(2)
    val = CachedRows(rows, np.arange(ROWS), truth)
    model = build_head(PLAIN, CLASSES, HeadOptions())
    return Stage(0, "head", model, CLASSES, train, val, make_recipe("head", options, epochs=6))


def fit(stage: Stage, folder: Path) -> tuple[Any, float]:
    history = Fitter(Checkpoints(folder), seed=0).fit(stage)
    named = predict_logits(stage.model, stage.val).argmax(axis=1)
    return history, float((named == stage.val.classes).mean())


def test_a_student_learns_from_its_teacher_what_wrong_labels_hide(tmp_path: Path) -> None:
    rows, truth = draw(1)
    wrong = np.random.default_rng(3).permutation(truth)
    owner = np.arange(ROWS)
    _, alone = fit(make_stage(CachedRows(rows, owner, wrong)), tmp_path / "alone")
    taught = CachedRows(rows, owner, wrong, know(truth))
    _, together = fit(make_stage(taught, teacher_weight=0.9), tmp_path / "together")
    assert together > 0.9 > alone


def test_photos_without_a_label_are_learned_from_and_not_counted_as_wrong(tmp_path: Path) -> None:
    rows, truth = draw(1)
    known = np.where(np.arange(ROWS) < CLASSES, truth, UNLABELLED)
    source = CachedRows(rows, np.arange(ROWS), known, know(truth))
    history, top1 = fit(make_stage(source, teacher_weight=0.0), tmp_path)
    assert top1 > 0.9
    # Of the labelled ones only: three of sixty could be 0.05 at most.
    assert history.curves["accuracy"][-1] > 0.5


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_loss_is_that_of_the_formula(weight: float) -> None:
    temperature, smoothing = 3.0, 0.1
    rows, _ = draw(1, 4)
    classes = np.array([0, 2, UNLABELLED, 1])
    scores = RANDOM.dirichlet(np.ones(CLASSES), 4).astype(np.float32)
    source = CachedRows(rows, np.arange(4), classes, list(scores))
    options = {"teacher_weight": weight, "teacher_temperature": temperature}
    stage = make_stage(source, label_smoothing=smoothing, batch=4, **options)
    kernel = RANDOM.normal(0, 1, (FEATURES, CLASSES)).astype(np.float32)
    stage.model.layers[-1].set_weights([kernel, np.zeros(CLASSES, np.float32)])
    logits = np.stack(rows) @ kernel
    stepper = Stepper(stage, build_optimizer(stage.recipe, 1))
    loss, right = stepper.step(source.load(np.arange(4), 0), np.random.default_rng(0))

    labels = np.eye(CLASSES)[classes] * (1 - smoothing) + smoothing / CLASSES
    by_label = -(labels * log_softmax(logits, axis=1)).sum(axis=1)
    soft = softmax(np.log(scores) / temperature, axis=1)
    by_teacher = -(soft * log_softmax(logits / temperature, axis=1)).sum(axis=1) * temperature**2
    wanted = (1 - weight) * by_label + weight * by_teacher
    wanted[2] = by_teacher[2]
    assert loss == pytest.approx(wanted.sum(), rel=1e-5)
    labelled = classes != UNLABELLED
    if weight < 1:
        assert right == (logits.argmax(axis=1) == classes)[labelled].sum()


def test_a_temperature_evens_scores_out_as_it_does_logits() -> None:
    logits = RANDOM.normal(0, 4, (5, CLASSES))
    softened = soften(softmax(logits, axis=1).astype(np.float32), 2.5)
    np.testing.assert_allclose(softened, softmax(logits / 2.5, axis=1), rtol=1e-4)
    certain = soften(np.eye(CLASSES, dtype=np.float32), 2.0)
    assert np.isfinite(certain).all()
    assert certain.argmax(axis=1).tolist() == [0, 1, 2]


def test_mixed_photos_get_mixed_scores() -> None:
    rows, truth = draw(1, 8)
    source = CachedRows(rows, np.arange(8), truth, know(truth))
    stage = make_stage(source, batch=8)
    mixing = msgspec.structs.replace(stage.recipe, mixup=1.0)
    stepper = Stepper(msgspec.structs.replace(stage, recipe=mixing), build_optimizer(mixing, 1))
    loss, _ = stepper.step(source.load(np.arange(8), 0), np.random.default_rng(0))
    assert np.isfinite(loss)


def test_a_teacher_says_what_its_run_says_in_the_order_that_is_asked(run_folder: Path) -> None:
    run = Run.open(run_folder)
    labels = run.spec.labels[::-1]
    teacher = Teacher(run, labels, TrainOptions().augmentation)
    example = run.manifest.examples[0]
    file = run.manifest.file(example)
    wanted = run.predict(file).scores[::-1]
    (cached,) = teacher.score_all([FeatureRequest(file, example.sha256)])
    np.testing.assert_allclose(cached, wanted, atol=2e-3)
    np.testing.assert_allclose(teacher.score(read_picture(file)), cached, atol=1e-6)


def heed(run: Path, weights: Path, **changes: Any) -> TrainOptions:
    """Options of a small student of a run."""
    plain = TrainOptions(
        backbone=BACKBONE,
        weights=str(weights),
        size_px=64,
        finetune="none",
        teacher=str(run),
        training=FittingOptions(epochs=2),
    )
    return msgspec.structs.replace(plain, **changes)


def heed_backbone(weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> TrainOptions:
    """Options of a student of a backbone, whose ImageNet weights are random ones in a folder."""
    shutil.copy(weights, folder / "mobilenet_v2_0.35_224_notop.weights.h5")
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(folder))
    return heed(Path("mobilenet_v2_0.35"), weights, augment="none")


@pytest.mark.parametrize("finetune", ["none", 1, "all"])
def test_head_blocks_and_whole_networks_have_a_teacher(
    finetune: Any, photos: Path, tiny_run_folder: Path, weights_file: Path, tmp_path: Path
) -> None:
    training = FittingOptions(epochs=1, finetune_epochs=None if finetune == "none" else 1)
    options = heed(tiny_run_folder, weights_file, finetune=finetune, seed=2, training=training)
    if finetune == 1:
        options = msgspec.structs.replace(options, views=1)
    run = train(photos, tmp_path / "student", options)
    assert run.spec.teacher == Run.open(tiny_run_folder).file.model_sha256
    alone = train(photos, tmp_path / "alone", msgspec.structs.replace(options, teacher=""))
    assert alone.spec.teacher == ""
    assert run.predictions != alone.predictions


def test_a_teacher_of_other_labels_is_refused(
    photos_copy: Path, tiny_run_folder: Path, weights_file: Path, tmp_path: Path, wording: str
) -> None:
    next(iter(photos_copy.iterdir())).rename(photos_copy / "zebra")
    with pytest.raises(OptionsError, match=wording):
        train(photos_copy, tmp_path / "student", heed(tiny_run_folder, weights_file))
    assert not (tmp_path / "student").exists()


def test_a_teacher_that_knows_the_validation_photos_is_told_of(
    photos: Path,
    tiny_run_folder: Path,
    weights_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    wording: str,
) -> None:
    train(photos, tmp_path / "same", heed(tiny_run_folder, weights_file, seed=2))
    assert not caplog.records
    train(photos, tmp_path / "other", heed(tiny_run_folder, weights_file, seed=5))
    assert any(wording in one.message for one in caplog.records)


def test_a_backbone_becomes_a_teacher_once(
    photos: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = heed_backbone(weights_file, tmp_path, monkeypatch)
    train(photos, tmp_path / "student", options)
    teacher = Run.open(tmp_path / "student.teacher")
    assert teacher.spec.backbone == "mobilenet_v2_0.35"
    written = (teacher.path / "run.json").stat().st_mtime_ns
    again = train(photos, tmp_path / "student", options, overwrite=True)
    assert (teacher.path / "run.json").stat().st_mtime_ns == written
    assert again.spec.teacher == teacher.file.model_sha256


def test_an_interrupted_teacher_makes_way_for_another(
    photos: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = heed_backbone(weights_file, tmp_path, monkeypatch)
    interrupt(photos, tmp_path / "student", options)
    assert (tmp_path / "student.teacher.unfinished").is_dir()
    other = msgspec.structs.replace(options, augment="light")
    again = train(photos, tmp_path / "student", other, overwrite=True)
    teacher = Run.open(tmp_path / "student.teacher")
    assert teacher.file.options.augment == other.augment
    assert again.spec.teacher == teacher.file.model_sha256


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenet_v2_035", r"neither .* nor a backbone; did you mean mobilenet_v2_0\.35\?"),
        ("nowhere", "neither .* nor a backbone; `edgetl backbones` lists these"),
        ("a.bundle", "is not a run; give the run that it was exported from"),
    ],
)
def test_what_cannot_teach_is_refused(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.bundle").write_bytes(b"zip")
    with pytest.raises(OptionsError, match=said):
        open_teacher(tmp_path / name if name == "a.bundle" else Path(name))


def test_a_student_is_resumed_from_any_folder(
    photos: Path,
    tiny_run_folder: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(tiny_run_folder, tmp_path / "teacher")
    monkeypatch.chdir(tmp_path)
    options = heed(Path("teacher"), weights_file, training=FittingOptions(epochs=3))
    interrupt(photos, tmp_path / "student", options)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = resume(tmp_path / "student")
    assert run.file.options.teacher == str(tmp_path / "teacher")


def test_an_interrupted_student_is_not_resumed_with_another_teacher(
    photos: Path, tiny_run_folder: Path, weights_file: Path, tmp_path: Path, wording: str
) -> None:
    teacher = Path(shutil.copytree(tiny_run_folder, tmp_path / "teacher"))
    options = heed(teacher, weights_file, training=FittingOptions(epochs=3))
    interrupt(photos, tmp_path / "student", options)
    again = msgspec.structs.replace(Run.open(teacher).file.options, seed=3)
    train(photos, teacher, again, overwrite=True)
    with pytest.raises(RunError, match=wording):
        resume(tmp_path / "student")


def interrupt(photos: Path, out: Path, options: TrainOptions) -> None:
    """Ctrl-C after the first epoch's checkpoint."""
    from edgetl.training import checkpoint

    save = checkpoint.Checkpoints.save

    def save_once(self: Any, *arguments: Any) -> None:
        save(self, *arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_once)
        with pytest.raises(KeyboardInterrupt):
            train(photos, out, options)


def draw_others(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for seed in range(count):
        noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), cv2.resize(noise, (96, 96)))


def test_photos_of_the_data_set_and_twins_of_judged_ones_are_not_taken(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, wording: str
) -> None:
    manifest = scan(photos, seed=0)
    frames = tmp_path / "frames"
    draw_others(frames / "deeper", 3)
    judged = manifest.file(manifest.select("val")[0])
    learned = manifest.file(manifest.select("train")[0])
    shutil.copy(learned, frames / "the-same-bytes.jpg")
    picture = cv2.imread(str(judged))
    cv2.imwrite(str(frames / "twin.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 60])
    (frames / "notes.txt").write_text("no photo")
    found = list_unlabelled(frames, manifest)
    assert sorted(one.file.name for one in found) == ["0.png", "1.png", "2.png"]
    assert any(wording in one.message for one in caplog.records)


def test_a_folder_without_a_photo_is_refused(photos: Path, tmp_path: Path, wording: str) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "notes.txt").write_text("no photo")
    with pytest.raises(DatasetError, match=wording):
        list_unlabelled(tmp_path / "frames", scan(photos, seed=0))


def test_unlabelled_photos_change_what_is_learned(
    photos: Path, tiny_run_folder: Path, weights_file: Path, tmp_path: Path
) -> None:
    draw_others(tmp_path / "frames", 5)
    options = heed(tiny_run_folder, weights_file, seed=2)
    alone = train(photos, tmp_path / "alone", options)
    more = msgspec.structs.replace(options, unlabelled=str(tmp_path / "frames"))
    both = train(photos, tmp_path / "both", more)
    assert both.predictions != alone.predictions
    counted = both.file.cached + both.file.computed
    assert counted == len(both.manifest.examples) + 5


def test_a_batch_without_a_teacher_has_no_scores() -> None:
    rows, truth = draw(1)
    assert CachedRows(rows, np.arange(ROWS), truth).load(np.arange(3), 0).taught is None
    assert Batch(np.zeros((1, 1)), np.zeros(1, np.int64)).taught is None
