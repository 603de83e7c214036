"""A benchmark's file: read with care, and described by `benchmark.schema.json`."""

import stat
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from edgetl_runtime.benchmarking.path_record import PathBenchmark
from edgetl_runtime.benchmarking.record import (
    FORMAT_VERSION,
    Benchmark,
    BoardBenchmark,
    BrowserBenchmark,
)
from edgetl_runtime.benchmarking.survey_record import Survey
from edgetl_runtime.errors import BenchmarkError

Report: TypeAlias = BoardBenchmark | BrowserBenchmark | PathBenchmark | Survey

_LIMIT_BYTES: Final = 64 * 2**20
_AGAIN: Final = (
    "write it again with: edgetl-run bench --out FILE, or the benchmark of the phone's page"
)


class _Version(msgspec.Struct):
    # Other formats of ours have a version, too, but no kind.
    kind: str
    format_version: int


def read_report(path: Path) -> Report:
    """Reads a report of any kind.

    Raises:
        BenchmarkError: If the file is missing, damaged, no report, of a newer format, or holds
            what cannot be true; the message names it.
    """
    data = _read(path)
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version != FORMAT_VERSION:
            raise BenchmarkError(
                f"{path} has format {version}, this edgetl reads {FORMAT_VERSION}; "
                + ("upgrade edgetl" if version > FORMAT_VERSION else _AGAIN)
            )
        found: Report = msgspec.json.decode(data, type=Report)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not a benchmark report: {error}; {_AGAIN}") from error
    if fault := found.find_fault():
        raise BenchmarkError(f"{path} cannot be true: {fault}; {_AGAIN}")
    return found


def read_benchmark(path: Path) -> Benchmark:
    """Reads the report of one variant with one number of threads.

    Raises:
        BenchmarkError: As `read_report`; or if it is a survey, or of a whole path.
    """
    return expect_benchmark(path, read_report(path))


def expect_benchmark(path: Path, found: Report) -> Benchmark:
    """What was read from a file, if it is of one variant with one number of threads.

    Raises:
        BenchmarkError: If it is a survey, or of a whole path; the message names the file.
    """
    if isinstance(found, PathBenchmark):
        raise BenchmarkError(
            f"{path} is of a whole path (bench --source), expected the report of one variant; "
            "write one with: edgetl-run bench BUNDLE --out FILE"
        )
    if isinstance(found, Survey):
        raise BenchmarkError(
            f"{path} is of bench --all, expected the report of one variant; write one with: "
            "edgetl-run bench --variant NAME --threads N --out FILE"
        )
    return found


def read_survey(path: Path) -> Survey:
    """Reads what `bench --all` wrote.

    Raises:
        BenchmarkError: As `read_report`; or if it is not a survey.
    """
    found = read_report(path)
    if not isinstance(found, Survey):
        raise BenchmarkError(
            f"{path} is not a report of bench --all; write one with: "
            "edgetl-run bench BUNDLE --all --out FILE"
        )
    return found


def describe_schema() -> bytes:
    """The JSON Schema of a report, as `benchmark.schema.json` holds it."""
    (report,), known = msgspec.json.schema_components((Report,), ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A benchmark of edgetl-run or of the phone's page",
        **report,
        "$defs": known,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _read(path: Path) -> bytes:
    try:
        # A device or a pipe would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BenchmarkError(f"{path} is not a file; give a report: {_AGAIN}")
        with path.open("rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read ({error.strerror}); {_AGAIN}") from error
    if len(data) > _LIMIT_BYTES:
        raise BenchmarkError(f"{path} is larger than {_LIMIT_BYTES >> 20} MiB; {_AGAIN}")
    return data
