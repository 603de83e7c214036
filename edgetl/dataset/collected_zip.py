"""The zip in which a phone's page hands over collected frames: read with care, as a folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.system.containers import Archive, ZipRules

MOST_FILES: Final = 20_000
# A 50-megapixel JPEG of the best quality has half of it.
MOST_BYTES: Final = 64 * 2**20
MOST_BYTES_IN_ALL: Final = 4 * 2**30
_FRAMES: Final = ZipRules(
    most_members=MOST_FILES,
    wanted="the zip that the phone's page saved",
    copy_again="copy it from the phone again",
    make_again="save it again from the phone's page, with fewer frames at a time",
    error=DatasetError,
)


@contextmanager
def unpacked(collected: Path) -> Iterator[Path]:
    """The folder of collected frames: the given one, or for a zip a temporary one.

    Only names count, not folders in the zip, so that one that a person made of a folder is taken,
    too. Hidden files are left out.

    Raises:
        DatasetError: If the zip is damaged, unsafe, too large, or has one name twice.
        OSError: If the disk is full.
    """
    if not collected.is_file():
        yield collected
        return
    with tempfile.TemporaryDirectory(prefix="edgetl-frames-") as folder:
        _unpack(collected, Path(folder))
        yield Path(folder)


def _unpack(collected: Path, folder: Path) -> None:
    archive = Archive(collected, _FRAMES)
    try:
        for name, data in archive.read_each(MOST_BYTES, MOST_BYTES_IN_ALL):
            file = PurePosixPath(name).name
            if not is_hidden(file):
                _write(folder / file, data, collected)
    except PermissionError as error:
        raise DatasetError(f"{collected} is unreadable ({error.strerror})") from error
    if not any(folder.iterdir()):
        raise DatasetError(f"{collected} has no images; expected 000000001_picked_gear.jpg ...")


def _write(file: Path, data: bytes, collected: Path) -> None:
    try:
        # Nothing is ever overwritten, nor written through a link.
        with file.open("xb") as stream:
            stream.write(data)
    except FileExistsError as error:
        raise DatasetError(f"{collected} holds {file.name} twice; {_FRAMES.make_again}") from error
