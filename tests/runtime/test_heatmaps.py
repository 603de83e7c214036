"""Heat maps: their arithmetic, their place in the frame, their picture."""

from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import EngineError, OptionsError
from edgetl_runtime.heatmaps.drawing import draw_heat_map
from edgetl_runtime.heatmaps.encoding import HeatMapRecord, encode_png, record_heat_map
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.heatmaps.heat_map import HeatMap, make_cells
from edgetl_runtime.heatmaps.placement import find_window, spread
from edgetl_runtime.image.preprocessing import Fit, Frame, Preprocessing

SIZES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=4)
FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")


def make_maps(sizes: list[tuple[int, int]], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random((*size, 2 + n), dtype=np.float32) for n, size in enumerate(sizes)]


def make_heat(cells: np.ndarray) -> HeatMap:
    return HeatMap("gear", 0.93, cells.astype(np.float32), 0.5)


def light_one(row: int, column: int, rows: int = 7, columns: int = 7) -> HeatMap:
    cells = np.zeros((rows, columns), np.float32)
    cells[row, column] = 10
    return make_heat(cells)


@given(SIZES, st.integers(0, 2**32 - 1))
def test_the_mean_of_the_cells_and_the_bias_are_the_logit(
    sizes: list[tuple[int, int]], seed: int
) -> None:
    maps = make_maps(sizes, seed)
    features = np.concatenate([one.mean(axis=(0, 1)) for one in maps])
    kernel = np.random.default_rng(seed).normal(size=(len(features), 3)).astype(np.float32)
    logits = features @ kernel + np.float32(0.25)
    for index in range(3):
        heat = HeatMap("x", 1.0, make_cells(maps, kernel, index), 0.25)
        assert heat.logit == pytest.approx(logits[index], abs=1e-4)


def test_cells_are_those_of_the_finest_map() -> None:
    maps = make_maps([(28, 20), (14, 10), (7, 5)])
    assert make_cells(maps, np.ones((9, 1), np.float32), 0).shape == (28, 20)


def test_evidence_lies_where_the_map_has_it() -> None:
    coarse, fine = np.zeros((7, 7, 1), np.float32), np.zeros((14, 14, 1), np.float32)
    coarse[1, 5] = fine[3, 11] = 1
    heat = make_heat(make_cells([fine, coarse], np.ones((2, 1), np.float32), 0))
    assert heat.hottest == ((11 + 0.5) / 14, (3 + 0.5) / 14)


def test_a_negative_weight_makes_a_place_speak_against_a_class() -> None:
    maps = np.zeros((7, 7, 1), np.float32)
    maps[1, 5] = 1
    cells = make_cells([maps], np.full((1, 1), -1, np.float32), 0)
    assert np.unravel_index(cells.argmin(), cells.shape) == (1, 5)
    assert make_heat(cells).levels[1, 5] == 0


def test_maps_that_the_head_does_not_multiply_are_refused(wording: str) -> None:
    with pytest.raises(EngineError, match=wording):
        make_cells(make_maps([(7, 7)]), np.ones((3, 1), np.float32), 0)


def test_levels_go_from_0_to_1_and_are_0_where_all_cells_are_alike() -> None:
    levels = make_heat(np.arange(49.0).reshape(7, 7)).levels
    assert (levels.min(), levels.max()) == (0, 1)
    assert not make_heat(np.full((7, 7), -3.0)).levels.any()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(320, 240), (240, 320), (200, 200), (641, 97)])
def test_a_bright_spot_of_the_input_lies_on_that_of_the_frame(
    fit: Fit, size: tuple[int, int]
) -> None:
    """The window says the opposite of what preprocessing does, which is the judge here."""
    width, height = size
    frame = np.zeros((height, width, 3), np.uint8)
    x, y = width // 2 + width // 20, height // 2 - height // 20
    cv2.circle(frame, (x, y), 5, (255, 255, 255), -1)
    preprocessing = Preprocessing(96, 64, fit=fit)
    seen = preprocessing.apply(frame)[:, :, 0].astype(np.float32)
    seen[seen < 200] = 0  # The grey of padding.
    window = find_window(preprocessing, width, height)
    spot = spread(seen, window, width, height)
    ys, xs = np.nonzero(spot > 128)
    assert (xs.mean(), ys.mean()) == (pytest.approx(x, abs=2), pytest.approx(y, abs=2))
    rows, columns = np.nonzero(seen)
    place = window.find(((columns.mean() + 0.5) / 96, (rows.mean() + 0.5) / 64))
    assert place == (pytest.approx(x, abs=2), pytest.approx(y, abs=2))


def test_what_a_crop_leaves_out_has_no_heat() -> None:
    heat = spread(np.ones((7, 7), np.float32), find_window(crop(), 300, 100), 300, 100)
    assert not heat[:, :100].any()
    assert not heat[:, 200:].any()
    assert (heat[:, 100:200] == 1).all()


def crop() -> Preprocessing:
    return Preprocessing(64, 64, fit="crop")


def test_a_picture_is_drawn_where_the_evidence_lies_and_nowhere_else() -> None:
    picture = np.full((210, 280, 3), 90, np.uint8)
    before = picture.copy()
    drawn = draw_heat_map(picture, light_one(1, 5), Preprocessing(64, 64), caption=False)
    changed = (drawn != picture).any(axis=2)
    ys, xs = np.nonzero(changed)
    assert (picture == before).all()
    assert (xs.mean(), ys.mean()) == (pytest.approx(220, abs=2), pytest.approx(45, abs=2))
    assert not changed[:, :140].any()
    assert not changed[105:].any()


def test_hotter_is_lighter_so_that_it_needs_no_colours() -> None:
    cells = np.tile(np.arange(64, dtype=np.float32), (8, 1))
    drawn = draw_heat_map(np.zeros((32, 512, 3), np.uint8), make_heat(cells), Preprocessing(64, 64))
    lightness = cv2.cvtColor(drawn, cv2.COLOR_BGR2LAB)[16, 256::16, 0].astype(int)
    assert (np.diff(lightness) >= 0).all()
    assert lightness[-1] - lightness[0] > 100


def test_the_label_is_written_at_the_top_left() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    heat, seen = light_one(6, 6), Preprocessing(64, 64)
    plain = draw_heat_map(picture, heat, seen, caption=False)
    changed = (draw_heat_map(picture, heat, seen) != plain).any(axis=2)
    assert changed[:30, :60].any()
    assert not changed[60:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (63, 63)])
def test_the_smallest_and_the_longest_pictures_can_be_drawn(size: tuple[int, int]) -> None:
    for fit in FITS:
        picture = np.zeros((*size, 3), np.uint8)
        drawn = draw_heat_map(picture, light_one(3, 3), Preprocessing(64, 64, fit=fit))
        assert drawn.shape == picture.shape


def test_the_png_is_transparent_where_nothing_speaks_for_the_class() -> None:
    data = np.frombuffer(encode_png(light_one(1, 5)), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert picture.shape == (7, 7, 4)
    assert np.argwhere(picture[:, :, 3]).tolist() == [[1, 5]]


def test_the_record_survives_json_and_speaks_in_fractions_of_the_frame() -> None:
    record = record_heat_map(light_one(3, 6), crop(), 300, 100)
    again = msgspec.json.decode(msgspec.json.encode(record), type=HeatMapRecord)
    assert again == record
    assert record.window == pytest.approx((1 / 3, 0, 1 / 3, 1))
    assert record.hottest == pytest.approx((1 / 3 + 6.5 / 21, 0.5))
    assert record.is_unknown is False


def test_the_record_says_that_the_frame_is_unknown() -> None:
    heat = msgspec.structs.replace(light_one(3, 6), is_unknown=True)
    assert record_heat_map(heat, crop(), 300, 100).is_unknown is True


class _Eyes:
    """A network of one map, which is the red of its input, and of a head of two classes."""

    def __call__(self, pixels: Frame) -> SimpleNamespace:
        red = pixels[:, :, :1].astype(np.float32) / 255
        return SimpleNamespace(scores=np.array([0.2, 0.7, 0.1], np.float32), maps=[red])


class _DoubtfulEyes(_Eyes):
    """Takes what it sees for none of the classes."""

    def __call__(self, pixels: Frame) -> SimpleNamespace:
        seen = super().__call__(pixels)
        return SimpleNamespace(scores=np.array([0.1, 0.2, 0.7], np.float32), maps=seen.maps)


def explain(label: str | None, eyes: Any = None) -> HeatMap:
    head = Head(np.array([[1, -1]], np.float32), np.zeros(2, np.float32))
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[2, 5] = (0, 0, 255)
    explainer = Explainer(eyes or _Eyes(), head, ("red", "other"), Preprocessing(8, 8))  # type: ignore[arg-type]
    return explainer.explain(frame, label)


def test_the_best_class_is_explained_unless_one_is_named() -> None:
    best, named = explain(None), explain("red")
    assert (best.label, named.label) == ("other", "red")
    assert named.hottest == (5.5 / 8, 2.5 / 8) != best.hottest
    assert named.score == pytest.approx(0.2)


def test_of_an_unknown_frame_the_class_that_it_looks_most_like_is_explained() -> None:
    heat = explain(None, _DoubtfulEyes())
    assert (heat.label, heat.is_unknown) == ("other", True)
    assert explain(None).is_unknown is False


def test_a_class_that_the_model_lacks_is_refused(wording: str) -> None:
    with pytest.raises(OptionsError, match=wording):
        explain("blue")
