"""A map of photos: their features in two dimensions, each photo shown when it is pointed at.

The axes are the first two principal components of the features (Pearson 1901). Photos that a
network sees as alike are near one another; those that are far apart in the map are unlike, but not
all that are near are alike: the map says how much of the variance it holds.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from edgetl.dataset.manifest import DatasetManifest, Example
from edgetl.prefetch import prefetch
from edgetl.reporting.pages import mark_safe
from edgetl.reporting.thumbnails import read_small
from edgetl_export.progress import track
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.allotment import count_processors

MOST_PHOTOS = 600
TILE_PX = 64
WIDTH, HEIGHT = 900, 560
_MARGIN = 16
_COLUMNS = 25
_QUALITY = 70
# Colours that people with any colour vision tell apart (Okabe & Ito 2008), without black.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a600")
_GOLDEN_ANGLE = 137.508

Rows = NDArray[np.float32]


class MapPoint(msgspec.Struct, frozen=True):
    """A photo on the map.

    Attributes:
        x: From the left edge, 0..WIDTH.
        y: From the upper edge, 0..HEIGHT.
        label: Index of its class.
        path: Relative to the data folder.
        split: That it is in.
        named: What it was taken for, if that is wrong; else empty.
        column: Of its tile.
        row: Of its tile.
    """

    x: float
    y: float
    label: int
    path: str
    split: str
    named: str
    column: int
    row: int


class MapClass(msgspec.Struct, frozen=True):
    """A class in the legend: its name, its colour in CSS, and how many photos are shown."""

    label: str
    color: str
    photos: int


class PhotoMap(msgspec.Struct, frozen=True):
    """All that `templates/photo_map.html.j2` shows.

    Attributes:
        points: Correct ones first, so that those taken for another class lie on top.
        classes: In the order of the labels.
        sheet: The thumbnails in one image, `data:image/jpeg;base64,...`.
        columns: Of thumbnails in the sheet.
        rows: Of thumbnails in the sheet.
        photos: Number of photos that could be shown.
        variance: Share of the features' variance that each axis holds, 0..1.
        wrong: Number of validation photos that are classified wrong.
        wrong_shown: Of these, those on the map.
        judge: What classified them, such as `the trained model`.
    """

    points: tuple[MapPoint, ...]
    classes: tuple[MapClass, ...]
    sheet: str
    columns: int
    rows: int
    photos: int
    variance: tuple[float, float]
    wrong: int
    wrong_shown: int
    judge: str


def draw_photo_map(
    manifest: DatasetManifest,
    features: Rows,
    predicted: Mapping[str, str],
    *,
    judge: str,
    most: int = MOST_PHOTOS,
) -> PhotoMap:
    """Places training and validation photos.

    Args:
        manifest: The photos. One that is missing meanwhile becomes a grey square.
        features: float32 (photos, features), in the order of the manifest.
        predicted: Path of each validation photo -> its predicted label.
        judge: What predicted them.
        most: So many photos are shown; of more, the mistakes (up to half of all) and every n-th
            of the others in the order of their paths, which is the same share of each class.
    """
    able = [n for n, one in enumerate(manifest.examples) if one.split != "test"]
    places, variance = project(features[able])
    wrong = {
        one.path: predicted[one.path]
        for one in manifest.select("val")
        if predicted[one.path] != one.label
    }
    kept = _choose([manifest.examples[n].path in wrong for n in able], most)
    examples = [manifest.examples[able[n]] for n in kept]
    points = [
        MapPoint(
            float(x),
            float(y),
            manifest.index(one),
            one.path,
            one.split,
            wrong.get(one.path, ""),
            n % _COLUMNS,
            n // _COLUMNS,
        )
        for n, (one, (x, y)) in enumerate(zip(examples, _fit(places)[kept], strict=True))
    ]
    return PhotoMap(
        points=tuple(sorted(points, key=lambda one: bool(one.named))),
        classes=_list_classes(manifest, examples),
        sheet=mark_safe(_draw_sheet(manifest, examples)),
        columns=_COLUMNS,
        rows=-(-len(examples) // _COLUMNS),
        photos=len(able),
        variance=variance,
        wrong=len(wrong),
        wrong_shown=sum(bool(one.named) for one in points),
        judge=judge,
    )


def _choose(is_wrong: list[bool], most: int) -> list[int]:
    """Ascending indices: mistakes first, up to half of all, the others evenly."""
    wrong, right = np.flatnonzero(is_wrong), np.flatnonzero(~np.array(is_wrong))
    mistakes = _thin(wrong, max(most // 2, most - len(right)))
    return sorted([*mistakes, *_thin(right, most - len(mistakes))])


def _thin(indices: NDArray[np.intp], most: int) -> list[int]:
    places = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
    chosen: list[int] = indices[places].tolist()
    return chosen


def project(features: Rows) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The first two principal components of standardized features.

    Args:
        features: float32 (photos, features).

    Returns:
        float64 (photos, 2); and the share of the variance that each holds, 0..1. The signs are
        such that the largest weight of an axis is positive: equal features give an equal map.
    """
    exact = features.astype(np.float64)
    centered = exact - exact.mean(axis=0)
    deviation = centered.std(axis=0)
    # A feature that hardly varies is noise; it must not become as loud as the others.
    standard = centered / np.maximum(deviation, deviation.mean() + 1e-9)
    start = np.ones(min(standard.shape))
    _, values, axes = svds(standard, k=2, v0=start)
    order = np.argsort(-values)
    axes = axes[order] * np.sign(axes[order, np.abs(axes[order]).argmax(axis=1)])[:, np.newaxis]
    first, second = np.square(values[order]) / max(np.square(standard).sum(), 1e-12)
    return standard @ axes.T, (float(first), float(second))


def _fit(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Into the drawing, each axis by itself; y grows downwards there."""
    lowest, highest = places.min(axis=0), places.max(axis=0)
    shares = (places - lowest) / np.maximum(highest - lowest, 1e-12)
    shares[:, 1] = 1 - shares[:, 1]
    inner = np.array([WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN])
    fitted: NDArray[np.float64] = np.round(_MARGIN + shares * inner, 1)
    return fitted


def _list_classes(manifest: DatasetManifest, examples: list[Example]) -> tuple[MapClass, ...]:
    several = len(manifest.labels) > len(_COLORS)
    return tuple(
        MapClass(
            label,
            f"hsl({n * _GOLDEN_ANGLE % 360:.0f} 65% 48%)" if several else _COLORS[n],
            sum(one.label == label for one in examples),
        )
        for n, label in enumerate(manifest.labels)
    )


def _draw_sheet(manifest: DatasetManifest, examples: list[Example]) -> str:
    """All thumbnails in one JPEG: each by itself would spend a third of its bytes on tables."""
    sheet = np.full((-(-len(examples) // _COLUMNS) * TILE_PX, _COLUMNS * TILE_PX, 3), 255, np.uint8)
    workers = count_processors()
    files = [manifest.file(one) for one in examples]
    tiles = prefetch(_read_tile, files, workers=workers, depth=4 * workers)
    for n, tile in enumerate(track(tiles, "drawing the map of photos", len(files))):
        top, left = n // _COLUMNS * TILE_PX, n % _COLUMNS * TILE_PX
        sheet[top : top + TILE_PX, left : left + TILE_PX] = tile
    _, jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def _read_tile(file: Path) -> Frame:
    """The photo in a white square, uint8 (TILE_PX, TILE_PX, 3) BGR."""
    picture = read_small(file, TILE_PX)
    height, width = picture.shape[:2]
    tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    top, left = (TILE_PX - height) // 2, (TILE_PX - width) // 2
    tile[top : top + height, left : left + width] = picture
    return tile
