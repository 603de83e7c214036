"""Labels: one class in two spellings, and labels that no folder can be called."""

import csv
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from edgetl.dataset.importing import import_collected
from edgetl.dataset.labels import check_label, find_obstacle, find_twin
from edgetl.dataset.listing import list_folder
from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.outputs.collect import Collect
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import CollectSettings

COMPOSED, DECOMPOSED = "\u00c4pfel", "A\u0308pfel"
# What a folder of Linux can be called, and other systems partly cannot.
# The second to fourth: Persian, Sinhala and an emoji, whose letters are joined by what is not seen.
ODD = (COMPOSED, "می\u200cشود", "ක්\u200dෂ", "👩\u200d🔧", "CON", "a.", "train", 'size: 10*"?<b>|\\')


@pytest.mark.parametrize(
    ("label", "others", "twin"),
    [
        *(("cat", ["dog", "Cat"], "Cat"), ("STRASSE", ["Straße"], "Straße")),
        *(("traffic_light", ["traffic light"], "traffic light"), ("a-b", ["A b"], "A b")),
        *(("\uff43at", ["cat"], "cat"), ("می\u200cشود", ["میشود"], "میشود")),
        *(("cat", ["cat", "cats"], None), ("a", ["A"], None), ("-", ["_"], None)),
        *(("1-2", ["12"], None), ("--", ["__"], None)),
    ],
)
def test_a_label_in_another_spelling_is_found(label, others, twin):
    assert find_twin(label, others) == twin


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        *(("n/a", "slash"), ("USB-A/B", "slash"), ("/", "slash")),
        *(("..", "hidden"), (".", "hidden"), (".git", "hidden"), ("@eaDir", "hidden")),
        *(("lost+found", "hidden"), ("Thumbs.db", "hidden")),
        *(("", "empty"), ("\u200d", "empty"), (" cat", "space"), ("cat ", "space")),
        *(("a\nb", "unprintable"), ("a\x00", "unprintable"), ("a\u202eb", "unprintable")),
        *(("ä" * 128, "255 bytes"), ("_Unknown_", "not a class"), ("-unsorted-", "not a class")),
    ],
)
def test_a_label_that_no_folder_can_have_is_refused(label, problem):
    with pytest.raises(DatasetError, match=rf"photos.csv, line 7: .*{problem}"):
        check_label(label, "photos.csv, line 7")


@pytest.mark.parametrize("label", [*ODD, "Recycle", "ä" * 127, "_unknown_"])
def test_other_labels_are_taken(label):
    assert check_label(label, "here") == label


def test_labels_are_composed():
    assert check_label(DECOMPOSED, "here") == COMPOSED


def collect_one_of_each(labels: tuple[str, ...], photos: Path, folder: Path) -> None:
    """What a device with such labels keeps: one different picture for each."""
    settings = CollectSettings(what=("sampled",), folder=str(folder), every_s=1e-9)
    output = Collect(settings, lambda: "ab" * 32)
    for index, file in enumerate(sorted(photos.rglob("0[0-5].jpg"))[: len(labels)]):
        scores = np.full(len(labels), 0.01, np.float32)
        scores[index] = 0.9
        now_s = time.monotonic()
        prediction = Prediction(labels, scores, 0.4, now_s, now_s, 1.0, 2.0)
        answer = Answer(
            "camera", 0, (96, 96), prediction, scores, prediction.label, prediction.score,
            False, False, None, "2026-05-28T20:26:40.250Z", read_picture(file),
        )  # fmt: skip
        assert output.accepts(answer)
        output.write(answer)


def test_odd_labels_come_all_the_way_and_back(photos: Path, tmp_path: Path) -> None:
    from edgetl.exporting.runs import export_run
    from edgetl.options import FittingOptions, TrainOptions
    from edgetl.training.train import train
    from edgetl_export.options import ExportOptions

    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label"))
        for number, photo in enumerate(sorted(photos.rglob("*.jpg"))):
            label = (DECOMPOSED, *ODD[1:])[number % len(ODD)]
            shutil.copy(photo, tmp_path / "data" / f"{number:02d}.jpg")
            table.writerow((f"{number:02d}.jpg", label))
    training = FittingOptions(epochs=1)
    options = TrainOptions(backbone="cnn", weights="none", size_px=32, training=training)
    run = train(tmp_path / "data" / "photos.csv", tmp_path / "run", options)
    settings = ExportOptions(recipes=("litert-float32",), allow_drop=True)
    labels = export_run(run, tmp_path / "a.bundle", settings).bundle.labels
    assert sorted(labels) == sorted(ODD)
    collect_one_of_each(labels, photos, tmp_path / "collected")
    report = import_collected(tmp_path / "collected", tmp_path / "new")
    assert sorted(one.suggested for one in report.imported) == sorted(ODD)
    assert report.doubted == ()
    assert sorted(list_folder(tmp_path / "new").labels) == sorted(ODD)


@pytest.mark.parametrize("there", [DECOMPOSED, COMPOSED, COMPOSED.lower()])
def test_an_import_uses_the_folder_that_is_there(there: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "new" / there).mkdir(parents=True)
    collect_one_of_each((COMPOSED, "dog"), photos, tmp_path / "collected")
    import_collected(tmp_path / "collected", tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {there, "dog"}
    assert len(list((tmp_path / "new" / there).iterdir())) == 1


def test_a_folder_whose_name_is_not_utf_8_is_called_so() -> None:
    assert find_obstacle(os.fsdecode(b"caf\xe9")) == "is not UTF-8"
