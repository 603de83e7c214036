"""What the page learns is what the device learns: the same head, checks and refusals."""

from pathlib import Path

import numpy as np
import pytest

from edgetl_runtime.bundle.memory import Memory, encode_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.errors import LessonError
from edgetl_runtime.image.preprocessing import Preprocessing
from edgetl_runtime.learning.learned import Learned, Taught, learn, recall
from edgetl_runtime.teaching.frames import Collector, _shrink
from edgetl_runtime.teaching.lesson import check_label, find_reason
from tests.phone.conftest import LEARNING
from tests.phone.twin import to_json
from tests.runtime.conftest import draw_cross, draw_scene

CLASSES = ("gear", "spring", "washer", "nut", "bolt")
FEATURES = 256
MEMORY = "litert-int8.memory.npz"


def draw_rows(chance: np.random.Generator, place: np.ndarray, count: int, spread=0.6) -> np.ndarray:
    """Features about a place, at least 0 as those of a ReLU, as float16 keeps them."""
    rows = place + chance.normal(0, spread, (count, FEATURES))
    return np.maximum(rows, 0).astype(np.float16).astype(np.float32)


class World:
    """A head, photos of its classes, and things that it does not know."""

    def __init__(self, seed: int, things: int, outputs: int = 0) -> None:
        chance = np.random.default_rng(seed)
        places = np.maximum(chance.normal(0, 1, (len(CLASSES) + things, FEATURES)), 0)
        known = places[: len(CLASSES)]
        centered = known - known.mean(axis=0)
        kernel = (centered.T * 8 / FEATURES).astype(np.float32)
        bias = (-(kernel * known.T).sum(axis=0) / 2).astype(np.float32)
        rows = [draw_rows(chance, place, 30) for place in known]
        self.memory = Memory(
            kernel,
            bias,
            np.concatenate(rows).astype(np.float16),
            np.repeat(np.arange(len(CLASSES)), 30).astype(np.int16),
            np.tile(np.arange(30) % 3 == 0, len(CLASSES)),
        )
        self.takes = [draw_rows(chance, place, 20) for place in places[len(CLASSES) :]]
        self.asked = np.concatenate([draw_rows(chance, place, 4) for place in places])
        self.shipped = chance.random((len(self.asked), len(CLASSES) + outputs)).astype(np.float32)
        self.shipped /= self.shipped.sum(axis=1, keepdims=True)

    def ask(self, node, folder: Path, labels, takes, unknown: str = ""):
        """What page and device make of the same lessons."""
        (folder / "memory.npz").write_bytes(encode_memory(self.memory))
        arrays = {str(n): take for n, take in enumerate(takes)}
        np.savez(folder / "a.npz", asked=self.asked, shipped=self.shipped, **arrays)
        given = (list(CLASSES), list(labels), unknown, 1.3)
        found = node("learnLessons", folder / "memory.npz", folder / "a.npz", *given)
        lessons = [Taught(label, take) for label, take in zip(labels, takes, strict=True)]
        learned = learn(self.memory, CLASSES, lessons, unknown)
        recalled = recall(self.memory, CLASSES, lessons, unknown)
        return found, learned, recalled, find_reason(learned, lessons, recalled)

    def score(self, learned: Learned) -> np.ndarray:
        pairs = zip(self.asked, self.shipped, strict=True)
        return np.stack([learned.score(Seen(said, one, []), 1.3) for one, said in pairs])


def assert_alike(world: World, found, learned, recalled, refused) -> None:
    assert tuple(found["labels"]) == learned.labels
    assert found["unknown"] == learned.unknown
    logits = world.asked @ learned.head.kernel + learned.head.bias
    assert np.abs(np.array(found["logits"]) - logits).max() < 1e-3
    assert np.abs(np.array(found["scores"]) - world.score(learned)).max() < 1e-3
    assert found["held_back"] == learned.held_back
    assert found["recalled"] == recalled[-1].correct
    kept = {name: found["kept"][name] for name in ("photos", "before", "after", "may_lose")}
    assert kept == {name: getattr(learned.kept, name) for name in kept}
    # The remedies differ: a page has no commands.
    assert found["refused"].partition(";")[0] == refused.partition(";")[0]


@pytest.mark.parametrize("unknown", ["", "unknown"])
def test_things_and_the_place_are_learned_alike(unknown, node, tmp_path):
    for seed in range(3):
        world = World(seed, 3, outputs=bool(unknown))
        answer = world.ask(node, tmp_path, ["cross", None, "washer"], world.takes, unknown)
        assert_alike(world, *answer)
        assert not answer[0]["refused"]


def test_a_second_lesson_of_a_label_adds_to_the_first(node, tmp_path):
    world = World(5, 2)
    parts = [world.takes[0][:7], world.takes[1], world.takes[0][7:]]
    assert_alike(world, *world.ask(node, tmp_path, ["cross", "star", "cross"], parts))


def test_what_takes_a_class_away_is_held_back_or_refused_alike(node, tmp_path):
    verdicts = set()
    for seed, mixed in ((1, 0.5), (2, 0.9), (3, 1.0)):
        world = World(seed, 1)
        gear = world.memory.rows[world.memory.classes == 0][:20].astype(np.float32)
        take = (mixed * gear + (1 - mixed) * world.takes[0]).astype(np.float32)
        answer = world.ask(node, tmp_path, ["cross"], [take])
        assert_alike(world, *answer)
        verdicts.add((bool(answer[0]["refused"]), answer[0]["held_back"] > 0))
    assert len(verdicts) > 1


def test_frames_that_have_nothing_in_common_are_refused_alike(node, tmp_path):
    world = World(4, 1)
    chance = np.random.default_rng(0)
    places = np.maximum(chance.normal(0, 1, (8, FEATURES)), 0)
    take = np.concatenate([draw_rows(chance, place, 1, 3) for place in places])
    answer = world.ask(node, tmp_path, ["cross"], [take])
    assert_alike(world, *answer)


def test_a_real_memory_is_read_and_taught_alike(node, tmp_path):
    bundle = Bundle.open(LEARNING)
    from edgetl_runtime.learning.student import Student

    student = Student.open(bundle, variant="litert-int8")
    inputs = [bundle.manifest.preprocessing.apply(draw_cross(seed)) for seed in range(20)]
    take = student.look(inputs)
    np.savez(
        tmp_path / "a.npz", asked=take, shipped=np.full((20, 3), 1 / 3, np.float32), **{"0": take}
    )
    given = (list(bundle.labels), ["cross"], "", 1.0)
    found = node("learnLessons", LEARNING / MEMORY, tmp_path / "a.npz", *given)
    learned = student.fit([Taught("cross", take)])
    logits = take @ learned.head.kernel + learned.head.bias
    assert np.abs(np.array(found["logits"]) - logits).max() < 1e-3
    assert found["recalled"] == student.recall([Taught("cross", take)])[0].correct


@pytest.mark.parametrize("kind", ["teach", "scene"])
def test_labels_are_refused_alike(kind, node):
    labels = [
        *("cross", "gear", "", " cross", "a/b", ".hidden", "@x", "_x", "#x", "Thumbs.db", "a\nb"),
        *("unknown", "_unknown_", "_unsorted_", "ü" * 127, "ü" * 128, "ab\u200ccd", "a\u00a0b"),
        *("\u202ex", "👩\u200d🔧", None),
    ]
    for label in labels:
        try:
            check_label(kind, label, CLASSES)
            expected = ""
        except LessonError as error:
            expected = str(error)
        assert bool(node("refuseLabel", kind, label, list(CLASSES))) == bool(expected), label


def number_first(inputs: list[np.ndarray]) -> dict[bytes, int]:
    """Of frames that are equal, the first one's number."""
    return {one.tobytes(): n for n, one in reversed(list(enumerate(inputs)))}


def take_on_device(inputs: list[np.ndarray], alike: bool):
    """Numbers of the frames of a take and its notes, or why it is refused."""
    collector = Collector(alike=alike)
    numbers = number_first(inputs)
    for one in inputs:
        collector.add(one, one)
    try:
        take = collector.finish()
    except LessonError as error:
        return str(error)
    chosen = [numbers[one.tobytes()] for one in take.inputs]
    return {"chosen": chosen, "notes": list(take.notes), "count": collector.count}


def take_on_page(node, inputs: list[np.ndarray], alike: bool):
    listed = [one.ravel().tolist() for one in inputs]
    found = node("takeFrames", listed, inputs[0].shape[1], alike)
    if isinstance(found, dict):
        numbers = number_first(inputs)
        found["chosen"] = [numbers[inputs[n].tobytes()] for n in found["chosen"]]
    return found


@pytest.mark.parametrize("alike", [True, False])
def test_the_same_frames_make_a_take(alike, node):
    rule = Preprocessing(24, 24)
    crosses = [rule.apply(draw_cross(seed)) for seed in range(12)]
    scene = [rule.apply(draw_scene(seed)) for seed in range(6)]
    blank = [np.zeros((24, 24, 3), np.uint8)]
    for inputs in (
        *(crosses, scene, blank * 3, [*blank, *crosses, *crosses[:3]], crosses[:4], scene * 2),
        [*crosses[:3], *crosses[:3], *blank],
    ):
        assert take_on_page(node, inputs, alike) == take_on_device(inputs, alike)


def test_a_long_take_is_thinned_out_alike(node):
    chance = np.random.default_rng(0)
    inputs = list(chance.integers(0, 256, (950, 16, 16, 3)).astype(np.uint8))
    found = take_on_page(node, inputs, True)
    assert found == take_on_device(inputs, True) | {
        "notes": ["of 950 frames 200 are used, evenly spaced"]
    }


@pytest.mark.parametrize("size", [(16, 16), (224, 224), (96, 128), (72, 50), (17, 300)])
def test_thumbnails_are_those_of_opencv(size, node):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = np.array(node("shrinkInput", pixels.ravel().tolist(), size[1]))
    assert np.abs(found - _shrink(pixels).ravel()).max() <= 1


def test_half_precision_is_numpys(node):
    chance = np.random.default_rng(0)
    values = np.concatenate(
        [
            (chance.normal(size=2000) * 10.0 ** chance.integers(-9, 6, 2000)).astype(np.float32),
            np.array(
                [0, -0.0, 65504, 65519, 65520, 2**-24, 2**-25, 2**-14, 2049, 2051], np.float32
            ),
            np.arange(0, 1 << 16, 7, np.uint16).view(np.float16).astype(np.float32),
        ]
    )
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    found = node("halve", to_json(values))
    assert found["bits"] == halves.view(np.uint16).tolist()
    assert [float(one) for one in found["values"]] == halves.astype(np.float64).tolist()
