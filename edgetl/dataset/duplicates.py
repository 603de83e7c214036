"""Near-duplicates: the same image resized, recompressed, lit otherwise, cropped or mirrored.

Two steps. A perceptual hash (pHash: Zauner 2010, "Implementation and Benchmarking of Perceptual
Image Hash Functions") names candidates; it sees low frequencies only, and calls two different
cans on one white table alike. So each candidate pair is laid one over the other by enhanced
correlation (ECC: Evangelidis and Psarakis 2008, "Parametric Image Alignment Using Enhanced
Correlation Coefficient Maximization"), and only pairs whose details agree are near-duplicates.

The thresholds were chosen on TrashNet (1,781 photos of single things on one white table). Of 200
copies each, all are found of those halved, quartered, stretched to a square, mirrored, saved at
JPEG quality 20, or lit by +30 levels or a factor of 0.7; 99 % of those lit by a factor of 1.3,
and 94 % of those cut by up to 5 % at each side. The data set holds 18 such pairs already,
beside 3 of equal bytes; half of them were looked at: each is one thing in one place, mostly the
same shot. Different things that lie alike reach 0.85 at most.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.photo import Thumbnail
from edgetl.dataset.verification import THUMBNAIL_PX
from edgetl_export.progress import track
from edgetl_runtime.system.allotment import count_processors

MAX_HASH_DISTANCE = 10
MIN_AGREEMENT = 0.9
_HASH_PX = 32
_LOW = 8
# Multi-index hashing (Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with
# Multi-Index Hashing"): of four chunks of a hash, one at least differs in at most two bits where
# the whole differs in at most eleven. So only the buckets around each chunk are looked into.
_CHUNKS, _CHUNK_BITS, _CHUNK_RADIUS = 4, 16, 2
# A fixed camera fills one bucket with thousands of frames. Then each looks at its nearest
# neighbours in the order of the list, which keeps the search from growing with the square.
_BUCKET_WINDOW, _NEAREST = 64, 8
# Up to here, comparing each with each is faster than looking into buckets.
_FEW = 8192
_BLOCK = 4096
_CUT = 0.025
_DETAIL_SIGMA_PX = 3.0
# Grey levels; less than this is compression noise on an empty surface.
_PLAIN_DETAIL, _PLAIN_DIFFERENCE = 0.7, 2.0
# A copy is cut, perhaps stretched, but not turned; two round things often match when turned.
_MAX_SHEAR, _MAX_ZOOM, _MAX_SHIFT_PX = 0.05, 0.15, 6.0
_HOPELESS = 0.2
_ECC_STEPS, _ECC_PRECISION = 30, 1e-4
_LARGEST_SHARE, _LARGEST_FLOOR = 0.05, 10

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class Link(msgspec.Struct, frozen=True):
    """Two images that are near-duplicates.

    Attributes:
        first: Index of one, the smaller.
        second: Index of the other.
        agreement: Correlation of their details once aligned, `MIN_AGREEMENT`..1.
        mirrored: One is the other's mirror image.
    """

    first: int
    second: int
    agreement: float
    mirrored: bool = False


class _View(msgspec.Struct, frozen=True, eq=False):
    """A change that a copy may have gone through, tried before hashes are compared."""

    cut: float
    mirrored: bool


class _Candidate(msgspec.Struct, frozen=True, eq=False):
    first: int
    second: int
    view: _View


_VIEWS = tuple(_View(cut, mirrored) for mirrored in (False, True) for cut in (0.0, _CUT))


def find_links(thumbnails: Sequence[Thumbnail]) -> list[Link]:
    """Finds near-duplicates among images of different bytes.

    Args:
        thumbnails: uint8 (64, 64) grey, one an image; see `photo.PhotoVerdict`.

    Returns:
        The links, strongest first, each pair once.
    """
    if len(thumbnails) < 2:
        return []
    pictures = np.stack(list(thumbnails))
    candidates = _find_candidates(pictures)

    def compare(candidate: _Candidate) -> float:
        first, second = pictures[candidate.first], pictures[candidate.second]
        return measure_agreement(_change(first, candidate.view), second)

    links: dict[tuple[int, int], Link] = {}
    with ThreadPoolExecutor(max_workers=count_processors()) as pool:
        pairs = zip(candidates, pool.map(compare, candidates), strict=True)
        try:
            for one, agreement in track(pairs, "comparing photos", len(candidates)):
                pair = (min(one.first, one.second), max(one.first, one.second))
                if agreement >= max(MIN_AGREEMENT, links[pair].agreement if pair in links else 0):
                    links[pair] = Link(*pair, agreement, one.view.mirrored)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(links.values(), key=lambda link: (-link.agreement, link.first, link.second))


def perceptual_hashes(thumbnails: Thumbnail, *, mirrored: bool = False) -> Hashes:
    """The 64-bit pHash of many images at once, bit for bit that of `imagehash.phash`.

    Args:
        thumbnails: uint8 (images, 64, 64) grey.
        mirrored: Of the mirror images, which costs no second transform: mirroring turns the
            sign of every odd column of a cosine transform.

    Returns:
        uint64 (images,); the first of the 8 x 8 lowest frequencies is the highest bit.
    """
    hashes = np.empty(len(thumbnails), np.uint64)
    signs = np.where(np.arange(_LOW) % 2, -1.0, 1.0) if mirrored else np.ones(_LOW)
    for start in range(0, len(thumbnails), _BLOCK):
        low = _low_frequencies(thumbnails[start : start + _BLOCK]) * signs
        flat = low.reshape(-1, _LOW * _LOW)
        bits = flat > np.median(flat, axis=1, keepdims=True)
        packed = np.packbits(bits, axis=1).view(">u8")[:, 0]
        hashes[start : start + _BLOCK] = packed.astype(np.uint64)
    return hashes


def _low_frequencies(thumbnails: Thumbnail) -> NDArray[np.float64]:
    """The lowest cosine frequencies (DCT-II, both axes): float64 (images, 8, 8)."""
    half = THUMBNAIL_PX // _HASH_PX
    blocks = thumbnails.reshape(-1, _HASH_PX, half, _HASH_PX, half).mean(axis=(2, 4))
    small = np.rint(blocks)
    place = np.arange(_HASH_PX)
    cosines = np.cos(np.pi * np.arange(_LOW)[:, np.newaxis] * (2 * place + 1) / (2 * _HASH_PX))
    low: NDArray[np.float64] = cosines @ small @ cosines.T
    # What is nothing but rounding errors must not become bits.
    return np.where(np.abs(low) < 1e-6, 0.0, low)


def _find_candidates(pictures: Thumbnail) -> list[_Candidate]:
    """Pairs worth a look, at most `_NEAREST` an image and view."""
    index = _HashIndex(perceptual_hashes(pictures))
    found: list[_Candidate] = []
    for view in _VIEWS:
        changed = pictures if not view.cut else np.stack([_cut(one) for one in pictures])
        queries = perceptual_hashes(changed, mirrored=view.mirrored)
        rows = np.concatenate([np.stack(hits, axis=1) for hits in index.near(queries)])
        if not view.cut:  # symmetric: each pair once
            rows = rows[rows[:, 0] < rows[:, 2]]
        found += [_Candidate(int(one), int(other), view) for one, _, other in _nearest(rows)]
    return found


def _nearest(rows: Indices) -> Indices:
    """The first `_NEAREST` rows of each query, of rows (query, distance, listed hash)."""
    rows = np.unique(rows, axis=0)
    _, starts, counts = np.unique(rows[:, 0], return_index=True, return_counts=True)
    rank = np.arange(len(rows)) - np.repeat(starts, counts)
    return rows[rank < _NEAREST]


class _HashIndex:
    """Hashes by the value of each of their chunks."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._orders: list[Indices] = []
        self._starts: list[Indices] = []
        for chunk in range(_CHUNKS):
            values = _chunk(hashes, chunk)
            self._orders.append(np.argsort(values, kind="stable"))
            counts = np.bincount(values, minlength=1 << _CHUNK_BITS)
            self._starts.append(np.concatenate([[0], np.cumsum(counts)]))

    def near(self, queries: Hashes) -> Iterator[tuple[Indices, Indices, Indices]]:
        """Yields query, distance and listed hash; never a hash with its own query."""
        for queried, listed in (
            self._all(queries) if len(queries) <= _FEW else self._look_up(queries)
        ):
            apart = np.bitwise_count(queries[queried] ^ self._hashes[listed])
            keep = (apart <= MAX_HASH_DISTANCE) & (queried != listed)
            yield queried[keep], apart[keep].astype(np.int64), listed[keep]

    def _all(self, queries: Hashes) -> Iterator[tuple[Indices, Indices]]:
        for start in range(0, len(queries), 256):
            block = queries[start : start + 256, np.newaxis] ^ self._hashes
            queried, listed = np.nonzero(np.bitwise_count(block) <= MAX_HASH_DISTANCE)
            yield queried + start, listed

    def _look_up(self, queries: Hashes) -> Iterator[tuple[Indices, Indices]]:
        for chunk in range(_CHUNKS):
            values = _chunk(queries, chunk)
            for flip in _FLIPS:
                yield self._bucket(chunk, values ^ flip)

    def _bucket(self, chunk: int, values: Indices) -> tuple[Indices, Indices]:
        """Each query beside each hash of its bucket, or beside those near it in the list."""
        total = len(values)
        start, end = self._starts[chunk][values], self._starts[chunk][values + 1]
        spare = np.maximum(end - start - _BUCKET_WINDOW, 0)
        first = start + spare * np.arange(total) // total
        counts = end - start - spare
        queried = np.repeat(np.arange(total), counts)
        within = np.arange(len(queried)) - np.repeat(np.cumsum(counts) - counts, counts)
        return queried, self._orders[chunk][np.repeat(first, counts) + within]


def _chunk(hashes: Hashes, chunk: int) -> Indices:
    mask = np.uint64((1 << _CHUNK_BITS) - 1)
    return ((hashes >> np.uint64(chunk * _CHUNK_BITS)) & mask).astype(np.int64)


def _make_flips() -> list[int]:
    """Every pattern of at most `_CHUNK_RADIUS` set bits."""
    flips = [0]
    for _ in range(_CHUNK_RADIUS):
        flips += [flip | 1 << bit for flip in flips for bit in range(_CHUNK_BITS)]
    return sorted(set(flips))


_FLIPS = _make_flips()


def _cut(thumbnail: Thumbnail) -> Thumbnail:
    """The image without 2.5 % at each side."""
    inner = (1 - 2 * _CUT) * THUMBNAIL_PX
    place = np.array(
        [
            [inner / THUMBNAIL_PX, 0, _CUT * THUMBNAIL_PX],
            [0, inner / THUMBNAIL_PX, _CUT * THUMBNAIL_PX],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(
        thumbnail, place, thumbnail.shape, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, np.uint8)


def _change(thumbnail: Thumbnail, view: _View) -> Thumbnail:
    turned = np.ascontiguousarray(thumbnail[:, ::-1]) if view.mirrored else thumbnail
    return _cut(turned) if view.cut else turned


def measure_agreement(first: Thumbnail, second: Thumbnail) -> float:
    """Correlation of the details of two images, at the best small shift and stretch.

    Args:
        first: uint8 (64, 64) grey.
        second: uint8 (64, 64) grey.

    Returns:
        -1..1; two empty surfaces agree (1) where they are equally bright.
    """
    details = _details(first), _details(second)
    if max(float(one.std()) for one in details) < _PLAIN_DETAIL:
        difference = np.abs(first.astype(np.float32) - second.astype(np.float32)).mean()
        return 1.0 if difference <= _PLAIN_DIFFERENCE else 0.0
    plain = _correlate(*details)
    if plain >= MIN_AGREEMENT or plain < _HOPELESS:
        return plain
    return max(plain, _align(*details))


def _details(thumbnail: Thumbnail) -> Floats:
    """What light and background leave: the image less its blurred self."""
    picture = thumbnail.astype(np.float32)
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), _DETAIL_SIGMA_PX), np.float32)


def _correlate(first: Floats, second: Floats) -> float:
    one, other = first - first.mean(), second - second.mean()
    return float((one * other).sum() / max(np.sqrt((one**2).sum() * (other**2).sum()), 1e-9))


def _align(first: Floats, second: Floats) -> float:
    start = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ECC_STEPS, _ECC_PRECISION)
    everything = np.full(first.shape, 255, np.uint8)
    try:
        agreement, warp = cv2.findTransformECC(
            second, first, start, cv2.MOTION_AFFINE, stop, everything, 1
        )
    except cv2.error:  # it says so where the two do not converge
        return -1.0
    return float(agreement) if _is_small(np.asarray(warp, np.float64)) else -1.0


def _is_small(warp: NDArray[np.float64]) -> bool:
    shear = max(abs(warp[0, 1]), abs(warp[1, 0]))
    zoom = max(abs(warp[0, 0] - 1), abs(warp[1, 1] - 1))
    middle = np.array([THUMBNAIL_PX / 2, THUMBNAIL_PX / 2, 1.0])
    shift = np.abs(warp @ middle - middle[:2]).max()
    return bool(shear <= _MAX_SHEAR and zoom <= _MAX_ZOOM and shift <= _MAX_SHIFT_PX)


def group(count: int, links: Sequence[Link]) -> list[int]:
    """Groups images that are linked, directly or through others.

    A chain of links may join images that share nothing (the frames of a pan), and a fixed
    camera links everything. So links count from the strongest on, and none may make a group of
    more than 5 % of the images (or 10): what lies beyond it stays apart.

    Args:
        count: Number of images.
        links: Strongest first.

    Returns:
        For each image the smallest index in its group; its own where it is alone.
    """
    largest = max(_LARGEST_FLOOR, int(_LARGEST_SHARE * count))
    parents, sizes = list(range(count)), [1] * count

    def find(one: int) -> int:
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    for link in links:
        first, second = sorted((find(link.first), find(link.second)))
        if first != second and sizes[first] + sizes[second] <= largest:
            parents[second] = first
            sizes[first] += sizes[second]
    return [find(one) for one in range(count)]
