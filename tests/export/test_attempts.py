"""Attempts: a model that quantizes badly is refused, or brought back; never shipped as it is."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from edgetl_export.evaluate.gate import GateVerdict
from edgetl_export.options import ExportOptions, Repair
from edgetl_export.package.bundling import Exported, export_model
from edgetl_export.progress import shown
from edgetl_export.quantize.model_files import ModelFile
from edgetl_export.quantize.repairs import Plan, make_plans
from edgetl_export.quantize.search import Attempt, find_best, is_worth_trying
from edgetl_export.recipes import find_recipes
from edgetl_export.trained import Trained
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.manifest import VariantMetrics
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.errors import GateError

T = TypeVar("T")
INT8 = ("litert-int8",)
(RECIPE,) = find_recipes(INT8)
# The tiny validation part has few photos: one of them is more than a point.
STRICT = 0.0


def run_export(trained: Trained, out: Path, **settings: object) -> Exported:
    options: dict[str, object] = {"recipes": INT8, "max_drop": STRICT, "strict": False} | settings
    return export_model(trained, out, ExportOptions(**options))  # type: ignore[arg-type]


def test_without_repair_it_is_refused_and_kept_aside(
    exploding: Trained, tmp_path: Path, wording: str
) -> None:
    with pytest.raises(GateError, match=wording):
        run_export(exploding, tmp_path / "parts.bundle", repair="none")
    assert not (tmp_path / "parts.bundle").exists()
    aside = tmp_path / "parts.bundle.rejected"
    assert {path.name for path in aside.iterdir()} == {"litert-int8.tflite", "attempts.json"}
    (record,) = json.loads((aside / "attempts.json").read_text())
    assert record["drop"] > 0.1
    assert not record["passed"]


def test_the_repair_brings_it_back(exploding: Trained, tmp_path: Path) -> None:
    exported = run_export(exploding, tmp_path / "parts.bundle", repair="thorough")
    first, *more = exported.attempts["litert-int8"]
    assert first.metrics.drop > 0.1
    assert [one.verdict.passed for one in (first, *more)] == [False] * len(more) + [True]
    (variant,) = exported.bundle.manifest.variants
    assert variant.metrics.drop <= 0
    assert variant.repair
    assert variant.failures == ()
    assert verify(exported.bundle).ok


def test_a_drop_that_is_allowed_is_marked(exploding: Trained, tmp_path: Path) -> None:
    run_export(exploding, tmp_path / "parts.bundle", repair="none", allow_drop=True)
    (variant,) = Bundle.open(tmp_path / "parts.bundle").manifest.variants
    assert "points below the trained model" in variant.failures[0]
    assert not (tmp_path / "parts.bundle.rejected").exists()


def test_what_passes_plainly_gets_no_more_than_a_refit(trained: Trained, tmp_path: Path) -> None:
    settings = ExportOptions(recipes=INT8, max_drop=20.0, max_class_drop=50.0)
    exported = export_model(trained, tmp_path / "parts.bundle", settings)
    attempts = exported.attempts["litert-int8"]
    assert [one.file.plan.repair for one in attempts] == ["", "head refitted"]
    (variant,) = exported.bundle.manifest.variants
    assert variant.metrics.agreement == max(one.metrics.agreement for one in attempts)


class Bars:
    """Notes each progress bar; two at once would garble one another."""

    def __init__(self) -> None:
        self.descriptions: list[str] = []
        self._open = False

    def __call__(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        assert not self._open, f"{description} while {self.descriptions[-1]}"
        self._open = True
        self.descriptions.append(description)
        yield from items
        self._open = False


def test_the_progress_bar_names_the_step(trained: Trained, tmp_path: Path) -> None:
    bars = Bars()
    settings = ExportOptions(recipes=("int8",), max_drop=20, max_class_drop=50)
    with shown(bars):
        export_model(trained, tmp_path / "parts.bundle", settings)
    steps = [one.partition(":")[0] for one in bars.descriptions]
    for engine in ("litert", "onnx"):
        assert steps.count(f"{engine}-int8") >= 1
        # Features to fit on, then the scores.
        assert steps.count(f"{engine}-int8, head refitted") == 2
    assert steps.count("finding ranges") == 1


def test_a_file_over_its_budget_is_refused_without_repair(
    trained: Trained, tmp_path: Path, wording: str
) -> None:
    settings = ExportOptions(recipes=INT8, max_drop=20, max_class_drop=50, max_bytes=1000)
    with pytest.raises(GateError, match=wording):
        export_model(trained, tmp_path / "parts.bundle", settings)
    records = json.loads((tmp_path / "parts.bundle.rejected" / "attempts.json").read_text())
    assert len(records) == 1


def test_the_limit_of_bytes_holds_for_the_file_that_ships(trained: Trained, tmp_path: Path) -> None:
    def export_within(max_bytes: int | None, name: str) -> Exported:
        settings = ExportOptions(
            recipes=INT8,
            max_drop=20,
            max_class_drop=50,
            max_bytes=max_bytes,
            repair="none",
            unknown_class=False,
        )
        return export_model(trained, tmp_path / name, settings)

    (free,) = export_within(None, "free.bundle").bundle.manifest.variants
    (exact,) = export_within(free.bytes, "exact.bundle").bundle.manifest.variants
    assert exact.bytes == (tmp_path / "exact.bundle" / exact.file).stat().st_size == free.bytes
    with pytest.raises(GateError, match=f"{free.bytes:,} bytes with its metadata, allowed are"):
        export_within(free.bytes - 1, "refused.bundle")


def test_an_old_bundle_outlives_a_refusal(
    exploding: Trained, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "parts.bundle"
    export_model(trained, out, ExportOptions(recipes=INT8, allow_drop=True))
    before = (out / "bundle.json").read_bytes()
    settings = ExportOptions(recipes=INT8, max_drop=STRICT, repair="none")
    with pytest.raises(GateError):
        export_model(exploding, out, settings, overwrite=True)
    assert (out / "bundle.json").read_bytes() == before


def test_quick_repairs_do_not_look_for_layers_where_too_much_is_lost(
    exploding: Trained, tmp_path: Path, wording: str
) -> None:
    with pytest.raises(GateError, match=wording):
        run_export(exploding, tmp_path / "parts.bundle")
    records = json.loads((tmp_path / "parts.bundle.rejected" / "attempts.json").read_text())
    tried = ["", "head refitted", "upper layers retrained in 8 bits"]
    assert [one["repair"] for one in records] == tried


def make(
    agreement: float = 0.9,
    drop: float = 0.0,
    failures: tuple[str, ...] = (),
    unsure: tuple[str, ...] = (),
) -> Attempt:
    tensor = TensorSpec("image", (1, 32, 32, 3), "uint8", "nhwc")
    file = ModelFile(Plan(*find_recipes(INT8)), b"", (tensor, tensor))
    metrics = VariantMetrics(100, 0.9 - drop, drop, agreement, {})
    return Attempt(file, np.zeros((0, 2), np.float32), metrics, GateVerdict(failures, unsure))


SURE = make(0.90, 0.005)
UNSURE = make(0.99, 0.02, unsure=("2.0 points below",))
NEAR = make(0.98, 0.03, failures=("3.0 points below",))
FAR = make(0.60, 0.30, failures=("30.0 points below",))


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        ([FAR, NEAR, UNSURE, SURE], 3),
        ([FAR, UNSURE, NEAR], 1),
        ([FAR, NEAR], 1),
        ([make(0.9), make(0.95), make(0.95)], 1),
        ([make(0.7, 0.1, ("a",)), make(0.9, 0.1, ("b",))], 0),
    ],
)
def test_the_best_is_sure_then_agrees_then_lost_least_then_is_first(
    attempts: list[Attempt], best: int
) -> None:
    assert find_best(attempts) is attempts[best]


@pytest.mark.parametrize(
    ("best", "repair", "second_choice", "tried"),
    [
        (SURE, "thorough", False, {"refit"}),
        (UNSURE, "quick", False, {"refit", "retraining"}),
        (UNSURE, "quick", True, {"refit", "retraining"}),
        (UNSURE, "thorough", False, {"refit", "retraining", "calibration", "layers"}),
        (NEAR, "quick", False, {"refit", "retraining", "calibration", "layers"}),
        (NEAR, "quick", True, {"refit", "retraining", "calibration"}),
        (FAR, "quick", False, {"refit", "retraining", "calibration"}),
        (FAR, "thorough", True, {"refit", "retraining", "calibration", "layers"}),
    ],
)
def test_a_repair_is_tried_where_it_is_worth_its_time(
    best: Attempt, repair: Repair, second_choice: bool, tried: set[str]
) -> None:
    _, refit, retraining, calibration, layers, *_ = make_plans(
        *find_recipes(INT8), repair="thorough", refit=True, retrain=True
    )
    plans = {
        "refit": refit,
        "retraining": retraining,
        "calibration": calibration,
        "layers": layers,
    }
    found = {
        name
        for name, plan in plans.items()
        if is_worth_trying(plan, best, repair=repair, second_choice=second_choice)
    }
    assert found == tried


def test_where_nothing_passes_there_is_no_bundle(
    exploding: Trained, tmp_path: Path, wording: str
) -> None:
    settings = ExportOptions(recipes=INT8, max_drop=STRICT, repair="none")
    with pytest.raises(GateError, match=wording):
        export_model(exploding, tmp_path / "a.bundle", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle.rejected"]
