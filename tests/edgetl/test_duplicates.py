"""Near-duplicates: which copies are recognised, and which look-alikes are not."""

import functools
import time
from collections import Counter
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from edgetl.dataset.duplicates import Link, find_links, group, perceptual_hashes
from edgetl.dataset.scanning import scan_photos
from edgetl.dataset.verification import Thumbnail, verify_file
from edgetl.drawings import draw_part

COUNT = 12


@functools.cache
def photo(number: int) -> np.ndarray:
    return draw_part(("gear", "bolt", "washer")[number % 3], number, 288)


def compress(picture: np.ndarray, quality: int = 85) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def thumbnail(folder: Path, picture: np.ndarray, quality: int = 85) -> Thumbnail:
    path = folder / "picture.jpg"
    path.write_bytes(compress(picture, quality))
    found = verify_file(path).thumbnail
    assert found is not None
    return found


def cut(picture: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture[
        round(top * height) : height - round(bottom * height),
        round(left * width) : width - round(right * width),
    ]


CHANGES = {
    "halved": lambda one: cv2.resize(one, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "a quarter": lambda one: cv2.resize(one, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
    "stretched": lambda one: cv2.resize(one, (224, 168), interpolation=cv2.INTER_AREA),
    "brighter": lambda one: cv2.convertScaleAbs(one, alpha=1, beta=20),
    "darker": lambda one: cv2.convertScaleAbs(one, alpha=0.7),
    "cut all round": lambda one: cut(one, 0.03, 0.03, 0.03, 0.03),
    "cut at two sides": lambda one: cut(one, 0.04, 0, 0, 0.03),
    "mirrored": lambda one: one[:, ::-1],
    "mirrored and halved": lambda one: cv2.resize(one[:, ::-1], None, fx=0.5, fy=0.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_linked_to_its_original_and_to_no_other(
    tmp_path: Path, change: str
) -> None:
    originals = [thumbnail(tmp_path, photo(n)) for n in range(COUNT)]
    copies = [thumbnail(tmp_path, CHANGES[change](photo(n)), 60) for n in range(COUNT)]
    found = {(link.first, link.second) for link in find_links(originals + copies)}
    expected = {(n, n + COUNT) for n in range(COUNT)}
    assert len(found & expected) >= COUNT - 1
    assert found <= expected


def test_a_mirrored_copy_is_named_so(tmp_path: Path) -> None:
    (link,) = find_links([thumbnail(tmp_path, photo(0)), thumbnail(tmp_path, photo(0)[:, ::-1])])
    assert link.mirrored
    assert link.agreement > 0.95


def test_different_drawings_of_one_part_are_no_duplicates(tmp_path: Path) -> None:
    assert find_links([thumbnail(tmp_path, draw_part("gear", n, 96)) for n in range(30)]) == []


def test_another_thing_in_the_same_place_is_no_duplicate_though_its_hash_is_near() -> None:
    place = np.linspace(0, 1, 64)
    table = (200 + 40 * np.outer(place, place)).astype(np.uint8)
    cv2.circle(table, (30, 34), 13, 70, -1)
    can, bottle = table.copy(), table.copy()
    cv2.circle(can, (30, 34), 6, 190, -1)
    cv2.line(bottle, (22, 34), (38, 34), 200, 2)
    cv2.line(bottle, (30, 26), (30, 42), 200, 2)
    one, other = perceptual_hashes(np.stack([can, bottle]))
    assert np.bitwise_count(one ^ other) <= 2
    assert find_links([can, bottle]) == []


def test_hashes_are_those_of_imagehash(tmp_path: Path) -> None:
    thumbnails = np.stack([thumbnail(tmp_path, photo(n)) for n in range(COUNT)])
    small = np.rint(thumbnails.reshape(-1, 32, 2, 32, 2).mean((2, 4))).astype(np.uint8)
    expected = [int(str(imagehash.phash(Image.fromarray(one))), 16) for one in small]
    assert perceptual_hashes(thumbnails).tolist() == expected


def test_the_mirrored_hash_is_that_of_the_mirror_image(tmp_path: Path) -> None:
    thumbnails = np.stack([thumbnail(tmp_path, photo(n)) for n in range(COUNT)])
    mirrored = perceptual_hashes(np.ascontiguousarray(thumbnails[:, :, ::-1]))
    assert perceptual_hashes(thumbnails, mirrored=True).tolist() == mirrored.tolist()


def test_empty_surfaces_are_copies_if_equally_bright() -> None:
    black, white, dim = (np.full((64, 64), level, np.uint8) for level in (0, 255, 1))
    assert [(link.first, link.second) for link in find_links([black, white, dim])] == [(0, 2)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_photos_have_no_duplicates(count: int) -> None:
    assert find_links([np.zeros((64, 64), np.uint8)] * count) == []


def test_buckets_find_what_comparing_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (300, 6, 6), np.uint8)
    thumbnails = [cv2.resize(one, (64, 64), interpolation=cv2.INTER_CUBIC) for one in coarse]
    thumbnails += [cv2.convertScaleAbs(one, alpha=0.8) for one in thumbnails[:100]]
    everything = find_links(thumbnails)
    monkeypatch.setattr("edgetl.dataset.duplicates._FEW", 0)
    assert find_links(thumbnails) == everything
    assert len(everything) == 100


def test_the_search_does_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.dataset.duplicates._FEW", 0)
    random = np.random.default_rng(0)

    def seconds(count: int) -> float:
        coarse = random.integers(0, 256, (count, 6, 6), np.uint8)
        thumbnails = [cv2.resize(one, (64, 64), interpolation=cv2.INTER_CUBIC) for one in coarse]
        start = time.process_time()
        find_links(thumbnails)
        return time.process_time() - start

    small = seconds(500)
    assert seconds(4000) < 30 * small  # the square would be 64 times


def test_a_chain_of_links_is_one_group() -> None:
    links = [Link(0, 1, 1.0), Link(1, 2, 0.95), Link(4, 5, 0.9)]
    assert group(6, links) == [0, 0, 0, 3, 4, 4]


def test_a_group_never_takes_more_than_its_share() -> None:
    chain = [Link(n, n + 1, 1 - n / 10_000) for n in range(399)]
    sizes = Counter(group(400, chain))
    assert max(sizes.values()) <= 20
    assert len(sizes) < 100


def test_the_strongest_links_count_first_where_a_group_is_full() -> None:
    copies = [Link(n, n + 10, 1.0) for n in range(10)]
    camera = [Link(n, n + 1, 0.91) for n in range(9)]
    groups = group(20, copies + camera)
    assert all(groups[n] == groups[n + 10] for n in range(10))


@pytest.mark.real_data
def test_trashnet_holds_copies_but_its_cans_on_one_table_are_none(real_data: Path) -> None:
    scanned = scan_photos(real_data / "trashnet")
    where = {photo.verdict.sha256: Path(photo.path).stem for photo in scanned.usable}
    names = [where[sha] for sha in scanned.hashes]
    pairs = {frozenset((names[link.first], names[link.second])) for link in scanned.links}
    assert frozenset(("paper68", "paper74")) in pairs
    for one, other in (("metal149", "metal9"), ("metal155", "metal6"), ("glass325", "glass422")):
        assert frozenset((one, other)) not in pairs
    assert 16 <= len(pairs) <= 20
