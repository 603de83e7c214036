"""The drawn pictures: repeatable, of the promised form, and telling the parts apart."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgetl.drawings import PARTS, draw_part, draw_video

Picture = NDArray[np.uint8]
Vector = NDArray[np.float64]


def test_parts_are_sorted() -> None:
    assert list(PARTS) == sorted(PARTS)


@pytest.mark.parametrize("label", PARTS)
def test_same_seed_gives_same_bytes(label: str) -> None:
    assert draw_part(label, 7).tobytes() == draw_part(label, 7).tobytes()


@pytest.mark.parametrize("label", PARTS)
def test_other_seed_gives_other_picture(label: str) -> None:
    assert np.any(draw_part(label, 7) != draw_part(label, 8))


def test_same_seed_gives_each_part_its_own_bench() -> None:
    corners = {draw_part(label, 7)[:8, :8].tobytes() for label in PARTS}
    assert len(corners) == len(PARTS)


@pytest.mark.parametrize("label", PARTS)
@pytest.mark.parametrize("size_px", [64, 160])
def test_picture_is_square_colour_bytes(label: str, size_px: int) -> None:
    picture = draw_part(label, 3, size_px)
    assert picture.shape == (size_px, size_px, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("label", PARTS)
def test_pictures_are_neither_black_nor_burnt_out(label: str) -> None:
    for seed in range(10):
        picture = draw_part(label, seed)
        assert 20 < picture.mean() < 240
        assert picture.std() > 8


def test_unknown_label_is_refused_with_the_allowed_ones(wording: str) -> None:
    with pytest.raises(ValueError, match=wording):
        draw_part("spoon", 0)


def test_video_shows_the_labels_in_order() -> None:
    labels = [label for _, label in draw_video(("washer", "bolt", "washer"), 2, 0)]
    assert labels == ["washer", "washer", "bolt", "bolt", "washer", "washer"]


def test_video_frames_have_the_asked_size() -> None:
    for frame, _ in draw_video(PARTS, 1, 0, (200, 120)):
        assert frame.shape == (120, 200, 3)
        assert frame.dtype == np.uint8


def test_video_is_repeatable() -> None:
    first, second = (b"".join(f.tobytes() for f, _ in draw_video(["nut"], 3, 5)) for _ in "ab")
    assert first == second


def test_video_refuses_an_unknown_label_at_the_call(wording: str) -> None:
    with pytest.raises(ValueError, match=wording):
        draw_video(["bolt", "spoon"], 1, 0)


def test_video_moves_smoothly() -> None:
    frames = [frame for frame, _ in draw_video(["gear"], 31, 2)]
    calm = [cv2.GaussianBlur(frame, (0, 0), 3).astype(float) for frame in frames]
    one_step = np.abs(calm[1] - calm[0]).mean()
    one_second = np.abs(calm[30] - calm[0]).mean()
    assert 0 < one_step < one_second


def test_part_stays_within_the_central_square() -> None:
    for seed in range(5):
        frames = np.stack([frame for frame, _ in draw_video(PARTS, 1, seed)]).astype(float)
        change = np.abs(frames - np.median(frames, axis=0)).mean(axis=(0, 3))
        # Noise changes everywhere; only the parts, which differ from frame to frame, exceed it.
        assert change[:, 60:260].mean() > 2 * change[:, :40].mean()
        assert change[:, 60:260].mean() > 2 * change[:, -40:].mean()


def _describe(picture: Picture) -> Vector:
    """Summarise the power spectrum by frequency, so that place and angle hardly matter."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (96, 96)).astype(np.float64)
    window = np.hanning(96)
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * window * window[:, None])))
    polar = cv2.warpPolar(np.log1p(power), (24, 36), (48, 48), 48, cv2.INTER_LINEAR)[:18]
    return np.concatenate([polar.mean(axis=0), polar.max(axis=0), polar.std(axis=0)])


def _describe_all(seeds: range) -> tuple[Vector, NDArray[np.intp]]:
    pictures = [draw_part(label, seed) for label in PARTS for seed in seeds]
    return np.array([_describe(p) for p in pictures]), np.repeat(np.arange(len(PARTS)), len(seeds))


def test_parts_can_be_told_apart_on_unseen_pictures() -> None:
    seen, seen_labels = _describe_all(range(60))
    unseen, unseen_labels = _describe_all(range(1000, 1020))
    centre, spread = seen.mean(axis=0), seen.std(axis=0)
    seen, unseen = (seen - centre) / spread, (unseen - centre) / spread
    damped = seen.T @ seen + 5 * np.eye(seen.shape[1])
    weights = np.linalg.solve(damped, seen.T @ (np.eye(len(PARTS))[seen_labels] - 1 / len(PARTS)))
    guesses = (unseen @ weights).argmax(axis=1)
    # Guessing by chance is right once in six times.
    assert (guesses == unseen_labels).mean() > 0.7
