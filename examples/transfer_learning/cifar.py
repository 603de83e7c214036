"""The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as folders of PNG files.

A record is one byte of label (CIFAR-100: coarse, then fine), then 3072 bytes: 32x32 levels of
red, then of green, then of blue, row by row (https://www.cs.toronto.edu/~kriz/cifar.html). The
Python version holds pickles, and a pickle runs whatever code its maker put into it: it is never
opened here.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
from photos import MARKER, Choice, beside, check_count, choose_photos, find_inside, is_made, mark

from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.system.storage import staged_folder

SIDE_PX = 32
_PIXEL_BYTES = 3 * SIDE_PX * SIDE_PX


class Version(msgspec.Struct, frozen=True):
    """One of the two data sets in its binary version.

    Attributes:
        folder: As its archive unpacks.
        archive: The name of that.
        names: The file with the labels, one a line.
        classes: How many labels it must hold.
        label_bytes: Before the pixels; the last of them is the label.
        parts: Part -> files.
        pickles: Files by which the Python version is recognized.
    """

    folder: str
    archive: str
    names: str
    classes: int
    label_bytes: int
    parts: dict[str, tuple[str, ...]]
    pickles: tuple[str, ...]


CIFAR10 = Version(
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    names="batches.meta.txt",
    classes=10,
    label_bytes=1,
    parts={
        "train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    pickles=("data_batch_1", "batches.meta", "cifar-10-batches-py"),
)
CIFAR100 = Version(
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    names="fine_label_names.txt",
    classes=100,
    label_bytes=2,
    parts={"train": ("train.bin",), "test": ("test.bin",)},
    pickles=("train", "meta", "cifar-100-python"),
)


class Records(msgspec.Struct, frozen=True, eq=False):
    """A part: labels, int64 (records,), and pixels, uint8 (records, 3, 32, 32) RGB."""

    labels: np.ndarray
    pixels: np.ndarray


def prepare(data: Path, out: Path, version: Version, photos_a_class: int, seed: int) -> Path:
    """Turns what the user has into class folders.

    Args:
        data: The binary version, its parent, or folders {train,test}/CLASS/*.png.
        out: The experiment's folder; PNG files are written beside it, once.
        version: Which of the two.
        photos_a_class: At most so many of each class and part; 0: all.
        seed: Another one chooses others.

    Raises:
        DatasetError: If it is neither, or damaged.
        StorageError: If PNG files cannot be written.
    """
    check_count(photos_a_class)
    data = find_inside(data, version.folder)
    if not (data / version.names).is_file():
        _refuse_pickles(data, version)
        return choose_photos(data, out, photos_a_class, seed)
    labels = read_labels(data / version.names, version)
    files = [data / name for names in version.parts.values() for name in names]
    sizes = " ".join(str(_size(file, version)) for file in files)
    choice = Choice(
        str(data.resolve()), photos_a_class, seed, {label: label for label in labels}, sizes
    )
    folder = beside(out, "photos")
    if not is_made(folder, choice):
        with staged_folder(folder, marker=MARKER, overwrite=True) as staging:
            for part, names in version.parts.items():
                records = read_records([data / name for name in names], version)
                _write_part(staging / part, records, labels, photos_a_class, seed)
            mark(staging, choice)
    return folder


def _refuse_pickles(data: Path, version: Version) -> None:
    found = next((name for name in version.pickles if (data / name).exists()), None)
    inner = data / (found or "")
    # A folder `train` holds classes, a file `train` is a pickle.
    if found and (inner.is_file() or found.endswith(("-py", "-python"))):
        raise DatasetError(
            f"{inner} is the Python version, which holds pickles; a pickle can run code, so it is "
            f"not opened: get the binary version, {version.archive}, from "
            "https://www.cs.toronto.edu/~kriz/cifar.html and give the folder "
            f"{version.folder} that it unpacks to"
        )
    if any(data.glob("*.bin")):
        raise DatasetError(
            f"{data} has .bin files but no {version.names}; give the folder {version.folder} as "
            f"{version.archive} unpacks it"
        )


def read_labels(file: Path, version: Version) -> list[str]:
    """Reads the names of the classes, in the order of their numbers.

    Raises:
        DatasetError: If there are fewer or more than the version has, or one is no folder's name.
    """
    labels = file.read_text(encoding="utf-8", errors="replace").split()
    if len(labels) != version.classes or len(set(labels)) != version.classes:
        raise DatasetError(
            f"{file} names {len(set(labels))} classes, expected {version.classes}; unpack "
            f"{version.archive} again"
        )
    if odd := [label for label in labels if label.startswith(".") or set(label) & set("/\\:")]:
        raise DatasetError(
            f"{file} names the class {odd[0]}, which cannot be a folder; unpack {version.archive} "
            "again"
        )
    return labels


def _size(file: Path, version: Version) -> int:
    """Bytes of a file of whole records."""
    record = version.label_bytes + _PIXEL_BYTES
    try:
        size = file.stat().st_size
    except OSError as error:
        raise DatasetError(
            f"{file} is unreadable ({error.strerror}); unpack {version.archive} again"
        ) from error
    if not size or size % record:
        raise DatasetError(
            f"{file} has {size} bytes, expected whole records of {record}; it was cut off: unpack "
            f"{version.archive} again"
        )
    return size


def read_records(files: Sequence[Path], version: Version) -> Records:
    """Reads one part into memory, 154 MB at most.

    Raises:
        DatasetError: If a file is cut off, or a label is none.
    """
    record = version.label_bytes + _PIXEL_BYTES
    tables = []
    for file in files:
        _size(file, version)
        tables.append(np.memmap(file, np.uint8, mode="r").reshape(-1, record))
        if (highest := int(tables[-1][:, version.label_bytes - 1].max())) >= version.classes:
            raise DatasetError(
                f"{file} has the label {highest}, expected 0 to {version.classes - 1}; is it of "
                f"another data set? Unpack {version.archive} again"
            )
    table = np.concatenate(tables)
    labels = table[:, version.label_bytes - 1].astype(np.int64)
    pixels = table[:, version.label_bytes :].reshape(-1, 3, SIDE_PX, SIDE_PX)
    return Records(labels, pixels)


def _write_part(folder: Path, records: Records, labels: list[str], count: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(records.labels))
    rows = [
        int(row)
        for label in range(len(labels))
        for row in order[records.labels[order] == label][: count or None]
    ]
    for label in labels:
        (folder / label).mkdir(parents=True)
    for row in track(rows, f"writing {folder.name}", len(rows)):
        red_first = records.pixels[row].transpose(1, 2, 0)
        data = cv2.imencode(".png", np.ascontiguousarray(red_first[:, :, ::-1]))[1].tobytes()
        (folder / labels[records.labels[row]] / f"{row:05d}.png").write_bytes(data)
