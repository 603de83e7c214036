"""What a file and its lessons know together: the outputs, and the head fitted for them.

Nothing of this is stored: it follows from the bundle and the overlay, in a fraction of a second.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.learning.head import fit_head, soften
from edgetl_runtime.learning.overlay_format import Features
from edgetl_runtime.learning.unknown import (
    NEVER,
    Familiar,
    Take,
    find_unknown_logit,
    merge_unknown,
    remember,
)
from edgetl_runtime.prediction import Scores

UNKNOWN: Final = "unknown"
_FOLDS: Final = 4
LOST_SHARE: Final = 0.01
LEAST_RECALL: Final = 0.25
# Of one output; more would make fitting slow, and opening a bundle with it.
_MOST_ROWS: Final = 100
_OFFSETS: Final = tuple(round(0.1 * n, 1) for n in range(81))
# What is left of a change that cost the classes accuracy, whatever its offset.
_SHARES: Final = (1.0, 0.75, 0.5, 0.25)

Indices = NDArray[np.intp]


class Taught(msgspec.Struct, frozen=True, eq=False):
    """The frames of a lesson, as a head learns from them.

    Attributes:
        label: What is on them; None: nothing that is known.
        features: float32 (frames, features).
    """

    label: str | None
    features: Features


class Recalled(msgspec.Struct, frozen=True):
    """What heads that did not see them say of the frames of a lesson.

    Attributes:
        frames: How many there are.
        correct: How many are classified correctly.
        confusion: What most of the others are taken for; empty if there are none.
    """

    frames: int
    correct: int
    confusion: str

    @property
    def least(self) -> int:
        """How many must be correct."""
        return math.ceil(LEAST_RECALL * self.frames)

    @property
    def is_lost(self) -> bool:
        """Whether too few are."""
        return self.correct < self.least


class Kept(msgspec.Struct, frozen=True):
    """Whether the classes of the file keep their accuracy, on validation photos.

    Attributes:
        photos: How many validation photos the bundle has features of.
        before: How many the file's own head gets right.
        after: How many the fitted head gets right.
        may_lose: By how many the second may be lower.
    """

    photos: int
    before: int
    after: int
    may_lose: int

    @property
    def ok(self) -> bool:
        """Whether no more are lost than may be."""
        return self.before - self.after <= self.may_lose


class Learned(msgspec.Struct, frozen=True, eq=False):
    """A fitted head and the names of its outputs.

    Attributes:
        labels: The classes of the file, then what was taught, then unknown, if anything is.
        unknown: Index of the unknown output; None if there is none.
        head: The fitted head.
        own: The file's own head.
        familiar: What known things look like here.
        has_scene: Whether lessons showed the place without anything known.
        held_back: What was taken from the logits of all that was taught, so that the classes of the
            file keep their accuracy.
        kept: Whether they do.
        lessons: How many it was fitted with.
    """

    labels: tuple[str, ...]
    unknown: int | None
    head: Head
    own: Head
    familiar: Familiar
    has_scene: bool
    held_back: float
    kept: Kept
    lessons: int

    def score(self, seen: Seen, temperature: float) -> Scores:
        """The scores of a frame.

        Args:
            seen: What the engine returned, with features.
            temperature: Of the file.

        Returns:
            float32 (outputs,), probabilities.
        """
        own = seen.features @ self.own.kernel + self.own.bias
        has_own = seen.scores.size > own.size
        said = find_unknown_logit(float(seen.scores[-1]), own) if has_own else NEVER
        return soften(self.find_logits(seen.features[np.newaxis], said)[0], temperature)

    def find_logits(self, features: Features, said: float = NEVER) -> Features:
        """The logits of frames.

        Args:
            features: float32 (frames, features).
            said: The logit of unknown by the file itself; by default it says nothing of it.

        Returns:
            float32 (frames, outputs).
        """
        logits: Features = features @ self.head.kernel + self.head.bias
        if self.unknown is None:
            return logits
        return merge_unknown(
            logits,
            self.unknown,
            said,
            classes=self.own.bias.size,
            familiar=self.familiar.find(features, len(self.labels)),
            fitted=self.has_scene,
        )


def learn(
    memory: Memory, classes: Sequence[str], lessons: Sequence[Taught], unknown_label: str = ""
) -> Learned:
    """Fits a head with all lessons.

    Args:
        memory: The file's.
        classes: Its labels.
        lessons: All of them, in their order.
        unknown_label: Name of the file's unknown output; empty if it has none.
    """
    labels, unknown = name_outputs(classes, lessons, unknown_label)
    own = memory.head
    rows, truth = _gather(memory, labels, lessons)
    stored = int((~memory.held_out).sum())
    taught = {_find_index(labels, one) for one in lessons}
    others = set(range(len(labels))) - taught
    fitted = fit_head(own, rows, truth, len(labels), stored, others)
    held_back, head, kept = _hold_back(fitted, memory)
    known = [one for one in lessons if one.label is not None]
    return Learned(
        labels=labels,
        unknown=unknown,
        head=head,
        own=own,
        familiar=remember(
            rows[:stored],
            truth[:stored],
            [Take(_find_index(labels, one), one.features) for one in known],
        ),
        has_scene=any(one.label is None for one in lessons),
        held_back=held_back,
        kept=kept,
        lessons=len(lessons),
    )


def recall(
    memory: Memory, classes: Sequence[str], lessons: Sequence[Taught], unknown_label: str = ""
) -> list[Recalled]:
    """What heads that did not see them say of the frames of each lesson.

    Four times a quarter is held out, one after the other: neighbours are alike.
    """
    said: list[Counter[str]] = [Counter() for _ in lessons]
    for fold in range(_FOLDS):
        split = [_hold_out(one, fold) for one in lessons]
        found = learn(memory, classes, [rest for rest, _ in split], unknown_label)
        for n, (_, held) in enumerate(split):
            best = found.find_logits(held.features).argmax(axis=1)
            said[n].update(found.labels[index] for index in best)
    labels, _ = name_outputs(classes, lessons, unknown_label)
    return [
        _sum_up(counts, labels[_find_index(labels, one)])
        for counts, one in zip(said, lessons, strict=True)
    ]


def spread(count: int, most: int) -> list[int]:
    """Indices of at most so many items, evenly spaced, the first and the last among them."""
    places = np.linspace(0, count - 1, min(count, most))
    return [round(place) for place in places]


def name_outputs(
    classes: Sequence[str], lessons: Sequence[Taught], unknown_label: str = ""
) -> tuple[tuple[str, ...], int | None]:
    """The names of the outputs, and the index of the unknown one."""
    taught = [one.label for one in lessons if one.label is not None]
    labels = tuple(dict.fromkeys([*classes, *taught]))
    if unknown_label or any(one.label is None for one in lessons):
        return (*labels, unknown_label or UNKNOWN), len(labels)
    return labels, None


def _gather(
    memory: Memory, labels: tuple[str, ...], lessons: Sequence[Taught]
) -> tuple[Features, Indices]:
    """The rows to fit on, and the index of each one's output; bounded for each output."""
    fits = ~memory.held_out
    groups: dict[int, list[Features]] = {}
    for one in lessons:
        groups.setdefault(_find_index(labels, one), []).append(one.features)
    rows = [memory.rows[fits].astype(np.float32)]
    truth = [memory.classes[fits].astype(np.intp)]
    for index, takes in groups.items():
        shown = np.concatenate(takes)
        chosen = shown[spread(len(shown), _MOST_ROWS)]
        rows.append(chosen)
        truth.append(np.full(len(chosen), index))
    return np.concatenate(rows), np.concatenate(truth)


def _hold_back(head: Head, memory: Memory) -> tuple[float, Head, Kept]:
    """Takes so little from what was taught that the classes keep their accuracy, if anything does.

    A thing that looks like one of the classes wins photos of it; with a lower logit it wins fewer.
    Where that does not help, as with other looks of a class, the head changes less.
    """
    rows = memory.rows[memory.held_out].astype(np.float32)
    truth = memory.classes[memory.held_out]
    before = int(((rows @ memory.kernel + memory.bias).argmax(axis=1) == truth).sum())
    # Of fewer than a hundred, a single one is more than a point, and nothing finer can be seen.
    may_lose = max(1, int(LOST_SHARE * len(rows)))
    start = Head(memory.kernel, memory.bias).widen(head.bias.size)
    tried: list[tuple[float, Head, Kept]] = []
    for share in _SHARES:
        mixed = start.mix(head, share)
        logits = rows @ mixed.kernel + mixed.bias
        for offset in _OFFSETS if head.bias.size > memory.bias.size else (0.0,):
            lower = logits.copy()
            lower[:, memory.bias.size :] -= np.float32(offset)
            after = int((lower.argmax(axis=1) == truth).sum())
            kept = Kept(len(rows), before, after, may_lose)
            tried.append((offset, mixed, kept))
            if kept.ok:
                return offset, mixed.lower(memory.bias.size, offset), kept
    # Where nothing helps, the figures are those of the head as it was fitted.
    offset, fitted, kept = tried[0]
    return offset, fitted, kept


def _hold_out(lesson: Taught, fold: int) -> tuple[Taught, Taught]:
    """A lesson without a quarter of its frames, and that quarter."""
    held = np.arange(len(lesson.features)) * _FOLDS // len(lesson.features) == fold
    rest, part = lesson.features[~held], lesson.features[held]
    return Taught(lesson.label, rest), Taught(lesson.label, part)


def _sum_up(said: Counter[str], own: str) -> Recalled:
    others = [one for one in said.most_common() if one[0] != own]
    return Recalled(said.total(), said[own], others[0][0] if others else "")


def _find_index(labels: tuple[str, ...], lesson: Taught) -> int:
    return len(labels) - 1 if lesson.label is None else labels.index(lesson.label)
