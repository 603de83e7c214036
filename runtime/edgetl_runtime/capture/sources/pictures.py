"""An image, or the images of a folder one after another."""

import time
from pathlib import Path

import numpy as np

from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.filetypes import identify
from edgetl_runtime.image.folders import (
    NO_PICTURE,
    UNREADABLE,
    Contents,
    Entry,
    count_and_name,
    read_folder,
    tell_several,
)


def make(options: Options) -> Source:
    """The image or folder at `address`."""
    return Pictures(Path(options["address"]), options["loop"])


class Pictures:
    """Image files, in the natural order of their names: 2 before 10."""

    def __init__(self, path: Path, loop: bool) -> None:
        """Looks at nothing yet."""
        self._path = path
        self._loop = loop
        self._pictures: list[Entry] = []
        self._next = 0
        self._good = 0
        self._bad: set[Path] = set()
        self._others: list[str] = []

    def open(self) -> Granted:
        """Lists the files."""
        try:
            if not self._path.is_dir():
                self._pictures = [Entry(self._path, identify(self._path))]
                return Granted(notes=self._note_first())
            contents = read_folder(self._path)
        except FrameError as error:
            raise CameraError(str(error)) from error
        unused = _list_unused(self._path, contents)
        if not contents.pictures:
            raise CameraError("; ".join(["it contains no images", *unused]))
        self._pictures = contents.pictures
        self._others = [NO_PICTURE for _ in contents.videos]
        self._others += [contents.judge(name) for name, _ in contents.others]
        notes = [f"of {self._path}, {sentence}" for sentence in unused]
        return Granted(notes=(*notes, *self._note_first()))

    def read(self, buffer: FrameBuffer) -> RawFrame | None:
        """Decodes the next file."""
        if self._next == len(self._pictures):
            if self._others:
                # Named when the folder was opened; counted once, however often it is read.
                raise BadFrame(self._others.pop())
            self._pictures = [one for one in self._pictures if one.path not in self._bad]
            # A folder without a single readable image would begin again for ever.
            if not (self._loop and self._good):
                return None
            self._next = 0
        file = self._pictures[self._next].path
        self._next += 1
        captured_ns = time.monotonic_ns()
        try:
            picture = read_picture(file)
        except FrameError as error:
            self._bad.add(file)
            raise BadFrame(UNREADABLE, f"not used: {error}") from error
        self._good += 1
        np.frombuffer(buffer(*picture.shape[:2]), np.uint8)[:] = picture.reshape(-1)
        return RawFrame(captured_ns, file=str(file))

    def close(self) -> None:
        """Nothing to let go of."""

    def _note_first(self) -> tuple[str, ...]:
        several = [one for one in self._pictures if one.type.several]
        if not several:
            return ()
        return (tell_several(str(several[0].path), len(several) - 1),)


def _list_unused(folder: Path, contents: Contents) -> list[str]:
    videos = [
        (str(one.path.relative_to(folder)), f"{one.type}; give it by itself")
        for one in contents.videos
    ]
    unused = videos + contents.others
    return [count_and_name("file", unused)] if unused else []
