"""Heat maps over HTTP: made while somebody asks, for all who ask at once."""

import json
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.heatmaps.encoding import HeatMapRecord
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.serving import explaining
from edgetl_runtime.settings.sections import SourceSettings


@pytest.fixture
def explained(board, learning_bundle: Path) -> list[str | None]:
    """The board explains with a real model; gives the labels that it was asked for."""
    camera = Camera("pattern", SourceSettings())
    pipeline = Pipeline(Classifier.open(learning_bundle), camera)
    asked: list[str | None] = []

    def explain(picture: np.ndarray, label: str | None = None) -> HeatMapRecord:
        asked.append(label)
        return pipeline.explain(picture, label)

    board.explain = explain
    board.now = msgspec.structs.replace(board.now, has_heat_maps=True)
    yield asked
    camera.close()


@pytest.mark.usefixtures("feeding", "explained")
def test_the_map_of_a_class_or_of_the_best_one_is_told(page):
    named = page.ask_json("/api/heat-map?label=spring")
    best = page.ask_json("/api/heat-map")
    assert named["label"] == "spring"
    assert best["score"] >= named["score"]
    assert named["window"] == [0, 0, 1, 1]
    assert all(0 <= place <= 1 for place in named["hottest"])


@pytest.mark.usefixtures("feeding")
def test_nothing_is_computed_while_nobody_asks_and_all_askers_share(page, explained):
    time.sleep(0.1)
    assert explained == []
    page.ask("/api/heat-map?label=gear")
    began_s = time.monotonic()
    askers = [
        threading.Thread(target=page.ask, args=(f"/api/heat-map?label={label}",))
        for label in ("gear", "spring", "spring", "spring")
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sorted(explained) in (["gear", "spring"], ["gear", "gear", "spring"])
    assert time.monotonic() - began_s >= explaining.PERIOD_S * (len(explained) - 1) - 0.05
    assert not page.output.wants_picture()


@pytest.mark.usefixtures("feeding", "explained")
def test_a_class_that_the_model_lacks_is_refused(page):
    response = page.ask("/api/heat-map?label=blue")
    assert response.status == 422
    assert "'blue'" in json.loads(response.data)["error"]


def test_a_model_without_maps_says_so(page):
    response = page.ask("/api/heat-map")
    assert response.status == 501
    assert "has no heat maps" in json.loads(response.data)["error"]


@pytest.mark.usefixtures("explained")
def test_without_a_camera_there_is_nothing_to_explain(page, monkeypatch):
    monkeypatch.setattr(explaining, "_FRAME_S", 0.1)
    response = page.ask("/api/heat-map")
    assert response.status == 503
    assert "no frame arrived" in json.loads(response.data)["error"]


@pytest.mark.usefixtures("explained", "feeding")
def test_more_askers_than_can_wait_are_told_so(page, board, monkeypatch):
    monkeypatch.setattr(explaining, "PERIOD_S", 0.0)
    release, said = threading.Event(), []
    board.explain = lambda picture, label: release.wait(20)

    def ask() -> None:
        said.append(page.ask("/api/heat-map").status)

    askers = [threading.Thread(target=ask) for _ in range(9)]
    for asker in askers:
        asker.start()
    end_s = time.monotonic() + 20
    while not said:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    release.set()
    for asker in askers:
        asker.join()
    assert sorted(said) == [200] * 8 + [503]
