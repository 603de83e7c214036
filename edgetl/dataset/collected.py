"""Collected frames and their records, which are checked before use.

The folder comes from a board, perhaps by way of a stick that others had in their hands, or as a
zip from a phone: a record may hold anything, and an image may be none.
"""

import re
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import find_links
from edgetl.dataset.labels import UNKNOWN, UNSORTED, find_obstacle, normalize
from edgetl.dataset.photo import PhotoVerdict, Thumbnail
from edgetl.dataset.verification import verify_file
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.outputs.collect import FORMAT_VERSION, READ_VERSIONS, CollectedFrame
from edgetl_runtime.system.allotment import count_processors

NO_RECORD = "it has no record"
_RECORD_LIMIT_BYTES = 64 * 1024
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
# The most telling ones are kept where frames are near-duplicates.
_TELLING = ("picked", "rejected", "unsure", "diverse", "sampled")


class RefusedFile(msgspec.Struct, frozen=True):
    """A file and what is wrong with it."""

    path: str
    reason: str


class Candidate(msgspec.Struct, frozen=True, eq=False):
    """A whole image.

    Attributes:
        path: Where it lies.
        verdict: Of its content.
        frame: Its record, or None.
        doubt: Why the record is missing or cannot be used; empty with a record.
    """

    path: Path
    verdict: PhotoVerdict
    frame: CollectedFrame | None
    doubt: str = ""

    @property
    def suggested(self) -> str:
        """The folder that it belongs into: what a person said, else what the device predicted."""
        if self.frame is None:
            return UNSORTED
        return normalize(self.frame.corrected_label or self.frame.answer.frame_label or UNSORTED)

    @property
    def corrected(self) -> bool:
        """Whether a person said what it is."""
        return self.frame is not None and self.frame.corrected_label is not None

    @property
    def kind(self) -> str:
        """Why it was kept; empty without a record."""
        return self.frame.kinds[0] if self.frame else ""


class Collected(msgspec.Struct, frozen=True, eq=False):
    """The content of a collected folder.

    Attributes:
        candidates: Whole images, the most telling ones first.
        refused: Images that are damaged or no plain files.
        doubted: Images whose records cannot be used.
    """

    candidates: list[Candidate]
    refused: list[RefusedFile]
    doubted: list[RefusedFile]


class Choice(msgspec.Struct, frozen=True, eq=False):
    """Which candidates are new.

    Attributes:
        new: To be imported.
        copies: The same bytes as a photo that is known, or as one of `new`.
        similar: Near-duplicates of such a photo.
    """

    new: list[Candidate]
    copies: list[Candidate]
    similar: list[Candidate]


def read_collected(folder: Path) -> Collected:
    """Reads a folder that `edgetl-run --collect` filled; changes nothing in it.

    Raises:
        DatasetError: If it is not a folder, unreadable, or holds no image.
    """
    paths = _list_pictures(folder)
    candidates, refused, doubted = [], [], []
    for path, verdict in _verify_all(paths, "reading collected frames"):
        # A link leads out of the folder that was given.
        reason = "not a plain file" if path.is_symlink() else verdict.reason
        if reason is not None:
            refused.append(RefusedFile(path.name, reason))
            continue
        frame, doubt = _read_record(path.with_suffix(".json"))
        candidates.append(Candidate(path, verdict, frame, doubt))
        if doubt and doubt != NO_RECORD:
            doubted.append(RefusedFile(path.with_suffix(".json").name, doubt))
    return Collected(_order(candidates), refused, doubted)


def _order(candidates: list[Candidate]) -> list[Candidate]:
    """Of frames that look alike the first is kept: a person's word counts most, the last above all.

    Names count up.
    """
    corrected = [one for one in candidates if one.corrected]
    others = [one for one in candidates if not one.corrected]
    return [
        *sorted(corrected, key=lambda one: one.path.name, reverse=True),
        *sorted(others, key=lambda one: (_rank(one.kind), one.path.name)),
    ]


def choose_new(
    candidates: list[Candidate],
    known: Iterable[Path],
    *,
    keep_similar: bool = False,
) -> Choice:
    """Leaves out what is known already, and all but one of frames that look alike.

    Args:
        candidates: The most telling ones first.
        known: Photos that are there; files that are not images are passed over.
        keep_similar: Leave out equal bytes only.
    """
    verdicts = [verdict for _, verdict in _verify_all(list(known), "reading known photos")]
    seen = {verdict.sha256 for verdict in verdicts if verdict.reason is None}
    copies: list[Candidate] = []
    different: list[Candidate] = []
    for one in candidates:
        (copies if one.verdict.sha256 in seen else different).append(one)
        seen.add(one.verdict.sha256)
    if keep_similar:
        return Choice(different, copies, [])
    thumbnails = [verdict.thumbnail for verdict in verdicts if verdict.thumbnail is not None]
    alike = _find_alike(thumbnails, [one.verdict.thumbnail for one in different])
    new = [one for n, one in enumerate(different) if n not in alike]
    return Choice(new, copies, [different[n] for n in sorted(alike)])


def _find_alike(known: list[Thumbnail], thumbnails: list[Thumbnail | None]) -> set[int]:
    """Indices of those that look like a known one, or like an earlier one that stays."""
    listed = {n: thumbnail for n, thumbnail in enumerate(thumbnails) if thumbnail is not None}
    left = dict(listed)
    # Of many near copies each is compared with the nearest ones only, which may all be gone.
    while gone := _find_linked(known, left):
        left = {n: thumbnail for n, thumbnail in left.items() if n not in gone}
    return listed.keys() - left.keys()


def _find_linked(known: list[Thumbnail], left: dict[int, Thumbnail]) -> set[int]:
    linked: dict[int, set[int]] = {}
    for link in find_links([*known, *left.values()]):
        linked.setdefault(link.second, set()).add(link.first)
    alike: set[int] = set()
    gone: set[int] = set()
    for place, n in enumerate(left, start=len(known)):
        if linked.get(place, set()) - gone:
            gone.add(place)
            alike.add(n)
    return alike


def _list_pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder, nor a zip; give the folder that `edgetl-run --collect` "
            "filled on the board, or the zip of the phone's page"
        )
    try:
        found = sorted(path for path in folder.iterdir() if _is_picture(path))
    except OSError as error:
        raise DatasetError(f"{folder} is unreadable ({error.strerror})") from error
    if not found:
        raise DatasetError(f"{folder} has no images; expected 000000001_unsure_gear.jpg ...")
    return found


def _is_picture(path: Path) -> bool:
    """Whether it may be one; what else it is, is said when it is looked at."""
    return not (is_hidden(path.name) or path.suffix.lower() == ".json" or path.is_dir())


def _verify_all(paths: list[Path], description: str) -> list[tuple[Path, PhotoVerdict]]:
    """Decodes each file."""
    with ThreadPoolExecutor(max_workers=count_processors()) as pool:
        pairs = zip(paths, pool.map(verify_file, paths), strict=True)
        return list(track(pairs, description, len(paths)))


def _read_record(path: Path) -> tuple[CollectedFrame | None, str]:
    """The record of an image, or why there is none."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None, "its record is not a plain file"
        with path.open("rb") as file:
            data = file.read(_RECORD_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None, NO_RECORD
    except OSError as error:
        return None, f"its record is unreadable ({error.strerror})"
    if len(data) > _RECORD_LIMIT_BYTES:
        return None, "its record is too long"
    try:
        frame = msgspec.json.decode(data, type=CollectedFrame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return None, f"its record is not valid ({error})"
    return (None, doubt) if (doubt := _find_doubt(frame)) else (frame, "")


def _find_doubt(frame: CollectedFrame) -> str:
    if frame.format_version not in READ_VERSIONS:
        return f"its record has format {frame.format_version}, expected {FORMAT_VERSION}"
    if not frame.kinds:
        return "its record has no kind"
    scores = [frame.answer.frame_score, *(one.score for one in frame.answer.top)]
    if not all(0 <= score <= 1 for score in scores):
        return "its record has a score outside 0..1"
    if not _TIME.fullmatch(frame.answer.time):
        return "its record has no time"
    corrected = frame.corrected_label
    return _doubt_label(frame.answer.frame_label) or (
        "" if corrected == UNKNOWN else _doubt_label(corrected)
    )


def _doubt_label(label: str | None) -> str:
    if label is None:
        return ""
    obstacle = "is not a class" if label in (UNKNOWN, UNSORTED) else find_obstacle(label)
    return f"its label {label!r} {obstacle}" if obstacle else ""


def _rank(kind: str) -> int:
    return _TELLING.index(kind) if kind in _TELLING else len(_TELLING)
