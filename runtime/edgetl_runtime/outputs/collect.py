"""Collecting: frames worth a label, kept with what was said about them.

`edgetl data import` on the workstation turns such a folder into photos to train on. The phone's
page keeps the same pairs of files in one zip.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np

from edgetl_runtime.answers import Answer, AnswerRecord, Recorder
from edgetl_runtime.errors import UndeliveredError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.outputs.diverse import DiverseFrames, Known, encode_features
from edgetl_runtime.outputs.frame_clock import FrameClock
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.quota import QuotaFolder, encode_jpeg
from edgetl_runtime.outputs.worker import QUEUED
from edgetl_runtime.settings.sections import Collected, CollectSettings
from edgetl_runtime.text.wording import count_noun

FORMAT_VERSION = 4
READ_VERSIONS = (2, 3, 4)
"""Format 2 had no `corrected_label`, format 3 no `features`."""
_QUALITY = 95
_TOP = 5
_TRY_EVERY_S = 1.0
# The first that a frame is, names it.
_ORDER: tuple[Collected, ...] = ("rejected", "unsure", "diverse", "sampled")

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
        features: float16 (features,), little-endian: what the variant's last layer multiplies, by
            which alike frames are found; null unless diverse frames are collected.
        variant: Of the bundle, which made the features; empty without any.
    """

    format_version: int
    kinds: tuple[Kind, ...]
    bundle_sha256: str
    answer: AnswerRecord
    corrected_label: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    features: bytes | None = None
    variant: str = ""


class Collect(PlainOutput):
    """Keeps frames of the chosen kinds in a folder within a byte quota, the oldest out first.

    A kind adds at most one frame in `every_s`. Frames that were too old, or of one colour only,
    are of no use to anyone and are not kept. Whether a frame is diverse is found out when it is
    written, on the output's thread; where it is not, another one may be soon.
    """

    name = "collect"
    lossless = True

    def __init__(
        self,
        settings: CollectSettings,
        find_digest: Callable[[], str],
        find_known: Callable[[], Known] | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is written yet.

        Args:
            settings: Which frames, where to and how many.
            find_digest: SHA-256 of the bundle.json in use.
            find_known: What the model in use knows; without it no frame is diverse.
            note: Is told at the end how many frames were kept, one sentence.
        """
        self._note = note
        self._clock = FrameClock()
        self._settings, self._find_digest = settings, find_digest
        self._due_s = {kind: float("-inf") for kind in _ORDER if kind in settings.what}
        self._accepted: dict[int, list[Collected]] = {}
        self._kept: Counter[Collected] = Counter()
        self._stored = 0
        self._folder = QuotaFolder(Path(settings.folder), settings.quota_mb * 10**6)
        self._diverse: DiverseFrames | None = None
        if "diverse" in self._due_s and find_known:
            alone = len(self._due_s) == 1
            self._diverse = DiverseFrames(self._folder, find_known, alone=alone)
        self._recorder = Recorder(_TOP)

    def wants_picture(self) -> bool:
        """Whether any kind may add a frame again."""
        return bool(self._list_due(self._clock.read_next()))

    def accepts(self, answer: Answer) -> bool:
        """Frames of a kind that may add one again; counts them as added."""
        now_s = self._clock.advance(answer)
        if answer.picture is None or answer.stale or answer.low_information:
            return False
        due = self._list_due(now_s)
        fitting = [kind for kind in self._list_kinds(answer) if kind in due] if due else []
        self._due_s |= dict.fromkeys(fitting, now_s + self._settings.every_s)
        if fitting:
            self._accepted[answer.index] = fitting
            # What the queue dropped; the output's thread may take others away meanwhile.
            for index in list(self._accepted)[:-QUEUED]:
                self._accepted.pop(index, None)
        return bool(fitting)

    def write(self, answer: Answer) -> None:
        """Stores a frame and its record.

        Raises:
            OutputError: If they cannot be stored.
        """
        if answer.picture is None:
            return
        accepted = self._accepted.pop(answer.index, None)
        kinds, worth = self._list_kinds(answer), None
        others = tuple(kind for kind in kinds if kind != "diverse")
        if accepted == ["diverse"]:
            others = ()
        if self._diverse and "diverse" in kinds:
            worth = self._diverse.judge(answer.prediction)
            if worth is None:
                self._try_again()
                kinds = others
        if kinds and not self._store(answer, answer.picture, kinds, worth):
            self._try_again()
            if others:
                self._store(answer, answer.picture, others, None)

    def close(self) -> None:
        """Says how many frames were kept, and of each kind; one may be of several."""
        counts = ", ".join(f"{self._kept[kind]} {kind}" for kind in self._due_s)
        said = f"{count_noun(self._stored, 'frame')} kept in {self._settings.folder} ({counts})"
        # A folder that cannot be read was told of when it could not be written to.
        with suppress(UndeliveredError):
            if (there := len(self._folder.measure()[0])) != self._stored:
                said += f", which has {there} now"
        self._note(said)

    def _store(
        self,
        answer: Answer,
        picture: Frame,
        kinds: tuple[Collected, ...],
        worth: float | None,
    ) -> bool:
        """Whether it was stored: not if all diverse frames are worth more."""
        # Whoever labels a frame wants to know what it was taken for by itself.
        alone = msgspec.structs.replace(answer, smoothed=answer.prediction.scores)
        record = CollectedFrame(
            FORMAT_VERSION, kinds, self._find_digest(), self._recorder.describe(alone)
        )
        features = answer.prediction.features
        if self._diverse and features is not None:
            record = msgspec.structs.replace(
                record, features=encode_features(features), variant=self._diverse.variant
            )
        files = {
            ".jpg": encode_jpeg(picture, _QUALITY),
            ".json": msgspec.json.encode(record) + b"\n",
        }
        needed_bytes = sum(map(len, files.values()))
        if self._diverse and not self._diverse.make_room(needed_bytes, worth):
            return False
        number = self._folder.store((kinds[0], answer.prediction.label or "none"), files)
        self._stored += 1
        self._kept.update(kinds)
        if self._diverse and worth is not None:
            self._diverse.add(number, answer.prediction)
        return True

    def _try_again(self) -> None:
        """A frame that was not diverse keeps no other one waiting for long."""
        again_s = self._clock.read() + _TRY_EVERY_S
        self._due_s["diverse"] = min(self._due_s["diverse"], again_s)

    def _list_due(self, now_s: float) -> list[Collected]:
        return [kind for kind, due_s in self._due_s.items() if due_s <= now_s]

    def _list_kinds(self, answer: Answer) -> tuple[Collected, ...]:
        """What the frame is, of the kinds to be kept; follows from the answer alone."""
        return tuple(kind for kind in self._due_s if self._is(kind, answer))

    def _is(self, kind: Collected, answer: Answer) -> bool:
        if kind == "rejected":
            return answer.prediction.label is None
        if kind == "unsure":
            first, second = np.partition(answer.prediction.scores, -2)[[-1, -2]]
            return bool(first - second < self._settings.unsure_below)
        if kind == "diverse":
            return self._diverse is not None and answer.prediction.features is not None
        return True
