"""Remarks on single reports, which become one finding where several reports deserve the same."""

from collections.abc import Iterable
from typing import NamedTuple

from edgetl.reporting.findings import Finding, Kind


class Remark(NamedTuple):
    """A finding about one report.

    Attributes:
        kind: Kind of the finding.
        headline: Its headline; remarks with the same one are merged.
        file: Name of the report's file.
        sentence: What there is to say, without a subject of its own; no full stop.
    """

    kind: Kind
    headline: str
    file: str
    sentence: str


def merge_remarks(remarks: Iterable[Remark]) -> list[Finding]:
    """One finding for each headline, in the order of the first; its detail lists the files."""
    found: dict[tuple[Kind, str], dict[str, list[str]]] = {}
    for one in remarks:
        sentences = found.setdefault((one.kind, one.headline), {})
        sentences.setdefault(one.sentence, []).append(one.file)
    return [
        Finding(
            kind,
            headline,
            "; ".join(f"{', '.join(files)}: {sentence}" for sentence, files in sentences.items()),
        )
        for (kind, headline), sentences in found.items()
    ]
