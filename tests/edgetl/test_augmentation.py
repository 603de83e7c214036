"""Views of a photo: other, but the same ones in every run; and the names that choose them."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import msgspec
import numpy as np
import pytest

from edgetl.augmentation.colors import change_colors, draw_colors
from edgetl.augmentation.draws import Draws
from edgetl.augmentation.geometry import draw_geometry
from edgetl.augmentation.operations import OPERATIONS, draw_operations
from edgetl.augmentation.parsing import describe, parse_augmentation
from edgetl.augmentation.strengths import (
    BATCH_STRENGTHS,
    LIGHT,
    LIMITS,
    NONE,
    PRESETS,
    Augmentation,
    digest,
)
from edgetl.augmentation.views import make_view
from edgetl.drawings import draw_part
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.image.preprocessing import Frame

PHOTO = draw_part("gear", 3, 160)
SHA, OTHER_SHA = "ab" * 32, "cd" * 32
HEAVIEST = parse_augmentation("heavy,randaugment=10,erasing=1,vertical_flip=0.5")
ALL = {**PRESETS, "heaviest": HEAVIEST}
OF_A_PHOTO = [name for name in LIMITS if name not in BATCH_STRENGTHS]


def views(photo: Frame, augmentation: Augmentation, count: int = 30) -> list[Frame]:
    return [make_view(photo, SHA, number, augmentation) for number in range(1, count + 1)]


def flat(level: int = 128, side: int = 224) -> Frame:
    return np.full((side, side, 3), level, np.uint8)


def detail(photo: Frame) -> float:
    return float(cv2.Laplacian(photo, cv2.CV_64F).var())


def difference(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("name", ALL)
def test_a_view_is_repeatable(name: str) -> None:
    for first, second in zip(views(PHOTO, ALL[name]), views(PHOTO, ALL[name]), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_view_is_the_same_whatever_thread_makes_it() -> None:
    alone = views(PHOTO, HEAVIEST, 64)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda n: make_view(PHOTO, SHA, n, HEAVIEST), range(1, 65)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_view_is_the_same_in_another_process() -> None:
    script = (
        "import sys\n"
        "from edgetl.augmentation.parsing import parse_augmentation\n"
        "from edgetl.augmentation.views import make_view\n"
        "from edgetl.drawings import draw_part\n"
        f"view = make_view(draw_part('gear', 3, 160), {SHA!r}, 1, "
        f"parse_augmentation({describe(HEAVIEST)!r}))\n"
        "sys.stdout.buffer.write(view.tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "77"},
    )
    assert done.stdout == make_view(PHOTO, SHA, 1, HEAVIEST).tobytes()


def test_views_differ_by_number() -> None:
    assert np.any(make_view(PHOTO, SHA, 1) != make_view(PHOTO, SHA, 2))


def test_views_differ_by_photo() -> None:
    assert np.any(make_view(PHOTO, SHA, 1) != make_view(PHOTO, OTHER_SHA, 1))


@pytest.mark.parametrize("name", ["light", "camera", "heavy"])
def test_a_view_is_no_copy_yet_still_the_same_scene(name: str) -> None:
    for view in views(PHOTO, PRESETS[name]):
        assert view.shape == PHOTO.shape
        assert view.dtype == np.uint8
        assert 1 < difference(view, PHOTO) < 100


@pytest.mark.parametrize("name", ALL)
def test_the_photo_is_left_alone(name: str) -> None:
    before = PHOTO.copy()
    views(PHOTO, ALL[name])
    np.testing.assert_array_equal(PHOTO, before)


def test_light_is_the_default() -> None:
    np.testing.assert_array_equal(make_view(PHOTO, SHA, 1), make_view(PHOTO, SHA, 1, LIGHT))


def test_none_changes_nothing() -> None:
    np.testing.assert_array_equal(make_view(PHOTO, SHA, 1, NONE), PHOTO)


@pytest.mark.parametrize("name", OF_A_PHOTO)
def test_each_strength_alone_changes_photos(name: str) -> None:
    alone = Augmentation(**{name: LIMITS[name] / 2})
    assert max(difference(view, PHOTO) for view in views(PHOTO, alone, 10)) > 0.5


@pytest.mark.parametrize("name", BATCH_STRENGTHS)
def test_what_mixes_a_batch_leaves_a_single_photo_alone(name: str) -> None:
    np.testing.assert_array_equal(make_view(PHOTO, SHA, 1, Augmentation(**{name: 1.0})), PHOTO)


def test_switching_some_off_leaves_what_is_drawn_for_the_others() -> None:
    still = parse_augmentation("heavy,rotation=0,shift=0,zoom=0,shear=0,horizontal_flip=0")
    # On a photo of one level, nobody sees how it was turned.
    for moved, unmoved in zip(views(flat(), PRESETS["heavy"]), views(flat(), still), strict=True):
        np.testing.assert_array_equal(moved, unmoved)


def test_what_is_drawn_for_one_says_nothing_about_another() -> None:
    everything = Augmentation(**{name: LIMITS[name] for name in OF_A_PHOTO})
    drawn = [
        [Draws(everything, SHA, number).spread(name) for name in OF_A_PHOTO]
        for number in range(400)
    ]
    correlation = np.corrcoef(np.array(drawn).T) - np.eye(len(OF_A_PHOTO))
    assert np.abs(correlation).max() < 0.25


def test_erasing_leaves_everything_outside_its_box_as_it_was() -> None:
    without = parse_augmentation("heavy,erasing=0")
    for kept, erased in zip(
        views(PHOTO, without), views(PHOTO, parse_augmentation("heavy,erasing=1")), strict=True
    ):
        rows, columns = np.nonzero(np.any(kept != erased, axis=2))
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.01 < box / kept[..., 0].size < 0.35
        # Within the box nearly each pixel has other levels, outside none has.
        assert len(rows) > 0.95 * box


def test_a_strength_scales_what_is_drawn() -> None:
    for number in range(10):
        weak = draw_geometry(Draws(Augmentation(rotation=10), SHA, number), 100, 100)
        strong = draw_geometry(Draws(Augmentation(rotation=40), SHA, number), 100, 100)
        angles = [math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) for matrix in (weak, strong)]
        assert angles[1] == pytest.approx(4 * angles[0])
        assert 0 < abs(angles[0]) <= 10


def test_a_photo_is_turned_around_its_middle() -> None:
    dot = flat(0, 101)
    dot[50, 50] = 255
    for view in views(dot, Augmentation(rotation=180, shear=20, zoom=0.5, horizontal_flip=0.5), 10):
        assert np.unravel_index(view[..., 0].argmax(), view.shape[:2]) == (50, 50)


def test_shift_is_a_share_of_the_side() -> None:
    dot = np.zeros((100, 400, 3), np.uint8)
    dot[45:55, 190:210] = 255
    moved = []
    for view in views(dot, Augmentation(shift=0.25), 40):
        rows, columns = np.nonzero(view[..., 0] > 128)
        moved.append((rows.mean() - 49.5, columns.mean() - 199.5))
    down, across = np.abs(moved).max(axis=0)
    assert 15 < down <= 25.5
    assert 60 < across <= 100.5


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [("horizontal_flip", PHOTO[:, ::-1]), ("vertical_flip", PHOTO[::-1])],
)
def test_a_flip_mirrors_exactly_as_often_as_its_probability_says(
    name: str, mirrored: Frame
) -> None:
    np.testing.assert_array_equal(make_view(PHOTO, SHA, 1, Augmentation(**{name: 1})), mirrored)
    some = views(PHOTO, Augmentation(**{name: 0.3}), 200)
    flipped = sum(np.array_equal(view, mirrored) for view in some)
    assert 40 <= flipped <= 80
    assert sum(np.array_equal(view, PHOTO) for view in some) == 200 - flipped


def test_what_lies_beyond_the_edge_is_mirrored_and_never_black() -> None:
    for view in views(flat(200), parse_augmentation("rotation=180,shift=0.5,shear=30,zoom=1")):
        assert view.min() == 200


def test_a_blurred_view_has_less_detail() -> None:
    for view in views(PHOTO, Augmentation(blur=4), 10):
        assert detail(view) <= detail(PHOTO)
    assert np.mean([detail(view) for view in views(PHOTO, Augmentation(blur=4))]) < (
        0.5 * detail(PHOTO)
    )


def test_blur_looks_the_same_on_a_large_and_a_small_photo() -> None:
    photo = draw_part("gear", 3, 448)
    small = cv2.resize(photo, (224, 224), interpolation=cv2.INTER_AREA)
    for number in range(1, 6):
        large_view = make_view(photo, SHA, number, Augmentation(blur=3))
        shrunk = cv2.resize(large_view, (224, 224), interpolation=cv2.INTER_AREA)
        assert difference(shrunk, make_view(small, SHA, number, Augmentation(blur=3))) < 2


@pytest.mark.parametrize("side", [120, 224, 512])
def test_noise_has_the_promised_deviation(side: int) -> None:
    for number in range(1, 6):
        promised = Draws(Augmentation(noise=20), SHA, number).amount("noise")
        found = make_view(flat(128, side), SHA, number, Augmentation(noise=20)).std()
        assert found == pytest.approx(promised, rel=0.1, abs=0.3)


def test_jpeg_leaves_more_errors_the_stronger_it_is() -> None:
    def error(strength: float) -> float:
        return float(
            np.mean([difference(view, PHOTO) for view in views(PHOTO, Augmentation(jpeg=strength))])
        )

    assert 0 < error(20) < error(60) < error(100)


def test_light_changes_stay_within_their_strength() -> None:
    levels = [view.mean() - 128 for view in views(flat(), Augmentation(brightness=30), 100)]
    assert 25 < max(levels) <= 30
    assert -30 <= min(levels) < -25


def test_a_stop_more_is_what_twice_the_light_gives() -> None:
    matrix = draw_colors(Draws(Augmentation(exposure=1), SHA, 1))
    stops = Draws(Augmentation(exposure=1), SHA, 1).spread("exposure")
    assert matrix[0, 0] ** 2.2 == pytest.approx(2**stops)


def test_contrast_leaves_mid_grey_alone() -> None:
    for view in views(flat(128), Augmentation(contrast=1)):
        assert np.abs(view.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("name", ["hue", "saturation"])
def test_colour_changes_leave_grey_alone(name: str) -> None:
    for view in views(flat(90), Augmentation(**{name: LIMITS[name]})):
        assert np.abs(view.astype(int) - 90).max() <= 1


def test_hue_goes_around_the_colour_circle() -> None:
    red = flat(0)
    red[...] = (60, 60, 200)
    hues = [
        int(cv2.cvtColor(view, cv2.COLOR_BGR2HSV)[0, 0, 0])
        for view in views(red, Augmentation(hue=180), 60)
    ]
    # OpenCV counts hues in steps of 2 degrees, 0..179.
    assert len(np.unique(np.array(hues) // 30)) == 6


def test_white_balance_is_warm_or_cold_and_leaves_green_alone() -> None:
    colours = [view[0, 0].astype(int) for view in views(flat(100), Augmentation(white_balance=0.5))]
    assert {int(green) for _, green, _ in colours} == {100}
    assert all((blue > 100) != (red > 100) for blue, _, red in colours if blue != 100)


def test_colours_are_rounded_once_and_cut_off_at_black_and_white() -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        matrix = draw_colors(Draws(PRESETS["heavy"], SHA, number))
        levels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        expected = np.clip(levels @ matrix[:3, :3].T + matrix[:3, 3], 0, 255)
        assert np.abs(change_colors(levels, matrix) - expected).max() <= 1


def test_randaugment_draws_two_of_all_its_operations() -> None:
    drawn = [draw_operations(Draws(Augmentation(randaugment=5), SHA, n)) for n in range(200)]
    assert {len(operations) for operations in drawn} == {2}
    assert {one.name for operations in drawn for one in operations} == set(OPERATIONS)
    assert {abs(one.level) for operations in drawn for one in operations} == {0.5}
    assert len(OPERATIONS) == 14


def test_randaugment_grows_with_its_magnitude() -> None:
    def change(magnitude: float) -> float:
        some = views(PHOTO, Augmentation(randaugment=magnitude), 60)
        return float(np.mean([difference(view, PHOTO) for view in some]))

    assert change(1) < change(5) < change(10)


def test_a_large_photo_is_reduced_to_what_is_needed() -> None:
    large = np.zeros((1200, 1600, 3), np.uint8)
    assert make_view(large, SHA, 1).shape == (512, 683, 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (3000, 2, 3), (2, 2, 3)])
@pytest.mark.parametrize("name", ALL)
def test_odd_shapes_do_no_harm(shape: tuple[int, int, int], name: str) -> None:
    for view in views(np.full(shape, 100, np.uint8), ALL[name], 20):
        assert view.shape == shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Augmentation()),
        ("light", LIGHT),
        ("rotation=15,blur=1", Augmentation(rotation=15, blur=1)),
        ("light,hue=10,rotation=0", msgspec.structs.replace(LIGHT, hue=10, rotation=0)),
        (" Light , Horizontal-Flip = 1 ", msgspec.structs.replace(LIGHT, horizontal_flip=1)),
        ("none,noise=1e1", Augmentation(noise=10)),
    ],
)
def test_an_augmentation_is_chosen_by_names_and_strengths(
    text: str, expected: Augmentation
) -> None:
    assert parse_augmentation(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ligth", "unknown name 'ligth'; did you mean light? presets are none, light, camera"),
        ("rotate=15", "unknown name 'rotate'; did you mean rotation?"),
        ("", "unknown name ''; presets are"),
        ("light,", "unknown name ''; presets are"),
        ("blur", "blur needs a strength, such as blur="),
        ("blur=", "blur needs a strength, such as blur="),
        ("light=3", "light is a preset and takes no number, got 'light=3'"),
        ("rotation=far", "rotation must be a number, 0..180 (degrees, +-), got 'far'"),
        ("rotation=400", "rotation must be 0..180 (degrees, +-), got 400"),
        ("rotation=-1", "rotation must be 0..180 (degrees, +-), got -1"),
        ("rotation=nan", "rotation must be 0..180 (degrees, +-), got nan"),
        ("rotation=inf", "rotation must be 0..180 (degrees, +-), got inf"),
        ("blur=1,blur=2", "blur is given twice"),
        ("blur=1,light", "at most one preset, first; found 'light' later"),
        ("light,heavy", "at most one preset, first; found 'heavy' later"),
    ],
)
def test_a_wrong_augmentation_is_refused_with_the_remedy(text: str, complaint: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse_augmentation(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", LIMITS)
def test_a_strength_out_of_range_names_field_and_range(name: str) -> None:
    Augmentation(**{name: LIMITS[name]})
    for wrong in (LIMITS[name] * 1.01, -0.1, math.nan):
        with pytest.raises(ValueError, match=rf"^{name} must be 0\.\.{LIMITS[name]:g} \("):
            Augmentation(**{name: wrong})


def test_an_augmentation_is_read_from_a_file_section(wording: list[str]) -> None:
    assert msgspec.convert({"rotation": 15, "blur": 0.5}, Augmentation).rotation == 15
    with pytest.raises(msgspec.ValidationError, match=wording[0]):
        msgspec.convert({"rotation": 400}, Augmentation)
    with pytest.raises(msgspec.ValidationError, match=wording[1]):
        msgspec.convert({"rotatoin": 4}, Augmentation)


def test_a_description_is_read_back_as_the_same() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        names = random.choice(list(LIMITS), random.integers(1, 8), replace=False)
        chosen = {name: float(random.uniform(0, LIMITS[name])) for name in names}
        base = random.choice(list(PRESETS))
        augmentation = msgspec.structs.replace(PRESETS[base], **chosen)
        assert parse_augmentation(describe(augmentation)) == augmentation


@pytest.mark.parametrize(
    "text", [*PRESETS, "rotation=15,blur=1", "light,rotation=0,hue=10", "camera,mixup=0.2"]
)
def test_a_description_is_short(text: str) -> None:
    assert describe(parse_augmentation(text)) == text


def test_a_digest_tells_all_that_changes_a_photo_and_nothing_else() -> None:
    digests = [digest(Augmentation(**{name: value})) for name in OF_A_PHOTO for value in (0.4, 0.5)]
    assert len({*digests, digest(NONE), digest(LIGHT)}) == 2 * len(OF_A_PHOTO) + 2
    assert digest(msgspec.structs.replace(LIGHT, mixup=0.2, cutmix=1)) == digest(LIGHT)
    assert digest(Augmentation(rotation=15)) == digest(Augmentation(rotation=15.0))
