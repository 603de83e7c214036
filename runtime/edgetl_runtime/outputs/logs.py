"""Files of answers: JSON lines and CSV."""

import codecs
import csv
import io
from pathlib import Path

from edgetl_runtime.answers import Answer, AnswerRecord, Recorder, encode_line
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.rotation import RotatingFile
from edgetl_runtime.text.printable import keep_on_line

_EVENT = ("event_number", "event_label", "event_previous", "event_score", "event_time")
# Also in their full width, which spreadsheets in some languages take, too.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_OWN = ("size_px", "top", "event")
# Before records had a version, they began with the other one.
_FIRST = ("version", "boot_id")


class _Log(PlainOutput):
    """Appends a line for each answer, or for each event.

    Attributes:
        beginnings: One of these begins each file that is ours, whatever version wrote it.
    """

    lossless = True
    beginnings: tuple[bytes, ...]

    def __init__(self, file: RotatingFile, top: int, *, only_events: bool) -> None:
        self._file = file
        self._recorder = Recorder(top)
        self._only_events = only_events

    def accepts(self, answer: Answer) -> bool:
        """Events only, if that is what was asked for."""
        return answer.event is not None or not self._only_events

    def write(self, answer: Answer) -> None:
        """Appends a line.

        Raises:
            UndeliveredError: If it cannot be written.
        """
        self._file.append(self._encode(self._recorder.describe(answer)))

    def open_pipe(self) -> None:
        """See `RotatingFile.open_pipe`."""
        self._file.open_pipe()

    def close(self) -> None:
        """Flushes and closes the file.

        Raises:
            OutputError: If the disk refuses.
        """
        self._file.close()

    def _encode(self, record: AnswerRecord) -> bytes:
        raise NotImplementedError


class JsonLines(_Log):
    """A line of JSON for each answer; see `answers.AnswerRecord`."""

    name = "jsonl"
    beginnings = tuple(f'{{"{name}"'.encode() for name in _FIRST)

    def __init__(self, path: Path, top: int, quota_bytes: int, *, only_events: bool) -> None:
        """Args: path: To append to. quota_bytes: Size at which it is set aside."""
        super().__init__(RotatingFile(path, quota_bytes), top, only_events=only_events)

    def _encode(self, record: AnswerRecord) -> bytes:
        return encode_line(record)


class CsvRows(_Log):
    """A row for each answer: the fields of an `AnswerRecord`, top and event flat."""

    name = "csv"
    beginnings = tuple(
        mark + f"{name},".encode() for name in _FIRST for mark in (b"", codecs.BOM_UTF8)
    )

    def __init__(
        self, path: Path, top: int, quota_bytes: int, *, only_events: bool, mark: bool = False
    ) -> None:
        """Nothing is opened yet.

        Args:
            path: To append to.
            top: Labels to list.
            quota_bytes: Size at which it is set aside.
            only_events: No other answers.
            mark: Begin with a byte order mark, by which Excel tells UTF-8.
        """
        self._top = top
        header = (codecs.BOM_UTF8 if mark else b"") + _encode_row(list_columns(top))
        file = RotatingFile(path, quota_bytes, header=header)
        super().__init__(file, top, only_events=only_events)

    def _encode(self, record: AnswerRecord) -> bytes:
        plain = [getattr(record, name) for name in _plain_columns()]
        best = [value for one in record.top for value in (one.label, one.score)]
        missing = [None] * (2 * self._top - len(best))
        event = record.event
        change = (
            [event.number, event.label, event.previous, event.score, event.time] if event else []
        )
        return _encode_row([*plain, *best, *missing, *(change or [None] * len(_EVENT))])


def list_columns(top: int) -> list[str]:
    """The names of the columns, for a number of listed labels."""
    best = [name for n in range(1, top + 1) for name in (f"top{n}_label", f"top{n}_score")]
    return [*_plain_columns(), *best, *_EVENT]


def _plain_columns() -> list[str]:
    return [name for name in AnswerRecord.__struct_fields__ if name not in _OWN]


def _make_cell(value: object) -> object:
    """A value that ends no line, and that no spreadsheet takes for a formula.

    Labels and names of files are other people's words; `=HYPERLINK(...)` would be run by whoever
    opens the file. An apostrophe in front makes it text.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = keep_on_line(value)
    return f"'{text}" if len(text) > 1 and text.lstrip()[:1] in _FORMULA else text


def _encode_row(values: list[object] | list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_make_cell(value) for value in values])
    return text.getvalue().encode("utf-8", "backslashreplace")
