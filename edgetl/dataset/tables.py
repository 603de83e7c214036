"""Data sets as a table: a CSV or JSONL file of path, label and, if wanted, split.

Paths are relative to the file's folder. A path that leaves the folder is refused, absolute or by
`..`: a table from elsewhere must not pull a user's other images into runs and reports.
"""

import csv
import difflib
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgetl.dataset.labels import UNKNOWN, UNSORTED, check_label, find_twin
from edgetl.dataset.listing import EXPECTED, Listing, list_folder
from edgetl.dataset.photo import Photo
from edgetl.dataset.split_folders import name_split
from edgetl_runtime.errors import DatasetError

SUFFIXES = (".csv", ".jsonl")
_COLUMNS = ("path", "label", "split")
_DELIMITERS = ",;\t"
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Half of a character that takes two in JSON; msgspec says of it that the text were cut.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _Row(msgspec.Struct, frozen=True):
    path: str
    label: str
    split: str | None = None


def list_data(data: Path) -> Listing:
    """Lists a data set: a folder of classes, or a table.

    Raises:
        DatasetError: If it cannot be read.
    """
    if not data.is_file():
        return list_folder(data)
    if data.suffix.lower() in SUFFIXES:
        return list_table(data)
    raise DatasetError(f"{data} is not a folder, .csv or .jsonl file; expected {EXPECTED}")


def list_table(file: Path) -> Listing:
    """Reads a table.

    A CSV has a header line with `path`, `label` and, if wanted, `split`; it may be separated by
    commas, semicolons or tabs. JSONL has one object with these keys a line. Other columns are
    left alone. A row without a split is put into one like a photo of a plain folder. The label
    `_unknown_` is not a class but marks unknown photos; their split does not count.

    Raises:
        DatasetError: If the table cannot be used; the message names file, line and remedy.
    """
    text = _read(file)
    rows = _csv_rows(file, text) if file.suffix.lower() == ".csv" else _jsonl_rows(file, text)
    base = Path(os.path.abspath(file.parent))
    files: dict[Path, tuple[int, Photo]] = {}
    labels: dict[str, int] = {}
    repeated: list[tuple[Path, str]] = []
    for line, row in rows:
        where = f"{file}, line {line}"
        photo = _locate(row, base, where)
        _check_spelling(photo.label, line, labels, file)
        if photo.file not in files:
            files[photo.file] = (line, photo)
            continue
        earlier, same = files[photo.file]
        if same != photo:
            raise DatasetError(
                f"{where}: {row.path} is {_describe(photo)} here and {_describe(same)} in line "
                f"{earlier}; keep one of the two"
            )
        repeated.append((photo.file, f"listed again in line {line}"))
    known = [one for _, one in files.values() if one.label != UNKNOWN]
    unknown = [one for _, one in files.values() if one.label == UNKNOWN]
    if not known:
        raise DatasetError(
            f"{file} lists no photos of a class; expected a row of path,label per photo"
        )
    names = tuple(sorted({photo.label for photo in known}))
    return Listing(base.resolve(), names, known, unknown, repeated)


def _check_spelling(label: str, line: int, labels: dict[str, int], file: Path) -> None:
    """Remembers a label and the line where it is first; refuses one in two spellings."""
    if label not in labels and (twin := find_twin(label, labels)):
        raise DatasetError(
            f"{file}, line {line}: {label} looks like {twin} of line {labels[twin]} in another "
            "spelling; write both the same, or clearly different"
        )
    labels.setdefault(label, line)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(
            f"{file} is unreadable ({error.strerror}); check its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{file} is not UTF-8 (byte {error.start}); save it again as UTF-8"
        ) from error


def _csv_rows(file: Path, text: str) -> Iterator[tuple[int, _Row]]:
    header_line = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = _check_header(file, [name.strip().lower() for name in next(reader, [])])
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                few = len(cells) < len(header)
                remedy = (
                    "add the missing cells" if few else f'quote a cell that holds "{delimiter}"'
                )
                raise DatasetError(
                    f"{file}, line {reader.line_num}: {len(cells)} cell{'s' * (len(cells) != 1)}, "
                    f"the header has {len(header)}; {remedy}"
                )
            row = dict(zip(header, cells, strict=True))
            yield reader.line_num, _Row(row["path"], row["label"], row.get("split"))
    except csv.Error as error:
        raise DatasetError(
            f"{file}, line {reader.line_num}: not valid CSV ({error}); correct or remove the line"
        ) from error


def _check_header(file: Path, header: list[str]) -> list[str]:
    found = ", ".join(header) or "nothing"
    if not {"path", "label"} <= set(header):
        raise DatasetError(
            f"{file}, line 1: expected a header with path and label (and split, if wanted), "
            f"found {found[:120]}; add it as the first line"
        )
    if len(set(header)) != len(header):
        raise DatasetError(f"{file}, line 1: a column appears twice ({found}); rename one")
    for name in set(header) - set(_COLUMNS):
        if close := difflib.get_close_matches(name, set(_COLUMNS) - set(header), cutoff=0.75):
            raise DatasetError(
                f"{file}, line 1: unknown column {name}; did you mean {close[0]}? Rename it"
            )
    return header


def _jsonl_rows(file: Path, text: str) -> Iterator[tuple[int, _Row]]:
    decoder = msgspec.json.Decoder(_Row)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, decoder.decode(line)
        except msgspec.MsgspecError as error:
            why = "half of a \\u pair" if _SURROGATE.search(line) else error
            raise DatasetError(
                f"{file}, line {number}: {why}; expected an object such as "
                '{"path": "nut/1.jpg", "label": "nut"}'
            ) from error


def _locate(row: _Row, base: Path, where: str) -> Photo:
    if not row.label.strip():
        raise DatasetError(f"{where}: the label is empty; give one or remove the line")
    label = check_label(row.label.strip(), where)
    if label == UNSORTED:
        raise DatasetError(
            f"{where}: {UNSORTED} is not a class; give the photo its label, {UNKNOWN} if it has no "
            "class, or remove the line"
        )
    if not row.path.strip() or "\0" in row.path:
        raise DatasetError(f"{where}: the path is empty or not a path; correct or remove the line")
    if _ADDRESS.match(row.path):
        raise DatasetError(
            f"{where}: {row.path} is a URL; download the photo and give the file's path"
        )
    part = name_split(row.split or "")
    if part is None and (row.split or "").strip():
        raise DatasetError(
            f"{where}: unknown split {row.split!r}; expected train, val, test or nothing"
        )
    if "\\" in row.path and not (base / row.path).exists():
        raise DatasetError(
            f"{where}: {row.path} does not exist; write paths with / between folders, not \\"
        )
    path = _find_spelling(Path(os.path.normpath(base / row.path.strip())))
    if not path.is_relative_to(base) or path == base:
        raise DatasetError(
            f"{where}: {row.path} is not inside {base}; put the table into a folder that holds "
            "all its photos"
        )
    return Photo.list(base.resolve() / path.relative_to(base), base.resolve(), label, part)


def _find_spelling(path: Path) -> Path:
    """The path of a file whose name another system composed, or decomposed, on its way here."""
    if path.exists():
        return path
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((form for form in forms if form.exists()), path)


def _describe(photo: Photo) -> str:
    return f"{photo.label} in {photo.split}" if photo.split else photo.label
