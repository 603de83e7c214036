"""The learning curve over photos: its draws, its intervals, and what it dares to say."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgetl.dataset.manifest import scan
from edgetl.learning_curve.draws import choose_fractions, draw_parts, find_hindrance
from edgetl.learning_curve.extrapolation import fit_power_law
from edgetl.learning_curve.record import PhotoCurve
from edgetl.learning_curve.resampling import estimate_accuracy, measure_luck, resample
from edgetl.metrics import estimate_share
from edgetl.reporting.photo_curve import conclude_curve, list_classes
from edgetl.run import Run
from edgetl.training.cross_validation import LabelledRows
from edgetl.training.photo_curve import find_curve_hindrance, measure_curve
from edgetl_runtime.errors import RunError
from tests.conftest import BACKBONE, SIZE_PX

LABELS = ("bolt", "gear", "nut")
FEW = (0.1, 0.2, 0.4, 0.7, 1.0)


def draw_rows(count: int, *, spread: float, seed: int, width: int = 200) -> LabelledRows:
    """Three classes in turn around fixed middles, each row a thing of its own."""
    middles = np.random.default_rng(7).normal(size=(3, width))
    classes = np.arange(count) % 3
    noise = np.random.default_rng(seed).normal(size=(count, width)) * spread
    features = (middles[classes] + noise).astype(np.float32)
    return LabelledRows(
        features=features, classes=classes, groups=np.arange(count), judged=np.ones(count, bool)
    )


def measure(spread: float, *, photos: int = 300, judged: int = 1500, seed: int = 0) -> PhotoCurve:
    train = draw_rows(photos, spread=spread, seed=1)
    val = draw_rows(judged, spread=spread, seed=2)
    return measure_curve(LABELS, train, val, l2=0.01, seed=seed).curve


@pytest.fixture(scope="module")
def rising() -> PhotoCurve:
    return measure(6.0)


def test_parts_are_nested_and_hold_the_same_share_of_each_class() -> None:
    classes = np.repeat([0, 1], [100, 40])
    parts = draw_parts(classes, np.arange(140), FEW, draws=3, seed=0)
    assert (parts[:, 1:] >= parts[:, :-1]).all()
    assert parts[:, :, classes == 0].sum(axis=2).tolist() == [[10, 20, 40, 70, 100]] * 3
    assert parts[:, :, classes == 1].sum(axis=2).tolist() == [[4, 8, 16, 28, 40]] * 3
    assert (parts[0, 0] != parts[1, 0]).any()


def test_near_duplicates_are_drawn_together() -> None:
    groups = np.repeat(np.arange(30), 5)
    parts = draw_parts(np.zeros(150, np.int64), groups, FEW, draws=4, seed=0)
    assert (parts.reshape(4, 5, 30, 5).std(axis=3) == 0).all()
    assert parts.sum(axis=2).tolist() == [[15, 30, 60, 105, 150]] * 4


def test_fractions_that_leave_a_class_a_single_thing_are_left_out() -> None:
    classes = np.repeat([0, 1], [100, 6])
    assert choose_fractions(classes, np.arange(106)) == (0.4, 0.7, 1.0)
    # Ten shots of one thing are one.
    assert choose_fractions(classes, np.r_[:100, [200] * 3, [201] * 3]) == (1.0,)


def test_a_power_law_is_found_again_and_foretells_twice_as_many() -> None:
    fractions = np.array(FEW)
    errors = 0.05 + 0.1 * fractions**-0.5
    law = fit_power_law(FEW, errors[np.newaxis])
    assert law.limit[0] == pytest.approx(0.05, abs=1e-6)
    assert law.exponent[0] == pytest.approx(0.5)
    assert law.gain(2.0)[0] == pytest.approx(0.1 * (1 - 2**-0.5))


def test_a_curve_that_falls_with_more_photos_foretells_no_gain() -> None:
    law = fit_power_law(FEW, np.array([[0.1, 0.11, 0.12, 0.13, 0.14]]))
    assert law.gain(2.0)[0] == 0.0


def test_resampling_keeps_the_shots_of_a_scene_together() -> None:
    hits = np.repeat(np.arange(20) % 2 == 0, 10)[np.newaxis]
    random = np.random.default_rng(0)
    alone = resample(hits, np.arange(200), repeats=500, random=random).std()
    together = resample(hits, np.repeat(np.arange(20), 10), repeats=500, random=random).std()
    assert together / alone == pytest.approx(10**0.5, rel=0.2)


def test_luck_of_a_draw_is_not_the_flipping_of_single_photos() -> None:
    random = np.random.default_rng(0)
    flips = random.random((200, 400)) < 0.8
    assert measure_luck(flips, 400) < 1e-5
    lucky = random.random((200, 400)) < random.normal(0.8, 0.05, (200, 1))
    assert measure_luck(lucky, 400) == pytest.approx(0.05**2, rel=0.3)


def test_the_interval_is_wilsons_and_wider_for_lucky_draws() -> None:
    plain = estimate_accuracy(0.8, 0.0, examples=200, scenes=150)
    assert plain == estimate_share(160, 200, scenes=150)
    wider = estimate_accuracy(0.8, 0.02**2, examples=200, scenes=150)
    assert wider.lower < plain.lower < plain.upper < wider.upper


def test_a_rising_curve_says_that_more_photos_help(rising: PhotoCurve) -> None:
    assert rising.verdict == "rising"
    headline, rise, _ = conclude_curve(rising)
    assert headline.startswith("More photos are likely to help: twice as many, 600,")
    assert rise.endswith("more than chance.")
    accuracies = [one.accuracy for one in rising.points]
    assert accuracies == sorted(accuracies)
    assert [one.photos for one in rising.points] == [30, 60, 120, 210, 300]


def test_its_forecast_is_borne_out_by_twice_as_many_photos(rising: PhotoCurve) -> None:
    doubled = measure(6.0, photos=600).points[-1].accuracy - rising.points[-1].accuracy
    assert rising.forecast.seen.lower < doubled < rising.forecast.seen.upper


def test_a_flat_curve_says_that_other_photos_help_more() -> None:
    flat = measure(0.5)
    assert flat.verdict == "flat"
    assert conclude_curve(flat)[0].startswith("The curve is flat")
    assert "No single class" in conclude_curve(flat)[2]


def test_too_few_validation_photos_allow_no_sentence() -> None:
    few = measure(6.0, judged=30)
    assert few.verdict == "unclear"
    assert conclude_curve(few)[0].startswith("These photos cannot tell")


def test_a_few_photos_all_classified_correctly_are_no_certainty() -> None:
    few = measure(0.5, judged=6)
    assert few.points[0].accuracy == few.points[-1].accuracy == 1.0
    assert few.verdict == "unclear"
    assert conclude_curve(few)[0].startswith("All validation photos are classified correctly, so")
    # 3 of 6 could still change: 1 - 0.05 ** (1 / 6); for 2 photos of each of 3 classes, 87 %.
    assert few.forecast.gain.upper == pytest.approx(0.393, abs=0.001)
    assert few.classes[0].rise.upper == pytest.approx(0.871, abs=0.001)


def test_classes_are_ranked_by_their_rise(rising: PhotoCurve) -> None:
    rises = [one.rise.value for one in rising.classes]
    assert rises == sorted(rises, reverse=True)
    assert {row[0] for row in list_classes(rising)} == set(LABELS)


def test_equal_seeds_give_equal_curves(rising: PhotoCurve) -> None:
    assert measure(6.0) == rising


def test_the_command_prints_tables_a_sentence_and_the_next_command(
    photos: Path, weights_file: Path, tmp_path: Path, edgetl: Any
) -> None:
    page = tmp_path / "curve.html"
    given = ("--backbone", BACKBONE, "--weights", weights_file, "--size", SIZE_PX)
    code, out, err = edgetl("data", "curve", photos, *given, "--out", page)
    assert code == 0, err
    assert "training photos" in out
    assert "washer" in out
    assert out.splitlines()[-1].startswith("next: edgetl ")
    assert "<svg" in page.read_text("utf-8")
    code, out, err = edgetl("data", "curve", photos, *given, "--json")
    record = json.loads(out)
    assert record["page"] is None
    assert record["curve"]["points"][-1]["fraction"] == 1.0
    assert record["verdict"] in ("rising", "flat", "unclear")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a curve takes at least 5 of each class"),
        (("--out", "curve.txt"), "must end in .html"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    photos_copy: Path, edgetl: Any, arguments: tuple[str, ...], said: str
) -> None:
    for path in photos_copy.glob("gear/0[4-9].jpg"):
        path.unlink()
    for path in photos_copy.glob("gear/1*.jpg"):
        path.unlink()
    code, _, err = edgetl("data", "curve", photos_copy, *arguments)
    assert code != 0
    assert said in err


def test_a_curve_needs_trained_features(photos: Path, edgetl: Any) -> None:
    code, _, err = edgetl("data", "curve", photos, "--weights", "none")
    assert code == 1
    assert "--weights none has none" in err


def test_a_training_keeps_the_curve_and_shows_it(run_folder: Path) -> None:
    run = Run.open(run_folder)
    assert run.curve is not None
    assert find_hindrance(run.manifest) == ""
    assert run.curve.points[-1].photos == len(run.manifest.select("train"))
    page = run.report.read_text("utf-8")
    assert "Do more photos help?" in page
    assert conclude_curve(run.curve)[0] in page


def test_a_training_from_scratch_says_why_it_has_none(tiny_run_folder: Path) -> None:
    run = Run.open(tiny_run_folder)
    assert run.curve is None
    assert "Not measured: the network was trained from random" in run.report.read_text("utf-8")


def test_a_training_on_very_many_photos_leaves_the_curve_to_the_command(run_folder: Path) -> None:
    manifest = Run.open(run_folder).manifest
    many = msgspec.structs.replace(manifest, examples=manifest.examples * 209)
    assert "`edgetl data curve` measures" in find_curve_hindrance(many, None)
    assert find_curve_hindrance(manifest, np.zeros((48, 4), np.float32)) == ""


def test_a_damaged_curve_is_noticed(run_folder: Path, tmp_path: Path, wording: Any) -> None:
    folder = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (folder / "curve.json").write_text('{"l2": 1}')
    with pytest.raises(RunError, match=wording):
        _ = Run.open(folder).curve


def test_copies_do_not_make_a_class_large(photos_copy: Path) -> None:
    for path in photos_copy.glob("gear/*.jpg"):
        if path.name > "03.jpg":
            shutil.copy(photos_copy / "gear/00.jpg", path)
    assert "gear has" in find_hindrance(scan(photos_copy))
