"""Image files become the input that the device makes of them, in every browser, or are refused."""

import base64
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from edgetl.drawings import draw_part
from edgetl_export.phone.serving import SiteServer
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.preprocessing import Preprocessing
from tests.browsers.browser import Browser
from tests.phone.twin import bundle_for_browsers

INPUT = Preprocessing(64, 48)
ORIENTATION = 0x0112


def encode(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def make_profile() -> bytes:
    """A color profile that exchanges red and blue: whoever follows it cannot be overlooked."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    # ICC.1:2022, 7.3: after their number, entries of signature, offset and size.
    tags = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)}
    red, blue = slice(tags[b"rXYZ"], tags[b"rXYZ"] + 8), slice(tags[b"bXYZ"], tags[b"bXYZ"] + 8)
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


def turn(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def make_pictures() -> dict[str, bytes]:
    """A color photo of odd size in every way that phones and programs save one."""
    drawn = draw_part("gear", 0, 320)[:239, :, ::-1]
    # Reddish, so that colors that are exchanged are noticed.
    photo = Image.fromarray((drawn * [1, 0.7, 0.4]).astype(np.uint8))
    gray = photo.convert("L")
    faded = photo.copy()
    faded.putalpha(gray)
    profile = make_profile()
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100_000))
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    levels = np.asarray(gray).astype(np.uint16) * 257 + 77
    pictures = {
        f"orientation {number}": encode(photo, "JPEG", exif=turn(number)) for number in range(1, 9)
    }
    return pictures | {
        "progressive": encode(photo, "JPEG", progressive=True),
        "444": encode(photo, "JPEG", subsampling=0, quality=100),
        "coarse": encode(photo, "JPEG", quality=20),
        "gray jpeg": encode(gray, "JPEG"),
        "cmyk": encode(photo.convert("CMYK"), "JPEG"),
        "jpeg with a profile": encode(photo, "JPEG", icc_profile=profile, exif=turn(6)),
        "png": encode(photo, "PNG"),
        "png with a profile": encode(photo, "PNG", icc_profile=profile),
        "png with a gamma": encode(photo, "PNG", pnginfo=gamma),
        "alpha": encode(faded, "PNG"),
        "palette": encode(photo.quantize(40), "PNG"),
        "palette with a clear color": encode(photo.quantize(40), "PNG", transparency=3),
        "gray png": encode(gray, "PNG"),
        "gray alpha": encode(faded.convert("LA"), "PNG"),
        "bilevel": encode(photo.convert("1"), "PNG"),
        "16 bits": encode(Image.fromarray(levels), "PNG"),
        "animation": encode(photo, "GIF", save_all=True, append_images=[mirrored]),
        "webp": encode(photo, "WEBP", quality=80),
        "webp with a profile": encode(photo, "WEBP", lossless=True, icc_profile=profile),
        "bmp": encode(photo, "BMP"),
    }


PICTURES = make_pictures()
REFUSED = {
    "cut jpeg": (PICTURES["444"][:-600], "a cut image file"),
    "cut png": (PICTURES["png"][:-600], "a cut image file"),
    "cut webp": (PICTURES["webp"][:-600], "a cut image file"),
    "no image": (b"no image at all", "not an image"),
    "nothing": (b"", "not an image"),
    "only a start": (b"\xff\xd8", "a cut image file"),
    "a thumbnail's end": (PICTURES["444"][:2] + b"\xff\xe1\x00\x04\xff\xd9", "a cut image file"),
}


@pytest.fixture(scope="module")
def twin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pictures")
    bundle_for_browsers(folder / "twin.js")
    (folder / "index.html").write_text("<!doctype html><script src=twin.js></script>")
    with SiteServer(folder, port=0, secure=False) as server:
        yield server.url


@pytest.fixture
def opened(any_browser: Browser, twin_url: str) -> Browser:
    any_browser.open(twin_url)
    return any_browser


def read(browser: Browser, data: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    size = f"{INPUT.width_px}, {INPUT.height_px}"
    found: dict[str, Any] = browser.evaluate(f"twin.readImage('{encoded}', {size})")
    return found


def measure_difference(browser: Browser, data: bytes) -> int:
    """The largest difference of a level of the input from the device's."""
    picture = decode_picture(data)
    found = read(browser, data)
    assert "refused" not in found, found
    assert (found["height"], found["width"]) == picture.shape[:2]
    levels = np.frombuffer(base64.b64decode(found["input"]), np.uint8)
    expected = INPUT.apply(picture)
    return int(np.abs(levels.reshape(expected.shape).astype(int) - expected).max())


def test_a_picture_becomes_the_devices_input(opened):
    differences = {name: measure_difference(opened, data) for name, data in PICTURES.items()}
    # Rounding of what is transparent, CMYK or of 16 bits; all else is the same to the bit.
    rounded = {"alpha", "palette with a clear color", "gray alpha", "cmyk", "16 bits"}
    assert {name for name, most in differences.items() if most} <= rounded
    assert max(differences.values()) <= 1


def test_what_is_no_whole_image_is_refused(opened):
    for name, (data, reason) in REFUSED.items():
        with pytest.raises(FrameError):
            decode_picture(data)
        assert reason in read(opened, data).get("refused", "opened"), name


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_what_browsers_would_not_turn_is_refused(format, opened):
    photo = Image.fromarray(draw_part("gear", 0, 64))
    assert measure_difference(opened, encode(photo, format, lossless=True, exif=turn(1))) == 0
    turned = encode(photo, format, lossless=True, exif=turn(6))
    assert "says it is turned" in read(opened, turned)["refused"]


def test_real_odd_pictures_become_the_devices_input(real_data: Path, opened):
    for file in sorted((real_data / "odd_images" / "exif_orientation").glob("*.jpg")):
        assert measure_difference(opened, file.read_bytes()) == 0, file
    judged = 0
    for file in sorted((real_data / "odd_images" / "mixed").iterdir()):
        if file.suffix not in (".jpg", ".png", ".webp", ".mpo"):
            continue
        try:
            decode_picture(file.read_bytes())
        except FrameError:
            assert "refused" in read(opened, file.read_bytes()), file
            continue
        assert measure_difference(opened, file.read_bytes()) <= 1, file
        judged += 1
    assert judged > 70
