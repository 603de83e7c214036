"""A contact sheet: photos beside the views that training would see of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edgetl.augmentation.parsing import describe
from edgetl.augmentation.strengths import BATCH_STRENGTHS, Augmentation
from edgetl.augmentation.views import make_view
from edgetl.dataset.listing import Listing
from edgetl.dataset.manifest import Skipped
from edgetl.dataset.tables import list_data
from edgetl.dataset.verification import verify_file
from edgetl.targets import check_free
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError, StorageError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.storage import write_file

FORMATS = (".jpg", ".jpeg", ".png")
_CELL_PX = 192
_GAP_PX = 6
_BAND_PX = 24
_TITLE_PX = 36
_GROUND = 24
_INK = (235, 235, 235)
_QUALITY = 92


class Shown(msgspec.Struct, frozen=True):
    """One photo of the sheet: path relative to the data folder, label, hash of its bytes."""

    path: str
    label: str
    sha256: str


class Preview(msgspec.Struct, frozen=True, eq=False):
    """A contact sheet.

    Attributes:
        picture: uint8 (height, width, 3) BGR; one row a photo, the photo first, then its views.
        shown: The photos, top down, sorted by label.
        skipped: Files that were chosen but are not usable photos.
    """

    picture: Frame
    shown: tuple[Shown, ...]
    skipped: tuple[Skipped, ...]


def draw_preview(
    data: Path,
    augmentation: Augmentation,
    *,
    photos: int = 8,
    views: int = 6,
    seed: int = 0,
) -> Preview:
    """Draws photos of all classes with the first views that training makes of them.

    Only the photos that are shown are read, so that a large folder takes no longer.

    Args:
        data: A data folder or a table; where it has parts, photos of `train` are shown.
        augmentation: How strong.
        photos: How many, spread over the classes.
        views: How many of each photo, from view 1.
        seed: Another seed shows other photos.

    Raises:
        DatasetError: If the data is unreadable or has no usable photo.
    """
    listing = list_data(data)
    skipped: list[Skipped] = []
    candidates = _shuffle(_group_by_label(listing), np.random.default_rng(seed))
    usable = islice(_read_usable(listing.root, candidates, skipped), photos)
    rows = [
        (shown, _make_cells(shown, photo, augmentation, views))
        for shown, photo in track(usable, "drawing views", photos)
    ]
    if not rows:
        why = f" (skipped {skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise DatasetError(f"{data} has no usable photo to train on{why}; add photos")
    rows.sort(key=lambda row: (row[0].label, row[0].path))
    picture = _assemble(rows, _title(augmentation))
    return Preview(picture, tuple(shown for shown, _ in rows), tuple(skipped))


def write_preview(preview: Preview, out: Path, *, overwrite: bool = False) -> None:
    """Writes a sheet as JPEG or PNG, whichever its name says.

    Raises:
        StorageError: If `out` is not the name of an image, exists, or cannot be written.
    """
    check_sheet_target(out, overwrite=overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}; choose another --out") from error
    options = [] if out.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, data = cv2.imencode(out.suffix.lower(), preview.picture, options)
    write_file(out, data.tobytes())


def check_sheet_target(out: Path, *, overwrite: bool) -> None:
    """Refuses a target before any work is done for it.

    Raises:
        StorageError: If `out` is not the name of an image, a folder, or exists.
    """
    if out.suffix.lower() not in FORMATS:
        raise StorageError(f"{out} must end in {', '.join(FORMATS)}; choose another --out")
    check_free(out, overwrite=overwrite)


def _group_by_label(listing: Listing) -> dict[str, list[Path]]:
    """The files of each class; of `train` only, where the data names parts."""
    found: dict[str, list[Path]] = defaultdict(list)
    for photo in listing.photos:
        if photo.split in (None, "train"):
            found[photo.label].append(photo.file)
    return found


def _shuffle(
    by_label: dict[str, list[Path]], random: np.random.Generator
) -> Iterator[tuple[str, Sequence[Path]]]:
    """The classes and within them the files, in random order."""
    labels = sorted(by_label)
    for place in random.permutation(len(labels)):
        files = by_label[labels[place]]
        yield labels[place], [files[index] for index in random.permutation(len(files))]


def _read_usable(
    root: Path, candidates: Iterator[tuple[str, Sequence[Path]]], skipped: list[Skipped]
) -> Iterator[tuple[Shown, Frame]]:
    """One photo of each class in turn, until none is left; notes what is not a photo."""
    waiting = [(label, iter(files)) for label, files in candidates]
    while waiting:
        for turn in list(waiting):
            label, files = turn
            found = _read_next(root, label, files, skipped)
            if found is None:
                waiting.remove(turn)
            else:
                yield found


def _read_next(
    root: Path, label: str, files: Iterator[Path], skipped: list[Skipped]
) -> tuple[Shown, Frame] | None:
    for path in files:
        verdict = verify_file(path)
        name = path.relative_to(root).as_posix()
        if verdict.reason is None:
            return Shown(name, label, verdict.sha256), read_picture(path)
        skipped.append(Skipped(name, verdict.reason))
    return None


def _title(augmentation: Augmentation) -> str:
    unseen = [name for name in BATCH_STRENGTHS if getattr(augmentation, name)]
    note = f"  ({' and '.join(unseen)}: mixes a batch, not shown)" if unseen else ""
    return f"augmentation: {describe(augmentation)}{note}"


def _make_cells(shown: Shown, photo: Frame, augmentation: Augmentation, views: int) -> list[Frame]:
    """The photo and its views, small."""
    made = [make_view(photo, shown.sha256, n, augmentation) for n in range(1, views + 1)]
    return [_shrink(picture) for picture in (photo, *made)]


def _shrink(picture: Frame) -> Frame:
    height, width = picture.shape[:2]
    scale = _CELL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _assemble(rows: Sequence[tuple[Shown, Sequence[Frame]]], title: str) -> Frame:
    """The title, then for each photo its label and file name above its cells."""
    cell_px = max(cell.shape[1] for _, cells in rows for cell in cells) + _GAP_PX
    width = cell_px * len(rows[0][1])
    lines = [_draw_text(title, width, _TITLE_PX, 0.6)]
    for shown, cells in rows:
        name = shown.path.rsplit("/", 1)[-1]
        lines.append(_draw_text(f"{shown.label}   {name}", width, _BAND_PX, 0.45))
        lines.append(np.hstack([_pad(cell, cell_px) for cell in cells]))
    return np.vstack(lines)


def _pad(cell: Frame, width: int) -> Frame:
    padded = np.full((cell.shape[0] + _GAP_PX, width, 3), _GROUND, np.uint8)
    left = (width - cell.shape[1]) // 2
    padded[: cell.shape[0], left : left + cell.shape[1]] = cell
    return padded


def _draw_text(text: str, width: int, height: int, scale: float) -> Frame:
    """One line of text, made smaller until it fits, down to half."""
    band = np.full((height, width, 3), _GROUND, np.uint8)
    needed = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] + 2 * _GAP_PX
    scale *= max(0.5, min(1.0, width / needed))
    place = (_GAP_PX, round(height * 0.68))
    cv2.putText(band, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return band
