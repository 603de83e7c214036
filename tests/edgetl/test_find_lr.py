"""The search for learning rates: what it suggests, that it puts all back, and what comes next."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgetl.learning_rates import RateTest, has_diverged, smooth
from edgetl.options import FittingOptions
from edgetl.training.rate_finder import run_range_test
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import CachedRows
from edgetl.training.steps import Stage
from tests.conftest import BACKBONE, SIZE_PX


def make_test(losses: list[float]) -> RateTest:
    rates = tuple(np.geomspace(1e-6, 10, len(losses)))
    return RateTest("head", "--learning-rate", rates, tuple(losses), 3e-3)


def make_stage(optimizer: Any = "adam") -> Stage:
    import keras

    random = np.random.default_rng(0)
    classes = np.arange(60) % 3
    rows = random.normal(size=(60, 8)).astype(np.float32) + classes[:, np.newaxis]
    source = CachedRows(list(rows), np.arange(60), classes)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.1), keras.layers.Dense(3)])
    recipe = make_recipe("head", FittingOptions(batch=16, optimizer=optimizer), epochs=1)
    return Stage(0, "head", model, 3, source, source, recipe)


def test_the_suggestion_is_a_tenth_of_the_rate_at_which_the_loss_begins_to_rise() -> None:
    losses = [1.0] * 30 + [0.5] * 40 + [2.0] * 30
    test = make_test(losses)
    assert test.edge is not None
    assert 64 <= test.edge <= 69
    assert test.suggested == pytest.approx(test.rates[test.edge] / 10, rel=0.05)


def test_a_loss_that_does_not_rise_allows_no_suggestion() -> None:
    test = make_test([1.0] * 100)
    assert test.suggested is None
    assert "did not rise" in test.reason


def test_a_loss_that_never_fell_is_no_reason_to_leave_a_default_that_is_stable() -> None:
    # The loss rises after 0.08.
    test = make_test([0.64] * 70 + [2.0] * 30)
    assert test.suggested is None
    assert "the current rate is below" in test.reason
    unstable = msgspec.structs.replace(test, before=1.0)
    assert unstable.suggested == pytest.approx(0.007, rel=0.5)
    assert not unstable.reason


def test_a_moving_average_does_not_lag() -> None:
    line = np.arange(40.0)
    assert smooth(line.tolist())[3:-3] == pytest.approx(line[3:-3])


def test_a_loss_far_above_the_lowest_or_not_finite_has_diverged() -> None:
    assert not has_diverged([1.0] * 9 + [1.5])
    assert has_diverged([1.0] * 9 + [9.0] * 6)
    assert has_diverged([1.0, float("nan")])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_rate_grows_until_the_loss_diverges_and_all_is_put_back(optimizer: str) -> None:
    stage = make_stage(optimizer)
    before = [np.array(one) for one in stage.model.get_weights()]
    test = run_range_test(stage, seed=0, highest=1e4, steps=80)
    assert len(test.losses) < 80
    assert test.rates[0] == 1e-6
    assert (np.diff(np.log(test.rates)) > 0.2).all()
    assert test.smoothed.min() < 0.9 * test.losses[0]
    assert test.suggested is not None
    for one, other in zip(before, stage.model.get_weights(), strict=True):
        assert (one == other).all()


def test_equal_seeds_give_equal_tests() -> None:
    import keras

    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        found.append(run_range_test(make_stage(), seed=3, steps=20))
    assert found[0] == found[1]


def test_the_command_tests_each_stage_and_leaves_no_run(
    photos: Path, weights_file: Path, tmp_path: Path, edgetl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = (
        "--backbone",
        BACKBONE,
        "--weights",
        weights_file,
        "--size",
        SIZE_PX,
        "--finetune",
        1,
        "--views",
        1,
    )
    code, out, err = edgetl("train", photos, *given, "--find-lr", "--out", "rates.html")
    assert code == 0, err
    assert "top block" in out
    assert "a tenth of the largest rate before the loss rises" in out
    last = out.splitlines()[-1]
    command = f"next: edgetl train {photos} --out runs/{photos.name} --backbone {BACKBONE}"
    assert last.startswith(f"{command} --size 64 ")
    assert "--finetune 1" in last
    assert " --learning-rate" in last
    assert [one.name for one in tmp_path.iterdir()] == ["rates.html"]
    page = (tmp_path / "rates.html").read_text("utf-8")
    assert page.count("<svg") == 2
    assert "mathdefault" not in page


def test_a_head_alone_is_one_stage_and_json_one_object(
    photos: Path, weights_file: Path, edgetl: Any
) -> None:
    given = (
        "--backbone",
        BACKBONE,
        "--weights",
        weights_file,
        "--size",
        SIZE_PX,
        "--finetune",
        "none",
    )
    code, out, err = edgetl("train", photos, *given, "--find-lr", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert [one["stage"] for one in record["stages"]] == ["head"]
    assert record["page"] is None
    assert "--finetune none" in record["next"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume", "run"), "--resume contradicts --find-lr"),
        (("--out", "runs/a"), "--find-lr makes no run; --out runs/a must be the page"),
        (("--out", "a.txt"), "must end in .html"),
    ],
)
def test_what_makes_no_sense_without_a_run_is_refused(
    photos: Path, edgetl: Any, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = edgetl("train", photos, "--find-lr", *arguments)
    assert code == 2
    assert said in err
