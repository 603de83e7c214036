"""Lessons over HTTP: what is taught, what is refused and why, and that answers go on meanwhile."""

import itertools
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.learning.overlay import find_overlay
from edgetl_runtime.learning.place import choose_place

HANG_S = 30
JSON = {"Content-Type": "application/json"}
CLASSES = ["gear", "spring", "washer"]


class Service:
    """Satisfies `Learner`, with a real model that is opened again."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self.relearned = -1
        self.relearn()

    def find_place(self) -> Path:
        return choose_place(self._bundle, self._bundle)

    def relearn(self) -> None:
        self.classifier = Classifier.open(self._bundle)
        self.relearned += 1


@pytest.fixture
def service(learning_bundle: Path, tmp_path: Path) -> Service:
    return Service(Path(shutil.copytree(learning_bundle, tmp_path / "parts.bundle")))


class Lessons:
    """The addresses of lessons on a page."""

    def __init__(self, page) -> None:
        self.page = page
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def film(self, frames: list[np.ndarray]) -> None:
        """Shows frames, over and over, as a pipeline does."""
        self._threads.append(threading.Thread(target=self._feed, args=(frames,)))
        self._threads[-1].start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _feed(self, frames: list[np.ndarray]) -> None:
        for frame in itertools.cycle(frames):
            if self._stop.wait(0.02):
                return
            wanted = self.page.output.wants_picture()
            answer = self.page.answer(picture=frame if wanted else None)
            if self.page.output.accepts(answer):
                self.page.output.write(answer)

    def send(self, method: str, path: str = "", **order: object) -> tuple[int, dict]:
        body = json.dumps(order).encode() if order else None
        response = self.page.ask(f"/api/lessons{path}", method, body, JSON if order else {})
        return response.status, json.loads(response.data)

    def look(self) -> dict:
        status, told = self.send("GET")
        assert status == 200
        return told

    def take(self, **order: object) -> dict:
        """Takes a lesson of a second, and returns its outcome."""
        status, told = self.send("POST", seconds=1, **order)
        assert status == 202, told
        return self.wait()["outcome"]

    def wait(self) -> dict:
        end_s = time.monotonic() + HANG_S
        while (told := self.look())["running"]:
            assert time.monotonic() < end_s
            time.sleep(0.05)
        return told


@pytest.fixture
def open_lessons(serve) -> Iterator[Callable[[Service], Lessons]]:
    """Serves a page that may teach a service."""
    opened: list[Lessons] = []

    def start(service: Service) -> Lessons:
        opened.append(Lessons(serve(learner=service)))
        return opened[-1]

    yield start
    for lessons in opened:
        lessons.close()


@pytest.fixture
def lessons(open_lessons, service) -> Lessons:
    return open_lessons(service)


def test_a_thing_that_is_held_before_the_camera_is_learned_and_answers(lessons, service, crosses):
    lessons.film(crosses)
    outcome = lessons.take(kind="teach", label="cross")
    report = outcome["report"]
    assert (outcome["error"], report["stored"], report["is_new"]) == ("", True, True)
    assert report["recalled"] >= report["frames"] // 2
    kept = report["kept"]
    assert kept["photos"] == 30
    assert kept["before"] - kept["after"] <= kept["may_lose"]
    told = lessons.look()
    assert told["labels"] == [*CLASSES, "cross"]
    assert [(one["kind"], one["label"]) for one in told["lessons"]] == [("teach", "cross")]
    named = [service.classifier(frame).label for frame in crosses]
    assert named.count("cross") > len(crosses) // 2
    assert service.relearned == 1


def test_what_was_learned_last_is_undone(lessons, service, crosses):
    lessons.film(crosses)
    lessons.take(kind="teach", label="cross")
    status, told = lessons.send("DELETE", "/last")
    assert (status, told["lessons"], told["labels"]) == (200, [], CLASSES)
    assert service.classifier.learned is None
    status, told = lessons.send("DELETE", "/last")
    assert status == 422
    assert "nothing was learned" in told["error"]


def test_the_place_is_learned_as_nothing_or_as_a_class(lessons, service, scene):
    lessons.film(scene)
    assert lessons.take(kind="scene", label=None)["report"]["stored"]
    assert service.classifier.labels == (*CLASSES, "unknown")
    assert lessons.look()["labels"] == CLASSES


def test_a_label_that_exists_gets_more_frames(lessons, crosses):
    lessons.film(crosses)
    lessons.take(kind="teach", label="cross")
    report = lessons.take(kind="teach", label="cross")["report"]
    assert (report["stored"], report["is_new"], report["number"]) == (True, False, 2)


def test_one_lesson_is_taken_at_a_time_and_can_be_stopped(lessons, crosses):
    lessons.film(crosses)
    status, told = lessons.send("POST", kind="teach", label="cross", seconds=60)
    assert status == 202
    assert told["running"]["doing"] == "watching"
    for method, path, order in (
        ("POST", "", {"kind": "scene", "label": None}),
        ("DELETE", "/last", {}),
    ):
        status, told = lessons.send(method, path, **order)
        assert status == 409
        assert "a lesson is being taken (cross)" in told["error"]
    assert lessons.send("DELETE", "/running")[0] == 200
    told = lessons.wait()
    assert "stopped" in told["outcome"]["error"]
    assert (told["lessons"], told["outcome"]["report"]) == ([], None)


def test_what_came_of_the_lesson_before_is_not_told_of_the_next_one(lessons, crosses):
    lessons.film(crosses)
    assert lessons.take(kind="teach", label="cross")["number"] == 1
    told = lessons.send("POST", kind="teach", label="cross", seconds=2)[1]
    assert (told["running"]["doing"], told["outcome"]) == ("watching", None)
    assert lessons.look()["outcome"] is None
    assert lessons.wait()["outcome"]["number"] == 2


def test_a_lesson_whose_frames_are_taken_and_one_that_is_none_cannot_be_stopped(
    lessons, service, crosses, wait_until, wording
):
    release, relearn = threading.Event(), service.relearn
    service.relearn = lambda: (release.wait(HANG_S), relearn())
    status, told = lessons.send("DELETE", "/running")
    assert (status, bool(re.search(wording[0], told["error"]))) == (422, True)
    lessons.film(crosses)
    lessons.send("POST", kind="teach", label="cross", seconds=1)
    wait_until(lambda: lessons.look()["running"]["doing"] == "taking it into use")
    status, told = lessons.send("DELETE", "/running")
    release.set()
    assert (status, bool(re.search(wording[1], told["error"]))) == (409, True)
    assert lessons.wait()["outcome"]["report"]["stored"]


def test_whoever_is_told_that_a_lesson_was_stopped_finds_nothing_learned(lessons, crosses):
    lessons.film(crosses)
    lessons.send("POST", kind="teach", label="cross", seconds=1)
    # Asked again and again, up to the very end of the second.
    while (running := lessons.look()["running"]) and running["left_s"] > 0.05:
        time.sleep(0.01)
    status, _ = lessons.send("DELETE", "/running")
    assert bool(lessons.wait()["lessons"]) == (status != 200)


def test_the_frames_are_counted_and_the_time_goes_down_while_one_looks(lessons, crosses):
    lessons.film(crosses)
    lessons.send("POST", kind="teach", label="cross", seconds=2)
    seen = []
    while (running := lessons.look()["running"]) and running["doing"] == "watching":
        seen.append((running["frames"], -running["left_s"]))
        time.sleep(0.05)
    assert seen == sorted(seen)
    assert seen[-1][0] > 5
    assert lessons.wait()["outcome"]["report"]["frames"] >= seen[-1][0]


@pytest.mark.parametrize(
    ("count", "level", "said"), [(1, 1, "found 1"), (12, 0, "is the lens covered")]
)
def test_one_frame_and_frames_of_nothing_are_refused(lessons, crosses, count, level, said):
    lessons.film([frame * level for frame in crosses[:count]])
    outcome = lessons.take(kind="teach", label="cross")
    assert outcome["report"] is None
    assert said in outcome["error"]
    assert lessons.look()["lessons"] == []


def test_without_a_camera_nothing_is_learned(lessons):
    assert "found 0 frames" in lessons.take(kind="teach", label="cross")["error"]


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "teach", "label": None},
        {"kind": "teach", "label": ""},
        {"kind": "teach", "label": "a/b"},
        {"kind": "teach", "label": "unknown"},
        {"kind": "scene", "label": "cross"},
        {"kind": "teach", "label": "cross", "seconds": 0},
        {"kind": "teach", "label": "cross", "frames": 3},
        {"kind": "dream"},
    ],
    ids=str,
)
def test_an_order_that_cannot_be_carried_out_begins_nothing(lessons, order):
    status, told = lessons.send("POST", **order)
    assert status == 422
    assert told["error"]
    assert lessons.look()["running"] is None


def test_a_wrong_order_is_told_which_field_what_is_allowed_and_what_was_found(lessons, wording):
    orders = (
        {"kind": "dream"},
        {"kind": "teach", "label": 3},
        {"kind": "teach", "label": "cross", "seconds": 0},
        {"kind": "teach", "lable": "cross"},
        {"label": "cross"},
    )
    said = [lessons.send("POST", **order)[1]["error"] for order in orders]
    for body in (b"[1]", b"null", b'{"kind": '):
        said.append(
            lessons.page.ask_json("/api/lessons", method="POST", body=body, headers=JSON)["error"]
        )
    assert [
        one for one, expected in zip(said, wording, strict=True) if not re.search(expected, one)
    ] == []
    assert not any("`" in one for one in said)


def test_an_order_that_is_no_json_is_refused(lessons):
    for headers, body, expected in (({}, b"{}", 415), (JSON, b"{", 422), (JSON, b"", 400)):
        assert lessons.page.ask("/api/lessons", "POST", body, headers).status == expected


def test_a_model_that_cannot_learn_says_so(open_lessons, tiny, crosses, wording):
    lessons = open_lessons(Service(tiny))
    assert wording in lessons.look()["impossible"]
    status, told = lessons.send("POST", kind="teach", label="cross")
    assert status == 422
    assert wording in told["error"]


def test_a_folder_that_may_not_be_written_is_named(open_lessons, closed_folder):
    lessons = open_lessons(Service(closed_folder / "parts.bundle"))
    assert str(closed_folder) in lessons.look()["impossible"]
    status, told = lessons.send("POST", kind="teach", label="cross")
    assert status == 422
    assert "--state-dir" in told["error"]


def test_a_damaged_overlay_is_named_with_its_remedy(lessons, service, crosses):
    lessons.film(crosses)
    lessons.take(kind="teach", label="cross")
    (find_overlay(service.find_place()) / "overlay.json").write_bytes(b"{}")
    assert "--clear" in lessons.look()["impossible"]
    assert lessons.send("POST", kind="teach", label="cross")[0] == 503
    assert lessons.send("DELETE", "/last")[0] == 503


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("DELETE", "/last"), ("DELETE", "/running")]
)
def test_neither_strangers_nor_other_sites_can_teach(lessons, method, path):
    address, body = f"/api/lessons{path}", b'{"kind": "teach", "label": "cross"}'
    assert lessons.page.ask(address, method, body, JSON, anonymous=True).status == 401
    for other in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert lessons.page.ask(address, method, body, JSON | other).status == 403
    assert lessons.look()["outcome"] is None


def test_a_page_without_a_service_teaches_nothing(page):
    told = Lessons(page)
    assert "nothing can be taught here" in told.look()["impossible"]
    assert told.send("POST", kind="teach", label="cross")[0] == 501


def test_no_frame_is_asked_for_while_no_lesson_is_taken(lessons, crosses):
    lessons.film(crosses)
    assert not lessons.page.output.wants_picture()
    lessons.take(kind="teach", label="cross")
    assert not lessons.page.output.wants_picture()
