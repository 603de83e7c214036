import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.preprocessing import Preprocessing, resize

FITS = ("stretch", "crop", "pad")
# Written by tests/make_prepared.py.
PREPARED = json.loads((Path(__file__).parents[1] / "data" / "prepared.json").read_bytes())


def draw_scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """What a camera gives: shading, shapes with edges, fine texture, all a little blurred."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shading = 90 + 60 * np.sin(x / width * 5) + 40 * np.cos(y / height * 4)
    picture = np.dstack([shading, shading[::-1], shading[:, ::-1]]).clip(0, 255).astype(np.uint8)
    for _ in range(30):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(rng.integers(3, max(4, height // 5)))
        cv2.circle(picture, centre, radius, rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
    grain = rng.standard_normal(picture.shape, np.float32)
    noise = cv2.GaussianBlur(25 * grain, (0, 0), 1)
    return cv2.GaussianBlur((picture + noise).clip(0, 255).astype(np.uint8), (0, 0), 1.2)


def draw_checkerboard(size_px: int) -> np.ndarray:
    """Single black and white pixels."""
    board = (np.indices((size_px, size_px)).sum(0) % 2 * 255).astype(np.uint8)
    return np.dstack([board] * 3)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return draw_scene(640, 480)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (1, 20000, 3), (20000, 1, 3), (3000, 4000, 3), (31, 33, 3), (480, 640)]
)
def test_every_frame_becomes_the_models_input(fit, shape):
    pixels = Preprocessing(40, 24, fit=fit).apply(np.full(shape, 70, np.uint8))
    assert pixels.shape == (24, 40, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("size_px", [(64, 48), (32, 32), (96, 96)])
def test_a_red_bgr_frame_comes_out_red_in_rgb(size_px):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 2] = 255
    assert (Preprocessing(*size_px).apply(red) == (255, 0, 0)).all()


def test_a_grey_frame_has_three_equal_channels(scene):
    grey = scene[..., 0]
    pixels = Preprocessing(32, 32).apply(grey)
    assert (pixels == pixels[..., :1]).all()
    assert np.array_equal(pixels, Preprocessing(32, 32).apply(np.dstack([grey] * 3)))
    assert np.array_equal(pixels, Preprocessing(32, 32).apply(grey[..., np.newaxis]))


def test_the_alpha_channel_of_a_frame_is_ignored(scene):
    alpha = np.random.default_rng(0).integers(0, 256, scene.shape[:2], dtype=np.uint8)
    apply = Preprocessing(32, 32).apply
    assert np.array_equal(apply(np.dstack([scene, alpha])), apply(scene))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0), np.uint8),
        None,
        "frame.png",
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_frame_is_refused(frame, wording):
    with pytest.raises(FrameError, match=wording):
        Preprocessing(32, 32).apply(frame)


@pytest.mark.parametrize("size_px", [(0, 32), (32, -1), (4097, 32)])
def test_a_size_that_no_model_has_is_refused(size_px, wording):
    with pytest.raises(ValueError, match=wording):
        Preprocessing(*size_px)


def test_stretch_keeps_all_of_the_frame():
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, 40:] = 200
    pixels = Preprocessing(20, 20).apply(frame)
    assert (pixels[:, :10] == 0).all()
    assert (pixels[:, 10:] == 200).all()


@pytest.mark.parametrize("upright", [False, True])
def test_crop_keeps_the_centre(upright):
    frame = np.full((40, 80, 3), 255, np.uint8)
    frame[:, 20:60] = 50
    frame = frame.transpose(1, 0, 2) if upright else frame
    assert (Preprocessing(20, 20, fit="crop").apply(frame) == 50).all()


def test_crop_keeps_the_largest_part_of_the_inputs_aspect_ratio():
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None, None], (80, 80, 3))
    pixels = Preprocessing(80, 40, fit="crop").apply(ramp)
    assert pixels[:, 0, 0].tolist() == list(range(20, 60))


@pytest.mark.parametrize("upright", [False, True])
def test_pad_keeps_the_whole_frame_between_grey_bars(upright):
    frame = np.full((40, 80, 3), 200, np.uint8)
    frame = frame.transpose(1, 0, 2) if upright else frame
    pixels = Preprocessing(40, 40, fit="pad").apply(frame)
    pixels = pixels.transpose(1, 0, 2) if upright else pixels
    assert (pixels[:10] == 128).all()
    assert (pixels[10:30] == 200).all()
    assert (pixels[30:] == 128).all()


@pytest.mark.parametrize("fit", FITS)
def test_a_frame_of_the_exact_size_is_only_reordered(fit, scene):
    frame = scene[:96, :128]
    assert np.array_equal(Preprocessing(128, 96, fit=fit).apply(frame), frame[..., ::-1])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size_px", [(640, 480), (64, 64), (700, 700)])
def test_the_frame_is_never_modified_nor_handed_on(fit, size_px, scene):
    frame = scene.copy()
    Preprocessing(*size_px, fit=fit).apply(frame)[:] = 0
    assert np.array_equal(frame, scene)


@pytest.mark.parametrize("view", ["[::-1]", "[:, ::-1]", "[..., ::-1]", "[::2, ::3]"])
def test_a_view_gives_the_same_as_its_copy(view, scene):
    frame = eval(f"scene{view}", {"scene": scene})
    apply = Preprocessing(64, 64).apply
    assert np.array_equal(apply(frame), apply(np.ascontiguousarray(frame)))


@pytest.mark.parametrize(
    ("size_px", "levels"),
    [((640, 480), 0.5), ((1280, 720), 0.5), ((1920, 1080), 0.5), ((4000, 3000), 1.0)],
)
def test_shrinking_is_close_to_exact_area_averaging(size_px, levels):
    # Grain as strong in 12 megapixels as in one is more than a camera gives.
    scene = draw_scene(*size_px)
    exact = cv2.resize(scene, (224, 224), interpolation=cv2.INTER_AREA)
    assert np.abs(resize(scene, 224, 224).astype(int) - exact).mean() <= levels


@pytest.mark.parametrize("factor", range(2, 21, 2))
def test_a_checkerboard_shrinks_to_even_grey(factor):
    pixels = Preprocessing(16, 16).apply(draw_checkerboard(16 * factor))
    assert np.abs(pixels.astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("factor", range(9, 21, 2))
def test_a_checkerboard_shrinks_to_even_grey_by_odd_factors_too(factor):
    pixels = Preprocessing(16, 16).apply(draw_checkerboard(16 * factor))
    assert np.abs(pixels.astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("factor", [3, 5, 7])
def test_a_checkerboard_loses_three_quarters_of_its_contrast_by_small_odd_factors(factor):
    pixels = Preprocessing(16, 16).apply(draw_checkerboard(16 * factor))
    assert np.abs(pixels.astype(int) - 127.5).max() <= 127.5 / 4


@pytest.mark.parametrize("upright", [False, True])
def test_a_panorama_shrinks_at_least_twice_as_exactly_as_by_linear_interpolation(upright):
    scene = draw_scene(8000, 40)
    scene = np.ascontiguousarray(scene.transpose(1, 0, 2)) if upright else scene
    exact = cv2.resize(scene, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    linear = cv2.resize(scene, (32, 32), interpolation=cv2.INTER_LINEAR)
    error = np.abs(resize(scene, 32, 32) - exact).mean()
    assert error < np.abs(linear - exact).mean() / 2


def test_enlarging_is_smooth():
    small = draw_scene(40, 30)
    large = resize(small, 160, 120).astype(int)
    cubic, nearest = (
        cv2.resize(small, (160, 120), interpolation=rule)
        for rule in (cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    )
    assert np.abs(large - cubic).mean() < np.abs(large - nearest).mean() / 2


def test_a_frame_may_shrink_along_one_axis_and_grow_along_the_other(scene):
    frame = scene[:20]
    pixels = resize(frame, 64, 64).astype(int)
    exact = cv2.resize(frame, (64, 20), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(exact, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(pixels - smooth).mean() <= 2


def draw_formula(width_px: int, height_px: int) -> np.ndarray:
    """The picture that tests/make_prepared.py describes."""
    y, x, c = np.ogrid[:height_px, :width_px, :3]
    return (((3 * x * x + 5 * y * y + 7 * x * y) >> 5) + 85 * c).astype(np.uint8)


@pytest.mark.parametrize("size_px", sorted({tuple(one["picture_px"]) for one in PREPARED}))
def test_every_processor_prepares_the_same_bits(size_px):
    picture = draw_formula(*size_px)
    for entry in (one for one in PREPARED if tuple(one["picture_px"]) == size_px):
        pixels = Preprocessing(*entry["input_px"], fit=entry["fit"]).apply(picture)
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == entry["sha256"], entry


def test_the_hashes_tell_the_rule_from_linear_interpolation():
    entry = next(one for one in PREPARED if one["picture_px"] == [640, 480])
    other = cv2.resize(draw_formula(640, 480), entry["input_px"], interpolation=cv2.INTER_LINEAR)
    assert hashlib.sha256(other[..., ::-1].tobytes()).hexdigest() != entry["sha256"]


# Around four times the input's width, up to which frames are resized with a fourth channel.
@pytest.mark.parametrize("width", [1, 2, 3, 31, 32, 33, 63, 64, 65, 97, 127, 128, 129, 257, 640])
@pytest.mark.parametrize("height", [1, 5, 24, 25, 48, 96, 241, 480])
def test_a_fourth_channel_on_the_way_changes_no_bit(width, height):
    rng = np.random.default_rng(width * height)
    frame = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (height, width + 3, 3))
    crop = frame[:, 1 : 1 + width]  # Its rows are not one after another.
    alpha = rng.integers(0, 256, (height, width), dtype=np.uint8)
    expected = resize(crop, 32, 24)[..., ::-1]
    apply = Preprocessing(32, 24).apply
    assert np.array_equal(apply(crop), expected)
    assert np.array_equal(apply(np.dstack([crop, alpha])), expected)


def scale_by_definition(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Linear interpolation with weights of 8 fractional bits, rounded once."""
    total = np.zeros((height, width, frame.shape[2]), np.int64)
    for rows, row_weights in weigh(frame.shape[0], height):
        for columns, weights in weigh(frame.shape[1], width):
            part = frame[rows][:, columns].astype(np.int64)
            total += part * row_weights[:, None, None] * weights[:, None]
    return ((total + 2**15) >> 16).astype(np.uint8)


def weigh(source: int, target: int) -> list[tuple[np.ndarray, np.ndarray]]:
    at = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(at).astype(int)
    second_weights = np.rint(256 * (at - first)).astype(int)
    return [
        (first.clip(0, source - 1), 256 - second_weights),
        ((first + 1).clip(0, source - 1), second_weights),
    ]


@pytest.mark.parametrize("size_px", [(640, 360), (641, 479), (333, 777), (320, 240), (97, 61)])
def test_the_rule_is_two_interpolations_with_weights_of_eight_bits(size_px):
    frame = np.random.default_rng(0).integers(0, 256, (*size_px[::-1], 3), dtype=np.uint8)
    double = scale_by_definition(frame, 2 * 80, 2 * 60)
    pixels = Preprocessing(80, 60).apply(frame)
    assert np.array_equal(pixels[..., ::-1], scale_by_definition(double, 80, 60))


@pytest.mark.parametrize("size_px", [(640, 480), (200, 100), (64, 48)])
def test_the_next_frame_leaves_a_prepared_one_alone(size_px, scene):
    frame = cv2.resize(scene, size_px)
    apply = Preprocessing(64, 48).apply
    first = apply(frame)
    kept = first.copy()
    apply(255 - frame)
    assert np.array_equal(first, kept)


def test_two_calls_give_the_same_pixels(scene):
    apply = Preprocessing(64, 48, fit="pad").apply
    assert np.array_equal(apply(scene), apply(scene))
