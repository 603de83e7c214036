"""`import edgetl`: the whole job from Python, in three lines."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import edgetl
import edgetl_export
from edgetl_runtime.options.option import list_options

SMALL = {"backbone": "cnn", "weights": "none", "size": 32, "augment": "none", "epochs": 1}
HEAVY = ("numpy", "cv2", "msgspec", "click", "scipy", "keras", "tensorflow")


def test_the_public_names_are_frozen_and_each_resolves(wording: str) -> None:
    assert edgetl.__all__ == [
        *("Bundle", "BundleError", "DatasetError", "EdgetlError", "ExportError", "ExportOptions"),
        *("FittingOptions", "FrameError", "GateError", "HeadOptions", "OptionsError", "Run"),
        *("RunError", "SplitOptions", "StorageError", "TrainOptions", "TrainingError"),
        *("WeightsError", "choose_network", "compare", "evaluate", "export", "resume", "train"),
    ]
    for name in edgetl.__all__:
        assert getattr(edgetl, name).__name__ == name
        assert name in dir(edgetl)
    with pytest.raises(AttributeError, match=wording):
        _ = edgetl.Model


def test_the_names_of_the_export_package_are_frozen() -> None:
    assert edgetl_export.__all__ == ["ExportOptions", "Exported", "Trained", "export_model"]
    for name in edgetl_export.__all__:
        assert getattr(edgetl_export, name).__name__ == name


def test_importing_it_imports_nothing_heavy() -> None:
    script = f"import sys, edgetl; assert not set({HEAVY}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_module_hides_a_function_of_the_same_name(tiny_run_folder: Path) -> None:
    edgetl.Run.open(tiny_run_folder)
    script = (
        "import edgetl, edgetl.exporting.runs, edgetl.evaluation, edgetl.training.train\n"
        "assert all(callable(getattr(edgetl, name)) for name in edgetl.__all__)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_keywords_are_called_as_the_flags_are() -> None:
    for kind in (edgetl.TrainOptions, edgetl.ExportOptions):
        for option in list_options(kind).values():
            flag = option.flag[2:].replace("-", "_")
            assert option.keyword == (option.name if option.is_list else flag)


def test_three_lines_are_the_whole_job(photos: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    run = edgetl.train(
        str(photos),
        out=str(tmp_path / "run"),
        progress=lambda *call: calls.append(call),
        seed=2,
        learning_rate=1e-3,
        **{**SMALL, "epochs": 6, "batch": 4},
    )
    image = next(photos.rglob("*.jpg"))
    assert run.evaluate(photos).top1 > 0.5
    assert run.predict(image).label in run.spec.labels
    bundle = run.export(
        tmp_path / "parts.bundle", max_drop=50, max_class_drop=100, recipes=("int8",)
    )
    assert isinstance(bundle, edgetl.Bundle)
    assert {one.precision for one in bundle.manifest.variants} == {"int8"}
    fitted = [call for call in calls if call[0].startswith("fitting")]
    assert [(done, total) for _, done, total in fitted] == [(n, 6) for n in range(7)]


def test_an_image_may_be_a_path_an_array_or_one_of_pillow(
    tiny_run_folder: Path, photos: Path
) -> None:
    run = edgetl.Run.open(str(tiny_run_folder))
    path = next(photos.rglob("*.jpg"))
    bgr = cv2.imread(str(path))
    assert bgr is not None
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    one = run.predict(path)
    for image, color in (
        (str(path), None),
        (bgr, "bgr"),
        (rgb, "rgb"),
        (Image.fromarray(rgb), None),
    ):
        assert np.array_equal(run.predict(image, color=color).scores, one.scores)
    assert [found.label for found in run.predict([path, rgb], color="rgb")] == [one.label] * 2
    assert one.age_ms > 0


def test_an_array_whose_colours_have_no_order_is_refused(
    tiny_run_folder: Path, wording: str
) -> None:
    run = edgetl.Run.open(tiny_run_folder)
    with pytest.raises(edgetl.OptionsError, match=wording):
        run.predict(np.zeros((8, 8, 3), np.uint8))
    assert run.predict(np.zeros((8, 8), np.uint8)).label in run.spec.labels


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"epoch": 3}, "epoch is unknown; did you mean epochs?"),
        ({"epochs": 0}, "epochs: expected a whole number from 1"),
        ({"head": "mlp", "size": 5000}, "size: expected a whole number from 32"),
        ({"hidden": (8,)}, "hidden=[8] cannot be combined with head='linear'"),
        ({"split": edgetl.SplitOptions(val_fraction=0.9, test_fraction=0.5)}, "leave no photo"),
    ],
)
def test_a_wrong_keyword_is_told_before_any_work(
    keywords: dict[str, object], message: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(edgetl.OptionsError) as caught:
        edgetl.train(photos, tmp_path / "run", **keywords)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"max_dropp": 1}, "max_dropp is unknown; did you mean max_drop?"),
        ({"max_drop": -1}, "max_drop: expected a number from 0 to 100"),
        ({"repair": "fast"}, "repair: expected one of: none, quick, thorough"),
        ({"recipes": ("int7",)}, "int7"),
        ({"scaling": "0..1"}, "scaling is for a model trained elsewhere"),
    ],
)
def test_a_wrong_keyword_of_an_export_is_told(
    keywords: dict[str, object], message: str, tiny_run_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(edgetl.OptionsError) as caught:
        edgetl.export(tiny_run_folder, tmp_path / "b", **keywords)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_model_trained_elsewhere_goes_through_the_same_door(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    model = foreign_folder / "float.tflite"
    with pytest.raises(edgetl.OptionsError, match=wording):
        edgetl.export(model, tmp_path / "b")
    exported = edgetl.export(
        *(model, tmp_path / "b"),
        data=photos,
        labels=foreign_folder / "labels.txt",
        scaling="-1..1",
        recipes=("litert-float32",),
    )
    assert exported.bundle.labels == ("washer", "bolt", "gear")
    assert edgetl.evaluate(exported.bundle.path, photos).top1 > 0.5


def test_runs_are_compared(tiny_run_folder: Path, run_folder: Path, wording: str) -> None:
    comparison = edgetl.compare([edgetl.Run.open(tiny_run_folder), str(run_folder)])
    assert [run.name for run in comparison.runs] == [str(tiny_run_folder), str(run_folder)]
    with pytest.raises(edgetl.OptionsError, match=wording):
        edgetl.compare([tiny_run_folder, tiny_run_folder])
