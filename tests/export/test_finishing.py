"""Finishing: what a file that passed learns of its own scores, and what it tells others."""

import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgetl_export.evaluate.confidence import measure_calibration_error
from edgetl_export.evaluate.gate import make_gate
from edgetl_export.evaluate.rejection import choose_threshold, measure_rejection
from edgetl_export.graph.model_graph import Graph
from edgetl_export.options import ExportOptions
from edgetl_export.package.bundling import export_model
from edgetl_export.package.finishing import Acceptance, Finished, Finisher, soften
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.quantize.calibration import Inputs, load_inputs
from edgetl_export.quantize.model_files import FileWriter
from edgetl_export.quantize.repairs import Plan
from edgetl_export.quantize.search import Attempt, Judge
from edgetl_export.recipes import find_recipes
from edgetl_export.trained import Labelled, ScoredPhotos, Trained, UnknownPhotos
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import FrameError
from edgetl_runtime.prediction import Prediction, calibrate

SHARPER = 12.0
# Of the levels, 0..255: so much that about one photo in three is taken for something else.
NOISE = 40.0
RECIPES = ("litert-float32", "litert-int8", "onnx-float32")


def sharpen(model: bytes, factor: float) -> bytes:
    """The same answers, but much more sure of themselves."""
    graph = Graph(model)
    head = graph.head
    assert head is not None
    graph.set_head(Head(head.kernel * factor, head.bias * factor))
    return graph.encode()


@pytest.fixture(scope="module")
def noisy(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Labelled, ...]:
    """All photos, but hard to recognize."""
    folder, random = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    labels = sorted(path.name for path in photos.iterdir())
    listed = []
    for file in sorted(photos.rglob("*.jpg")):
        picture = cv2.imread(str(file))
        noise = random.normal(0, NOISE, picture.shape)
        listed.append(
            Labelled(folder / f"{file.parent.name}_{file.stem}.png", labels.index(file.parent.name))
        )
        cv2.imwrite(str(listed[-1].file), np.clip(picture + noise, 0, 255).astype(np.uint8))
    return tuple(listed)


@pytest.fixture(scope="module")
def trained(trained: Trained, noisy: tuple[Labelled, ...]) -> Trained:
    """The small classifier, too sure of itself on photos that are hard to recognize."""
    from edgetl_export.evaluate.scoring import run

    graph = sharpen(trained.graph, SHARPER)
    pictures = load_inputs([one.file for one in noisy], trained.preprocessing, "reading")
    part = ScoredPhotos(noisy, run("litert", graph, pictures))
    return msgspec.structs.replace(trained, graph=graph, validation=part)


def make_attempt(trained: Trained, name: str) -> Attempt:
    (recipe,) = find_recipes([name])
    gate = make_gate(ExportOptions())
    return Judge(trained, gate).judge(FileWriter(trained).write(Plan(recipe)))


@pytest.fixture(scope="module")
def attempts(trained: Trained) -> dict[str, Attempt]:
    return {name: make_attempt(trained, name) for name in RECIPES}


@pytest.fixture(scope="module")
def finished(trained: Trained, attempts: dict[str, Attempt]) -> dict[str, Finished]:
    finisher = Finisher(trained, Acceptance())
    return {name: finisher.finish(one) for name, one in attempts.items()}


def read_pictures(trained: Trained) -> list[np.ndarray]:
    files = [one.file for one in trained.validation.photos]
    return load_inputs(files, trained.preprocessing, "reading")


def tells(file: bytes, name: str, threshold: float) -> bool:
    """True if the metadata hold this threshold; test_metadata.py reads where they do."""
    if name.startswith("onnx"):
        properties = {one.key: one.value for one in onnx.load_from_string(file).metadata_props}
        return float(properties["model_info confidence_threshold"]) == threshold
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file, 0))
    (entry,) = [one for one in tree.metadata if one.name == b"TFLITE_METADATA"]
    return np.float32(threshold).tobytes() in bytes(tree.buffers[entry.buffer].data)


@pytest.mark.parametrize("name", RECIPES)
def test_scores_that_are_too_sure_are_softened(
    trained: Trained, attempts: dict[str, Attempt], finished: dict[str, Finished], name: str
) -> None:
    found, truth = finished[name].calibration, trained.validation.truth
    assert found.temperature > 1.2
    assert found.calibration_error_before is not None
    assert found.calibration_error is not None
    assert found.calibration_error < found.calibration_error_before - 0.02
    scores = attempts[name].scores
    after = np.stack([calibrate(one, found.temperature) for one in scores])
    assert found.calibration_error_before == measure_calibration_error(scores, truth)
    assert found.calibration_error == measure_calibration_error(after, truth)
    assert finished[name].metrics.calibration_error == found.calibration_error


@pytest.mark.parametrize("name", RECIPES)
def test_metadata_change_no_score(
    trained: Trained, attempts: dict[str, Attempt], finished: dict[str, Finished], name: str
) -> None:
    assert finished[name].file.data != attempts[name].file.data
    found = finished[name].file.run(read_pictures(trained))
    np.testing.assert_array_equal(found, attempts[name].scores)
    assert finished[name].file.tensors == attempts[name].file.tensors


@pytest.mark.parametrize("name", RECIPES)
def test_other_programs_get_a_threshold_for_the_scores_as_they_are(
    finished: dict[str, Finished], attempts: dict[str, Attempt], trained: Trained, name: str
) -> None:
    raw = (
        Finisher(trained, Acceptance())
        ._calibrate(attempts[name].file, attempts[name].scores, 1.0)
        .reject_threshold
    )
    mine = finished[name].calibration.reject_threshold
    assert raw > mine + 0.01
    data = finished[name].file.data
    assert (tells(data, name, raw), tells(data, name, mine)) == (True, False)


def test_what_the_gate_decoded_is_not_decoded_again(
    trained: Trained, tmp_path: Path, wording: str
) -> None:
    copies = tuple(
        Labelled(Path(shutil.copy(one.file, tmp_path)), one.index)
        for one in trained.validation.photos
    )
    part = msgspec.structs.replace(trained.validation, photos=copies)
    moved = msgspec.structs.replace(trained, validation=part, unknown_label="unknown")
    inputs, plan = Inputs(moved.preprocessing), Plan(*find_recipes(["litert-float32"]))
    judge = Judge(moved, make_gate(ExportOptions()), inputs=inputs)
    attempt = judge.judge(FileWriter(moved).write(plan))
    for one in copies:
        one.file.unlink()
    finished = Finisher(moved, Acceptance(), inputs=inputs).finish(attempt)
    assert finished.metrics.examples == len(copies)
    assert finished.memory is not None
    with pytest.raises(FrameError, match=wording):
        Finisher(moved, Acceptance()).finish(attempt)


def test_without_unknown_photos_classes_are_held_out(finished: dict[str, Finished]) -> None:
    for one in finished.values():
        assert one.calibration.unknown == "held-out classes"
        assert one.calibration.false_accept_rate is not None
        assert one.calibration.false_reject_rate is not None
        assert one.calibration.false_reject_rate <= 0.02


def test_with_two_classes_and_no_unknown_photos_nothing_is_rejected(trained: Trained) -> None:
    import keras
    from keras import layers

    scores = layers.Dense(2, "softmax", bias_initializer="normal")
    network = keras.Sequential([keras.Input((32, 32, 3)), layers.GlobalAveragePooling2D(), scores])
    photos = tuple(one for one in trained.validation.photos if one.index < 2)
    part = ScoredPhotos(photos, np.full((len(photos), 2), 0.5, np.float32))
    model = tflite_quantizer.convert(network)
    binary = msgspec.structs.replace(trained, graph=model, labels=("a", "b"), validation=part)
    finished = Finisher(binary, Acceptance()).finish(make_attempt(binary, "litert-float32"))
    calibration = finished.calibration
    assert (calibration.unknown, calibration.reject_threshold) == ("", 0)
    assert calibration.false_accept_rate is None
    assert calibration.false_reject_rate == 0


def test_held_out_classes_may_reject_less_than_photos_unless_told() -> None:
    limits = [
        [one.limit_false_rejects(source) for source in ("_unknown_", "held-out classes")]
        for one in (Acceptance(), Acceptance(max_false_rejects=0.0))
    ]
    assert limits == [[0.1, 0.02], [0.0, 0.0]]


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> UnknownPhotos:
    """Noise to choose by, and flat pictures to measure on."""
    import cv2

    folder, random = tmp_path_factory.mktemp("unknown"), np.random.default_rng(0)
    made: dict[str, list[Path]] = {"choosing": [], "measuring": []}
    for n in range(12):
        noise = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        flat = np.full((40, 40, 3), random.integers(0, 256, 3), np.uint8)
        for kind, picture in (("choosing", noise), ("measuring", flat)):
            made[kind].append(folder / f"{kind}_{n}.png")
            cv2.imwrite(str(made[kind][-1]), picture)
    return UnknownPhotos(tuple(made["choosing"]), tuple(made["measuring"]))


def test_unknown_photos_choose_the_threshold_and_others_measure_it(
    trained: Trained, attempts: dict[str, Attempt], strangers: UnknownPhotos
) -> None:
    attempt = attempts["litert-float32"]
    finisher = Finisher(msgspec.structs.replace(trained, unknown=strangers), Acceptance(0.25, 1.0))
    found = finisher.finish(attempt).calibration
    assert found.unknown == "_unknown_"
    choosing, measuring = (
        soften(
            attempt.file.run(load_inputs(files, trained.preprocessing, "reading")),
            found.temperature,
        )
        for files in (strangers.choosing, strangers.measuring)
    )
    truth, known = trained.validation.truth, soften(attempt.scores, found.temperature)
    chosen = choose_threshold(known, truth, choosing, false_accept_rate=0.25, max_false_rejects=1)
    rates = measure_rejection(chosen.threshold, known, truth, measuring)
    assert found.reject_threshold == chosen.threshold
    assert found.false_accept_rate == rates.false_accept_rate
    assert found.false_accept_rate != chosen.false_accept_rate
    assert found.false_reject_rate == rates.false_reject_rate


def test_more_rejects_are_allowed_where_they_are_asked_for(
    trained: Trained, attempts: dict[str, Attempt]
) -> None:
    thresholds = [
        Finisher(trained, Acceptance(0.0, most)).finish(attempts["litert-float32"]).calibration
        for most in (0.0, 0.1, 0.5)
    ]
    limits = [one.reject_threshold for one in thresholds]
    assert limits[0] < limits[1] < limits[2]


def test_the_test_part_is_measured_on_its_own(
    trained: Trained, attempts: dict[str, Attempt], finished: dict[str, Finished]
) -> None:
    part, name = trained.validation, "litert-float32"
    assert finished[name].test_metrics is None
    held = list(range(0, len(part.photos), 3))
    # Scores that the run noted are not those of this file.
    noted = np.roll(part.scores[held], 1, axis=1)
    test = ScoredPhotos(tuple(part.photos[n] for n in held), noted)
    tested = Finisher(msgspec.structs.replace(trained, test=test), Acceptance())
    found = tested.finish(attempts[name])
    assert found.test_metrics is not None
    scores, truth = attempts[name].scores[held], part.truth[held]
    assert found.test_metrics.examples == len(held)
    assert found.test_metrics.top1 == (scores.argmax(axis=1) == truth).mean()
    assert found.test_metrics.agreement < 0.2
    softened = soften(scores, found.calibration.temperature)
    assert found.test_metrics.calibration_error == measure_calibration_error(softened, truth)
    # The temperature was fitted elsewhere.
    assert found.calibration == finished[name].calibration


def test_an_empty_test_part_is_none(trained: Trained, attempts: dict[str, Attempt]) -> None:
    empty = ScoredPhotos((), np.zeros((0, 3), np.float32))
    finisher = Finisher(msgspec.structs.replace(trained, test=empty), Acceptance())
    assert finisher.finish(attempts["litert-float32"]).test_metrics is None


def test_the_bundle_holds_what_was_found(
    trained: Trained, finished: dict[str, Finished], tmp_path: Path
) -> None:
    settings = ExportOptions(recipes=("litert-float32",), unknown_class=False)
    export_model(trained, tmp_path / "out", settings)
    (variant,) = Bundle.open(tmp_path / "out").manifest.variants
    one = finished["litert-float32"]
    assert variant.calibration == one.calibration
    assert variant.metrics == one.metrics
    assert variant.bytes == len(one.file.data)


@pytest.mark.parametrize("name", RECIPES)
def test_a_file_says_what_a_device_can_compare_with_its_answers(
    attempts: dict[str, Attempt], trained: Trained, name: str
) -> None:
    """As the device counts: a label or none for each photo, after temperature and threshold."""
    strict = Acceptance(false_accepts=0.0, max_false_rejects=0.4)
    one = Finisher(trained, strict).finish(attempts[name])
    found = one.metrics
    predictions = [
        Prediction(
            trained.labels,
            calibrate(scores, one.calibration.temperature),
            one.calibration.reject_threshold,
            *(0.0,) * 4,
        )
        for scores in attempts[name].scores
    ]
    named = [prediction.label for prediction in predictions if prediction.label is not None]
    assert 0 < len(named) < len(predictions)
    assert found.mean_confidence == pytest.approx(np.mean([one.score for one in predictions]))
    assert found.reject_rate == pytest.approx(1 - len(named) / len(predictions))
    assert found.label_shares == {
        label: pytest.approx(named.count(label) / len(named)) for label in trained.labels
    }
