"""Pillow images, which a device need not have, are seen as the files that hold them are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.loading import load_image


def _save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def _draw(mode: str) -> Image.Image:
    """Red on the left, and half transparent below where the mode has it."""
    image = Image.new("RGBA", (24, 16), (0, 0, 255, 255))
    image.paste((255, 0, 0, 255), (0, 0, 8, 16))
    image.paste((0, 255, 0, 128), (0, 8, 24, 16))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_an_image_is_seen_as_its_file_is(mode: str, tmp_path: Path) -> None:
    image = _draw(mode)
    seen = load_image(image).astype(int)
    filed = load_image(_save(image, tmp_path / "image.png")).astype(int)
    # Grey in OpenCV's and Pillow's arithmetic may differ by one level.
    assert np.abs(seen - filed).max() <= 1


def test_16_bits_are_scaled_as_in_a_file(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 24 * 16).astype(np.uint16).reshape(16, 24)
    image = Image.fromarray(levels)
    filed = load_image(_save(image, tmp_path / "image.png"))[:, :, 0].astype(int)
    assert np.abs(load_image(image).astype(int) - filed).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photo_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(_draw("RGB"), tmp_path / "turned.jpg", exif=exif)
    with Image.open(path) as image:
        seen = load_image(image)
    assert seen.shape == load_image(path).shape
    assert np.abs(seen.astype(int) - load_image(path)).max() <= 8


def test_a_damaged_image_is_refused(tmp_path: Path, wording: str) -> None:
    path = _save(_draw("RGB"), tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:60])
    with Image.open(path) as image, pytest.raises(FrameError, match=wording):
        load_image(image)
