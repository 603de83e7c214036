"""Collected frames become photos in folders, which a person corrects and trains on."""

import os
from itertools import count
from pathlib import Path

import msgspec

from edgetl.dataset.collected import Candidate, RefusedFile, choose_new, read_collected
from edgetl.dataset.collected_zip import unpacked
from edgetl.dataset.grouping import AlikeFrames, Rows, group_alike, measure_frames
from edgetl.dataset.listing import show_names
from edgetl.dataset.merging import find_folder, list_groups, name_group
from edgetl.dataset.tables import list_data
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError, StorageError
from edgetl_runtime.system.storage import write_file


class Imported(msgspec.Struct, frozen=True):
    """A photo that was imported.

    Attributes:
        path: Relative to the target folder, with forward slashes.
        source: Its name in the collected folder or zip.
        suggested: What it was taken for: a label, `_unsorted_`, or `_unknown_`.
        corrected: Whether a person chose that label.
        kind: Why the device kept it; empty without a record.
        score: Of the device's answer, 0..1; None without a record.
        top: Best labels of the device with their scores, best first.
        time: When, by the device's clock, ISO 8601; empty without a record.
    """

    path: str
    source: str
    suggested: str
    corrected: bool
    kind: str
    score: float | None
    top: tuple[tuple[str, float], ...]
    time: str


class PhotoGroup(msgspec.Struct, frozen=True):
    """Imported photos that are alike, in a folder of their own.

    Attributes:
        folder: Relative to the target folder, with forward slashes.
        label: What is proposed: a label, `_unknown_`, or `_unsorted_` for nothing.
        agreeing: How many of the photos were taken for that.
        paths: Of the photos, relative to the target folder, the most typical one first.
    """

    folder: str
    label: str
    agreeing: int
    paths: tuple[str, ...]


class ImportReport(msgspec.Struct, frozen=True):
    """The result of an import.

    Attributes:
        collected: The folder or zip that was read.
        target: The folder that was filled.
        imported: New photos, sorted by path.
        copies: Names of frames whose bytes were there already.
        similar: Names of frames that look like a photo that is there.
        unmoved: Those of `copies` and `similar` whose label a person corrected: the photo that is
            there stays where it is.
        refused: Frames that are damaged or no plain files.
        doubted: Records that cannot be used; their frames were imported unsorted.
        groups: Alike photos, the largest group first; empty unless they were asked for.
        grouped_by: `bundle`: its features; `record`: those that the device stored; `thumbnail`:
            small images; empty without groups.
    """

    collected: str
    target: str
    imported: tuple[Imported, ...]
    copies: tuple[str, ...]
    similar: tuple[str, ...]
    unmoved: tuple[str, ...]
    refused: tuple[RefusedFile, ...]
    doubted: tuple[RefusedFile, ...]
    groups: tuple[PhotoGroup, ...] = ()
    grouped_by: str = ""


def import_collected(
    collected: Path,
    target: Path,
    *,
    known: Path | None = None,
    keep_similar: bool = False,
    group: bool = False,
    bundle: Path | None = None,
) -> ImportReport:
    """Copies new frames into a folder for each label that a person or the device suggested.

    Args:
        collected: A folder that `edgetl-run --collect` filled, or a zip of the phone's page;
            nothing in it is changed.
        target: Is made if need be; nothing that lies there is changed.
        known: A data set whose photos are left out, too.
        keep_similar: Leave out equal bytes only, not what merely looks alike.
        group: Put frames that are alike, and whose label nobody corrected, into a folder for each
            group, `_unsorted_/group-01-LABEL`; `merge_groups` moves them on.
        bundle: By whose features frames are alike (default: those that the device stored, else
            thumbnails).

    Raises:
        DatasetError: If there is nothing to import, or `known` is not a data set or names photos
            that are not there, or the bundle puts out no features.
        EdgetlError: If the bundle is damaged, or its engine is not installed.
        StorageError: If the target cannot be written, or is the collected folder.
    """
    _check_apart(collected, target)
    there = [*_list_files(target), *(_list_known(known) if known else [])]
    with unpacked(collected) as folder:
        found = read_collected(folder)
        choice = choose_new(found.candidates, there, keep_similar=keep_similar)
        rows, means = measure_frames(choice.new, bundle) if group and choice.new else (None, "")
        alike = [] if rows is None else _group(choice.new, rows)
        folders = _name_folders(choice.new, alike, target)
        imported = [
            _copy(one, target, folder)
            for one, folder in track(
                list(zip(choice.new, folders, strict=True)), "copying", len(choice.new)
            )
        ]
    return ImportReport(
        collected=str(collected),
        target=str(target),
        imported=tuple(sorted(imported, key=lambda one: one.path)),
        copies=tuple(one.path.name for one in choice.copies),
        similar=tuple(one.path.name for one in choice.similar),
        unmoved=tuple(one.path.name for one in (*choice.copies, *choice.similar) if one.corrected),
        refused=tuple(found.refused),
        doubted=tuple(found.doubted),
        groups=tuple(_describe(one, imported) for one in alike),
        grouped_by=means,
    )


def _group(candidates: list[Candidate], rows: Rows) -> list[AlikeFrames]:
    """Groups, without the frames that a person has named, and which name the others."""
    corrected = [one.corrected for one in candidates]
    groups = group_alike(rows, [one.suggested for one in candidates], corrected)
    open_ones = [
        msgspec.structs.replace(one, members=tuple(n for n in one.members if not corrected[n]))
        for one in groups
    ]
    return [one for one in open_ones if one.members]


def _name_folders(
    candidates: list[Candidate], groups: list[AlikeFrames], target: Path
) -> list[str]:
    """The folder of each frame, relative to the target."""
    folders = [_find_folder(target, one.suggested) for one in candidates]
    # Groups of an earlier import may wait there.
    taken = {"-".join(one.name.split("-")[:2]) for one in list_groups(target)}
    numbers = (n for n in count(1) if f"group-{n:02d}" not in taken)
    for one, number in zip(groups, numbers, strict=False):
        for member in one.members:
            folders[member] = name_group(number, one.label)
    return folders


def _describe(group: AlikeFrames, imported: list[Imported]) -> PhotoGroup:
    photos = [imported[n] for n in group.members]
    return PhotoGroup(
        folder=photos[0].path.rpartition("/")[0],
        label=group.label,
        agreeing=sum(one.suggested == group.label for one in photos),
        paths=tuple(one.path for one in photos),
    )


def _check_apart(collected: Path, target: Path) -> None:
    source, goal = collected.resolve(), target.resolve()
    if goal.is_relative_to(source) or source.is_relative_to(goal):
        raise StorageError(f"--out {target} and {collected} overlap; choose a separate folder")
    if target.exists() and not target.is_dir():
        raise StorageError(f"--out {target} is not a folder; choose another --out")


def _list_files(folder: Path) -> list[Path]:
    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )


def _list_known(data: Path) -> list[Path]:
    listing = list_data(data)
    paths = [one.file for one in (*listing.photos, *listing.unknown)]
    # Photos that are not found would come in again as new ones.
    if data.is_file() and (missing := [path for path in paths if not path.is_file()]):
        names = show_names(str(path.relative_to(listing.root)) for path in missing)
        raise DatasetError(
            f"--known {data}: {len(missing)} of {len(paths)} photos are missing: {names}; paths "
            f"are relative to {listing.root}, so put the photos or the table back where they were, "
            "or remove the lines"
        )
    return paths


def _copy(candidate: Candidate, target: Path, place: str) -> Imported:
    name = _name_file(candidate)
    folder = target / place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A link could lead anywhere.
        if folder.resolve() != target.resolve() / place:
            raise StorageError(f"{folder} links to a place outside {target}; remove the link")
        if not (folder / name).exists():
            write_file(folder / name, candidate.path.read_bytes())
    except OSError as error:
        raise StorageError(
            f"cannot write into {folder}: {error.strerror}; check permissions and space, or choose "
            "an --out on a disk that allows such names"
        ) from error
    answer = candidate.frame.answer if candidate.frame else None
    return Imported(
        path=f"{place}/{name}",
        source=candidate.path.name,
        suggested=_find_folder(target, candidate.suggested),
        corrected=candidate.corrected,
        kind=candidate.kind,
        score=answer.frame_score if answer else None,
        top=tuple((one.label, one.score) for one in answer.top) if answer else (),
        time=answer.time if answer else "",
    )


def _find_folder(target: Path, label: str) -> str:
    return find_folder(target, label).name


def _name_file(candidate: Candidate) -> str:
    """Date, then content: no two images ever have one name, and they sort by time."""
    time = candidate.frame.answer.time if candidate.frame else "undated"
    date = time.partition(".")[0].replace(":", "").rstrip("Z")
    return f"{date}_{candidate.verdict.sha256[:12]}{candidate.path.suffix.lower()}"
