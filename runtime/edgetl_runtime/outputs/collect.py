"""Collecting: frames worth a label, kept with what was said about them.

`edgetl data import` on the workstation turns such a folder into photos to train on. The phone's
page keeps the same pairs of files in one zip.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np

from edgetl_runtime.answers import Answer, AnswerRecord, Recorder
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.quota import QuotaFolder, encode_jpeg
from edgetl_runtime.settings.sections import Collected, CollectSettings

FORMAT_VERSION = 3
READ_VERSIONS = (2, 3)
"""Format 2 had no `corrected_label`."""
_QUALITY = 95
_TOP = 5
# The first that a frame is, names it.
_ORDER: tuple[Collected, ...] = ("rejected", "unsure", "sampled")

Kind: TypeAlias = Collected | Literal["picked"]
"""Why a frame was kept; `picked`: a person wanted it."""


class CollectedFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record beside a kept frame: one line of JSON, of the same name but for its end.

    Attributes:
        format_version: Of this record.
        kinds: All that the frame is, of those that were to be kept; the most telling one first.
        bundle_sha256: Of the bundle.json that answered.
        answer: What was said about the frame, and when; `top` is of the frame alone.
        corrected_label: What a person says that it is: a label of the bundle or another one, or
            `_unknown_` for none of the classes; null if nobody looked at it.
    """

    format_version: int
    kinds: tuple[Kind, ...]
    bundle_sha256: str
    answer: AnswerRecord
    corrected_label: Annotated[str, msgspec.Meta(min_length=1)] | None = None


class Collect(PlainOutput):
    """Keeps frames of the chosen kinds in a folder within a byte quota, the oldest out first.

    A kind adds at most one frame in `every_s`. Frames that were too old, or of one colour only,
    are of no use to anyone and are not kept.
    """

    name = "collect"
    lossless = True

    def __init__(self, settings: CollectSettings, find_digest: Callable[[], str]) -> None:
        """Nothing is written yet.

        Args:
            settings: Which frames, where to and how many.
            find_digest: SHA-256 of the bundle.json in use.
        """
        self._settings, self._find_digest = settings, find_digest
        self._kept_s = {kind: float("-inf") for kind in _ORDER if kind in settings.what}
        self._folder = QuotaFolder(Path(settings.folder), settings.quota_mb * 10**6)
        self._recorder = Recorder(_TOP)

    def wants_picture(self) -> bool:
        """Whether any kind may add a frame again."""
        return bool(self._list_due())

    def accepts(self, answer: Answer) -> bool:
        """Frames of a kind that may add one again; counts them as added."""
        if answer.picture is None or answer.stale or answer.low_information:
            return False
        due = self._list_due()
        fitting = [kind for kind in self._list_kinds(answer) if kind in due] if due else []
        self._kept_s |= dict.fromkeys(fitting, time.monotonic())
        return bool(fitting)

    def write(self, answer: Answer) -> None:
        """Stores a frame and its record.

        Raises:
            OutputError: If they cannot be stored.
        """
        if answer.picture is None:
            return
        kinds = self._list_kinds(answer)
        # Whoever labels a frame wants to know what it was taken for by itself.
        alone = msgspec.structs.replace(answer, smoothed=answer.prediction.scores)
        record = CollectedFrame(
            FORMAT_VERSION, kinds, self._find_digest(), self._recorder.describe(alone)
        )
        files = {
            ".jpg": encode_jpeg(answer.picture, _QUALITY),
            ".json": msgspec.json.encode(record) + b"\n",
        }
        self._folder.store((kinds[0], answer.prediction.label or "none"), files)

    def _list_due(self) -> list[Collected]:
        before_s = time.monotonic() - self._settings.every_s
        return [kind for kind, kept_s in self._kept_s.items() if kept_s <= before_s]

    def _list_kinds(self, answer: Answer) -> tuple[Collected, ...]:
        """What the frame is, of the kinds to be kept; follows from the answer alone."""
        return tuple(kind for kind in self._kept_s if self._is(kind, answer))

    def _is(self, kind: Collected, answer: Answer) -> bool:
        if kind == "rejected":
            return answer.prediction.label is None
        if kind == "unsure":
            first, second = np.partition(answer.prediction.scores, -2)[[-1, -2]]
            return bool(first - second < self._settings.unsure_below)
        return True
