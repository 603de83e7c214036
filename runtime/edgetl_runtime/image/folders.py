"""The files of a folder: images, videos and others, in natural order."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.filetypes import FileType, identify
from edgetl_runtime.system.obstacles import find_obstacle
from edgetl_runtime.text.wording import count_noun

# A path that was an address holds one stroke only.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_NUMBER = re.compile(r"([0-9]+)")
# Names in small letters; those that begin with . or @ (Synology's @eaDir) are meant, too.
_SYSTEM = {
    *("__macosx", "#recycle", "$recycle.bin", "lost+found", "system volume information"),
    *("#snapshot", "~snapshot", "found.000", "network trash folder", "temporary items"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__pycache__"),
}
_NAMED = 3
UNREADABLE, NO_PICTURE = "unreadable", "no image"
# Python refuses to read a number of thousands of digits.
_DIGITS = 255


class Entry(msgspec.Struct, frozen=True):
    """A file and what it is."""

    path: Path
    type: FileType


class Contents(msgspec.Struct, frozen=True):
    """The files of a folder and its sub-folders, by type.

    Attributes:
        pictures: In natural order.
        videos: In natural order.
        others: Relative paths of what is neither, or cannot be read, each with why. Hidden and
            system files are not looked at.
        unreadable: Those of the others that cannot be read.
    """

    pictures: list[Entry]
    videos: list[Entry]
    others: list[tuple[str, str]]
    unreadable: set[str] = set()

    def add_unreadable(self, name: str, why: str) -> None:
        """Notes what cannot be looked at, whatever it is."""
        self.others.append((name, why))
        self.unreadable.add(name)

    def judge(self, name: str) -> str:
        """Why a file is not used: `unreadable` or `no image`."""
        return UNREADABLE if name in self.unreadable else NO_PICTURE


def read_folder(folder: Path) -> Contents:
    """Looks at each file of a folder and its sub-folders; links to folders are followed once.

    Raises:
        FrameError: If the folder itself cannot be read; says why, without its name.
    """
    if obstacle := find_obstacle(folder):
        raise FrameError(obstacle)
    contents = Contents([], [], [])
    for path in _walk(folder, contents):
        try:
            known = identify(path)
        except FrameError as error:
            contents.add_unreadable(str(path.relative_to(folder)), str(error))
            continue
        if known.kind == "picture":
            contents.pictures.append(Entry(path, known))
        elif known.kind == "video":
            contents.videos.append(Entry(path, known))
        else:
            contents.others.append((str(path.relative_to(folder)), str(known)))
    return contents


def list_inputs(
    path: Path,
    note: Callable[[str], None],
    leave: Callable[[Path, str, str], None] = lambda file, kind, why: None,
) -> list[Path]:
    """The images and videos of a folder, in natural order, or the file itself.

    Args:
        path: A folder or file.
        note: Gets a sentence on what is not used.
        leave: Gets each file that is not used, `unreadable` or `no image`, and why.

    Raises:
        FrameError: If it cannot be read, or holds neither; says why, without its name.
    """
    if not path.is_dir():
        if _ADDRESS.match(str(path)):
            raise FrameError("an address, not a file; `edgetl-run camera BUNDLE --source` takes it")
        if str(path) == "-" and not path.exists():
            raise FrameError(
                "standard input, not a file; `edgetl-run camera BUNDLE --source -` reads it"
            )
        used = [Entry(path, identify(path))]
    else:
        contents = read_folder(path)
        if contents.others:
            note(f"of {path}, {count_and_name('file', contents.others)}")
        for name, why in contents.others:
            leave(path / name, contents.judge(name), why)
        used = contents.pictures + contents.videos
        if not used:
            raise FrameError("it contains no images or videos")
    if several := [entry for entry in used if entry.type.several]:
        note(tell_several(str(several[0].path), len(several) - 1))
    return sorted((entry.path for entry in used), key=order_naturally)


def order_naturally(path: Path) -> list[list[tuple[int, int, str]]]:
    """A key that sorts 2 before 10, whatever the case of letters."""
    return [[_order(part) for part in _NUMBER.split(name) if part] for name in path.parts]


def is_hidden(name: str) -> bool:
    """Whether a name says that a system keeps something there, rather than a person."""
    return name.startswith((".", "@")) or name.lower() in _SYSTEM


def count_and_name(things: str, named: Iterable[tuple[str, str]]) -> str:
    """`5 files are not used: a.txt (a text file), b.HEIC (...) and 3 more`."""
    listed = list(named)
    shown = [f"{name} ({why})" for name, why in listed[:_NAMED]]
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    verb = "is" if len(listed) == 1 else "are"
    return f"{count_noun(len(listed), things)} {verb} not used: " + (", ".join(shown) + more)


def tell_several(name: str, more: int = 0) -> str:
    """Says that of an animation only the first image counts."""
    verb = "does" if more == 1 else "do"
    others = f", and so {verb} {more} more" if more else ""
    return (
        f"{name} contains several images{others}; only the first is used (convert an animation to "
        "a video to use all)"
    )


def _order(part: str) -> tuple[int, int, str]:
    if _NUMBER.fullmatch(part):
        return 0, int(part[:_DIGITS]), part
    return 1, 0, part.casefold()


def _walk(folder: Path, contents: Contents) -> Iterable[Path]:
    """All files, in natural order; notes what cannot be looked into."""
    seen: set[str] = set()
    files: list[Path] = []
    waiting = [folder]
    while waiting:
        # Links come last: what lies in the folder itself is read where it lies.
        waiting.sort(key=Path.is_symlink)
        current = waiting.pop(0)
        if (real := os.path.realpath(current)) in seen:
            continue
        seen.add(real)
        if obstacle := find_obstacle(current):
            contents.add_unreadable(str(current.relative_to(folder)), obstacle)
            continue
        entries = [one for one in current.iterdir() if not is_hidden(one.name)]
        waiting += [one for one in entries if os.path.isdir(one)]
        files += [one for one in entries if not os.path.isdir(one)]
    # Of names that only their letters' case tells apart, the order is fixed, too.
    return sorted(sorted(files), key=lambda file: order_naturally(file.relative_to(folder)))
