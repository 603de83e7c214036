import struct
import zlib

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture, read_picture

TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


def encode(suffix: str, picture: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, picture, options)[1].tobytes()


def make_exif(orientation: int) -> bytes:
    """An APP1 segment with nothing but the orientation tag."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


def make_png(kind: int, row: bytes, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row with 8 bits a sample."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, 1, 8, kind, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        crc = struct.pack(">I", zlib.crc32(name + data))
        png += struct.pack(">I", len(data)) + name + data + crc
    return png


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied(orientation, photo):
    jpeg = encode(".jpg", photo)
    turned = decode_picture(jpeg[:2] + make_exif(orientation) + jpeg[2:])
    assert np.array_equal(turned, TURNS[orientation](decode_picture(jpeg)))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tiff"])
def test_a_lossless_picture_comes_back_as_it_was(suffix, photo):
    assert np.array_equal(decode_picture(encode(suffix, photo)), photo)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lossy_picture_comes_back_alike_in_bgr(suffix):
    blue = np.full((48, 64, 3), (200, 30, 20), np.uint8)
    assert np.abs(decode_picture(encode(suffix, blue)).astype(int) - blue).max() <= 4


@pytest.mark.parametrize("level", [0, 64, 128, 255])
def test_16_bit_levels_are_scaled(level):
    deep = np.full((8, 8, 3), level * 257, np.uint16)
    assert np.abs(decode_picture(encode(".png", deep)).astype(int) - level).max() <= 1


def test_a_16_bit_grey_picture_is_scaled():
    deep = np.full((8, 8), 100 * 257, np.uint16)
    picture = decode_picture(encode(".png", deep))
    assert picture.shape == (8, 8, 3)
    assert np.abs(picture.astype(int) - 100).max() <= 1


@pytest.mark.parametrize(("alpha", "green"), [(255, 0), (0, 255), (51, 204)])
def test_transparent_pixels_lie_on_white(alpha, green):
    red = np.full((8, 8, 4), (0, 0, 255, alpha), np.uint8)
    assert (decode_picture(encode(".png", red)) == (green, green, 255)).all()


def test_16_bit_transparent_pixels_lie_on_white():
    red = np.full((8, 8, 4), (0, 0, 65535, 0), np.uint16)
    assert (decode_picture(encode(".png", red)) == 255).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_large_transparent_picture_is_laid_on_white_level_by_level(kind):
    opaque = np.iinfo(kind).max
    seen = np.random.default_rng(0).integers(0, opaque, (701, 997, 4), kind, endpoint=True)
    data = encode(".png", seen)
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    alpha = seen[:, :, 3:].astype(np.float32) / opaque
    expected = np.rint(colours * alpha + 255 * (1.0 - alpha)).astype(np.uint8)
    assert np.array_equal(decode_picture(data), expected)


def test_a_grey_picture_has_three_channels():
    picture = decode_picture(encode(".png", np.full((8, 8), 77, np.uint8)))
    assert picture.shape == (8, 8, 3)
    assert (picture == 77).all()


def test_a_palette_becomes_colours():
    palette = (b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    picture = decode_picture(make_png(3, b"\0\1", 2, palette))
    assert picture.tolist() == [[[0, 0, 255], [255, 0, 0]]]


def test_a_transparent_entry_of_a_palette_lies_on_white():
    palette = (b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    picture = decode_picture(make_png(3, b"\0\1", 2, palette, (b"tRNS", b"\0\xff")))
    assert picture.tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_grey_with_alpha_lies_on_white():
    picture = decode_picture(make_png(4, bytes([10, 255, 10, 0]), 2))
    assert picture.tolist() == [[[10] * 3, [255] * 3]]


def test_the_result_belongs_to_the_caller(photo):
    data = encode(".png", photo)
    decode_picture(data)[:] = 0
    assert np.array_equal(decode_picture(data), photo)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture_is_refused(suffix, share, photo):
    data = encode(suffix, photo)
    with pytest.raises(FrameError):
        decode_picture(data[: int(len(data) * share)])


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused(photo):
    jpeg, thumbnail = encode(".jpg", photo), encode(".jpg", photo[:16, :16])
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    with pytest.raises(FrameError):
        decode_picture(jpeg[:2] + segment + jpeg[2 : len(jpeg) // 2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!doctype html><title>404</title>", "not an image"),
        (b"\xff\xd8\xff\xe0 and then nothing", "truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "picture|decodable"),
        (bytes(5000), "not an image"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_file_named(data, reason, tmp_path):
    path = tmp_path / "photo 1.jpg"
    path.write_bytes(data)
    with pytest.raises(FrameError, match=reason) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing.jpg", "."])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path, wording):
    with pytest.raises(FrameError, match=wording) as caught:
        read_picture(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_a_picture_beyond_opencvs_limit_is_refused():
    header = struct.pack(">IIBBBBB", 2_000_000, 2_000_000, 8, 2, 0, 0, 0)
    png = make_png(2, b"\0\0\0", 1)
    bomb = png[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + png[33:]
    with pytest.raises(FrameError):
        decode_picture(bomb)


def test_half_a_jpeg_is_refused_whatever_thumbnail_it_holds(photo, wording):
    thumbnail = encode(".jpg", photo[:16, :16])
    exif = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    jpeg = encode(".jpg", photo)
    whole = jpeg[:2] + exif + jpeg[2:]
    assert np.array_equal(decode_picture(whole), decode_picture(jpeg))
    for kept in (0.6, 0.8, 0.99):
        with pytest.raises(FrameError, match=wording):
            decode_picture(whole[: int(kept * len(whole))])


@pytest.mark.parametrize("extra", [1, 5, 2000])
def test_bytes_too_many_in_a_jpeg_cost_nothing(extra, photo):
    jpeg = encode(".jpg", photo)
    table = jpeg.index(b"\xff\xdb")
    for at in (2, table, len(jpeg) - 2):
        odd = jpeg[:at] + bytes(extra) + jpeg[at:]
        assert np.array_equal(decode_picture(odd), decode_picture(jpeg))
