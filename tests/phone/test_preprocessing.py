"""The page's resize rule makes the very bits of the device's, in Node and in three browsers."""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgetl_export.phone.serving import SiteServer
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Fit, Frame, Preprocessing
from tests.phone.twin import bundle_for_browsers

FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")
# Width and height of a frame, and of the input.
SIZES = [
    *((1, 1, 224, 224), (1, 1, 1, 1), (3, 1, 32, 32), (1, 7, 5, 300), (2, 2, 1, 1)),
    *((640, 480, 224, 224), (1920, 1080, 224, 224), (320, 240, 160, 160), (512, 384, 96, 96)),
    *((5000, 7, 96, 96), (7, 3000, 64, 64), (20000, 1, 32, 32), (1, 20000, 32, 32)),
    # Nothing to do, exactly half, and what is halved first: from 8 times, and along one axis 16.
    *((224, 224, 224, 224), (448, 448, 224, 224), (449, 447, 224, 224), (448, 224, 224, 224)),
    *((256, 256, 32, 32), (255, 256, 32, 32), (257, 255, 32, 32), (511, 513, 32, 32)),
    *((512, 40, 32, 32), (511, 40, 32, 32), (40, 512, 32, 32), (40, 513, 32, 32)),
    # One axis shrinks, the other grows.
    *((100, 50, 224, 40), (50, 100, 40, 224), (300, 2, 64, 64), (64, 65, 65, 64)),
]
FRAMES = 330
FRAMES_IN_BROWSERS = 60


class Case(NamedTuple):
    frame: Frame
    rule: Preprocessing

    def encode(self) -> bytes:
        """As `hashInputs` of twin.ts takes it; the alpha is anything."""
        height, width = self.frame.shape[:2]
        header = (width, height, self.rule.width_px, self.rule.height_px, FITS.index(self.rule.fit))
        alpha = np.arange(height * width, dtype=np.uint32).astype(np.uint8)
        pixels = np.dstack([self.frame[:, :, ::-1], alpha.reshape(height, width)])
        return struct.pack("<5I", *header) + pixels.tobytes()

    def hash(self) -> str:
        return hashlib.sha256(self.rule.apply(self.frame).tobytes()).hexdigest()

    def __str__(self) -> str:
        height, width = self.frame.shape[:2]
        return f"{width}x{height} {self.rule}"


def make_cases(count: int) -> list[Case]:
    """Frames of random levels: of each size with each fit, then of sizes by chance."""
    chance = np.random.default_rng(0)
    cases = []
    for number in range(count):
        if number < len(SIZES):
            sizes = SIZES[number]
        else:
            sizes = tuple(int(2 ** chance.uniform(0, most)) for most in (10, 10, 8.24, 8.24))
        width, height, width_px, height_px = sizes
        # Every second one is of few levels, where rounding is at its edge.
        step = 1 if number % 2 else 85
        frame = chance.integers(0, 256 // step + 1, (height, width, 3)) * step
        rule = Preprocessing(width_px, height_px, fit=FITS[number % 3])
        cases.append(Case(np.minimum(frame, 255).astype(np.uint8), rule))
    return cases


def find_different(cases: list[Case], hashes: list[str]) -> list[str]:
    pairs = zip(cases, hashes, strict=True)
    return [str(case) for case, found in pairs if found != case.hash()]


def write_cases(file: Path, cases: list[Case]) -> Path:
    file.write_bytes(b"".join(case.encode() for case in cases))
    return file


def test_every_frame_becomes_the_same_input(node, tmp_path):
    cases = make_cases(FRAMES)
    assert not find_different(cases, node("hashInputs", write_cases(tmp_path / "cases", cases)))


@pytest.mark.parametrize("fit", FITS)
def test_every_special_size_becomes_the_same_input(fit, node, tmp_path):
    cases = [
        Case(case.frame, Preprocessing(case.rule.width_px, case.rule.height_px, fit=fit))
        for case in make_cases(len(SIZES))
    ]
    assert not find_different(cases, node("hashInputs", write_cases(tmp_path / "cases", cases)))


def test_real_photos_become_the_same_input(real_data, node, tmp_path):
    photos = sorted((real_data / "trashnet").rglob("*.jpg"))[::60]
    rules = [Preprocessing(224, 224, fit=fit) for fit in FITS]
    rules += [Preprocessing(96, 128, fit="crop"), Preprocessing(300, 640, fit="pad")]
    cases = [Case(read_picture(photo), rule) for photo in photos for rule in rules]
    assert len(cases) > 100
    assert not find_different(cases, node("hashInputs", write_cases(tmp_path / "cases", cases)))


@pytest.fixture(scope="module")
def twin_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a page with twin.ts and the frames."""
    folder = tmp_path_factory.mktemp("twin")
    bundle_for_browsers(folder / "twin.js")
    write_cases(folder / "cases.bin", make_cases(FRAMES_IN_BROWSERS))
    (folder / "index.html").write_text("<!doctype html><script src=twin.js></script>")
    with SiteServer(folder, port=0, secure=False) as server:
        yield server.url


def test_every_browser_makes_the_same_input(any_browser, twin_page):
    any_browser.open(twin_page)
    hashes = any_browser.evaluate(
        "fetch('cases.bin').then((response) => response.arrayBuffer())"
        ".then((data) => twin.hashInputs(new Uint8Array(data)))"
    )
    assert not find_different(make_cases(FRAMES_IN_BROWSERS), hashes)


def test_a_cameras_frame_is_copied_as_it_would_be_drawn(any_browser, twin_page):
    any_browser.open(twin_page)
    furthest = any_browser.evaluate("twin.compareFrame()")
    # WebKit copies in another order of colors, which the page finds out.
    assert furthest == (None if any_browser.name == "webkit" else 0)
