"""Which files count as photos, and what is said of the others."""

import hashlib
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from edgetl.dataset.verification import verify_file
from edgetl.drawings import draw_part
from edgetl_runtime.image.decoding import read_picture

PICTURE = draw_part("gear", 1, 96)


def encode(extension: str, picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(extension, picture)[1].tobytes()


def reason_for(folder: Path, data: bytes, name: str = "photo.jpg") -> str | None:
    path = folder / name
    path.write_bytes(data)
    return verify_file(path).reason


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_whole_pictures_are_accepted(tmp_path: Path, extension: str) -> None:
    assert reason_for(tmp_path, encode(extension), f"photo{extension}") is None


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    assert reason_for(tmp_path, encode(".png"), "photo.jpg") is None


def test_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = encode(".jpg")
    (tmp_path / "photo.jpg").write_bytes(data)
    assert verify_file(tmp_path / "photo.jpg").sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_jpeg_is_refused(tmp_path: Path, kept: float) -> None:
    data = encode(".jpg")
    assert "JPEG" in str(reason_for(tmp_path, data[: int(len(data) * kept)]))


def test_a_truncated_jpeg_with_an_end_marker_is_refused(tmp_path: Path) -> None:
    data = encode(".jpg")
    assert "damaged JPEG" in str(reason_for(tmp_path, data[: len(data) // 2] + b"\xff\xd9"))


def with_thumbnail(data: bytes) -> bytes:
    """A JPEG whose camera's notes hold a whole small one."""
    small = b"Exif\0\0" + encode(".jpg", PICTURE[::8, ::8])
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small + data[2:]


@pytest.mark.parametrize("kept", [0.7, 0.9, 0.99])
def test_a_truncated_jpeg_with_a_thumbnail_is_refused(tmp_path: Path, kept: float) -> None:
    data = with_thumbnail(encode(".jpg"))
    assert reason_for(tmp_path, data) is None
    assert reason_for(tmp_path, data[: int(len(data) * kept)]) == "a truncated JPEG"


def as_of_cats_and_dogs(data: bytes) -> bytes:
    """Many of these photos are of JFIF 0.00, and hold up to 2 kB more before their end."""
    return data[:11] + b"\0\0" + data[13:-2] + bytes(range(250)) * 4 + data[-2:]


def test_a_jpeg_with_bytes_too_many_is_accepted(tmp_path: Path) -> None:
    data = encode(".jpg")
    for at in (2, data.index(b"\xff\xdb"), len(data) - 2):
        assert reason_for(tmp_path, data[:at] + b"12345678" + data[at:]) is None
    assert reason_for(tmp_path, as_of_cats_and_dogs(data)) is None


def test_bytes_too_many_hide_none_that_are_missing(tmp_path: Path) -> None:
    data = encode(".jpg")
    assert reason_for(tmp_path, data[:2] + b"123" + data[2 : len(data) // 2] + b"\xff\xd9")


def test_half_a_png_is_refused(tmp_path: Path) -> None:
    data = encode(".png")
    assert reason_for(tmp_path, data[: len(data) // 2], "photo.png") is not None


def test_a_zero_byte_file_is_refused(tmp_path: Path) -> None:
    assert reason_for(tmp_path, b"") == "an empty file"


def test_text_is_refused(tmp_path: Path) -> None:
    assert "not an image" in str(reason_for(tmp_path, b"bolts and nuts", "notes.txt"))


@pytest.mark.parametrize("name", [".DS_Store", "._photo.jpg", "Thumbs.db", "desktop.ini"])
def test_hidden_files_are_named_so(tmp_path: Path, name: str) -> None:
    assert reason_for(tmp_path, encode(".jpg"), name) == "a hidden or system file"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")
    assert verify_file(tmp_path / "photo.jpg").reason == "not a plain file"


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").symlink_to(tmp_path / "gone.jpg")
    assert verify_file(tmp_path / "photo.jpg").reason == "a broken link"


def test_a_missing_file_is_named_so(tmp_path: Path) -> None:
    assert verify_file(tmp_path / "gone.jpg").reason == "no such file"


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_size_is_that_of_the_picture(tmp_path: Path, extension: str) -> None:
    (tmp_path / "photo").write_bytes(encode(extension, PICTURE[:40]))
    verdict = verify_file(tmp_path / "photo")
    assert (verdict.width_px, verdict.height_px) == (96, 40)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_the_gist_is_the_picture_in_small(tmp_path: Path, extension: str) -> None:
    (tmp_path / "photo").write_bytes(encode(extension))
    grey = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    thumbnail = verify_file(tmp_path / "photo").thumbnail
    assert thumbnail is not None
    assert np.abs(thumbnail - small).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_gist_of_a_turned_camera_is_upright(
    tmp_path: Path, orientation: int, order: str
) -> None:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tag = struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + mark + tag
    data = encode(".jpg", PICTURE[:40])
    (tmp_path / "photo.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    )
    upright = cv2.cvtColor(read_picture(tmp_path / "photo.jpg"), cv2.COLOR_BGR2GRAY)
    verdict = verify_file(tmp_path / "photo.jpg")
    assert verdict.thumbnail is not None
    assert (verdict.height_px, verdict.width_px) == upright.shape
    assert np.abs(verdict.thumbnail.astype(int) - cv2.resize(upright, (64, 64))).mean() < 3


@pytest.mark.parametrize("block", [b"", b"II*\0", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\x7f"])
def test_damaged_camera_notes_are_left_alone(tmp_path: Path, block: bytes) -> None:
    exif = b"Exif\0\0" + block
    data = encode(".jpg")
    (tmp_path / "photo.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    )
    assert verify_file(tmp_path / "photo.jpg").reason is None


def test_a_picture_of_one_pixel_is_accepted(tmp_path: Path) -> None:
    assert reason_for(tmp_path, encode(".png", PICTURE[:1, :1]), "photo.png") is None


def test_16_bit_levels_are_accepted(tmp_path: Path) -> None:
    assert reason_for(tmp_path, encode(".png", PICTURE.astype(np.uint16) * 257), "a.png") is None


def test_cmyk_is_accepted_and_read_in_colour(tmp_path: Path) -> None:
    # As Adobe writes it: 255 is no ink. Magenta and yellow make red.
    inks = np.full((32, 32, 4), (255, 0, 0, 255), np.uint8)
    data = simplejpeg.encode_jpeg(inks, colorspace="CMYK", quality=95)
    assert reason_for(tmp_path, data) is None
    blue, green, red = read_picture(tmp_path / "photo.jpg")[16, 16].tolist()
    assert red > 245
    assert max(blue, green) < 10


@pytest.mark.real_data
def test_whatever_is_accepted_can_be_read(real_data: Path) -> None:
    files = sorted((real_data / "odd_images").rglob("*.*"))
    accepted = [path for path in files if verify_file(path).reason is None]
    assert len(files) > len(accepted) > len(files) / 2
    for path in accepted:
        assert read_picture(path).dtype == np.uint8


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["truncated_jpeg.jpg", "truncated_image.png", "broken.png", "zero_width.gif"]
)
def test_damaged_pictures_are_refused(real_data: Path, name: str) -> None:
    assert verify_file(real_data / "odd_images" / "mixed" / name).reason
