"""What a file and its lessons know together: the outputs, and the head fitted for them.

Nothing of this is stored: it follows from the bundle and the overlay, in a fraction of a second.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.learning.head import fit_head, soften, standardize
from edgetl_runtime.learning.overlay_format import Features
from edgetl_runtime.learning.unknown import Familiar, find_unknown_logit, merge_unknown, remember
from edgetl_runtime.prediction import Scores

UNKNOWN: Final = "unknown"
_FOLDS: Final = 4
LOST_SHARE: Final = 0.01
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
        features = seen.features
        logits = features @ self.head.kernel + self.head.bias
        own = features @ self.own.kernel + self.own.bias
        if self.unknown is not None and seen.scores.size > own.size:
            logits = merge_unknown(
                logits,
                self.unknown,
                find_unknown_logit(float(seen.scores[-1]), own),
                fitted=self.has_scene,
                known=self.familiar.knows(features),
            )
        return soften(logits, temperature)


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
    mean, scale = standardize(memory.rows[~memory.held_out].astype(np.float64))
    known = [one.features for one in lessons if one.label is not None]
    return Learned(
        labels=labels,
        unknown=unknown,
        head=head,
        own=own,
        familiar=remember(mean.astype(np.float32), scale.astype(np.float32), known),
        has_scene=any(one.label is None for one in lessons),
        held_back=held_back,
        kept=kept,
        lessons=len(lessons),
    )


def recall(
    memory: Memory, classes: Sequence[str], lessons: Sequence[Taught], unknown_label: str = ""
) -> list[int]:
    """How many frames of each lesson get its label from a head that did not see them.

    Four times a quarter is held out, one after the other: neighbours are alike.
    """
    counts = [0] * len(lessons)
    for fold in range(_FOLDS):
        split = [_hold_out(one, fold) for one in lessons]
        found = learn(memory, classes, [rest for rest, _ in split], unknown_label)
        for n, (_, held) in enumerate(split):
            said = (held.features @ found.head.kernel + found.head.bias).argmax(axis=1)
            counts[n] += int((said == _find_index(found.labels, held)).sum())
    return counts


def find_confusion(
    memory: Memory, classes: Sequence[str], lessons: Sequence[Taught], unknown_label: str = ""
) -> str:
    """What frames of the last lesson are mostly taken for by heads that did not see them."""
    said: Counter[str] = Counter()
    for fold in range(_FOLDS):
        split = [_hold_out(one, fold) for one in lessons]
        found = learn(memory, classes, [rest for rest, _ in split], unknown_label)
        held = split[-1][1]
        best = (held.features @ found.head.kernel + found.head.bias).argmax(axis=1)
        said.update(found.labels[index] for index in best)
        del said[found.labels[_find_index(found.labels, held)]]
    return said.most_common(1)[0][0] if said else ""


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


def _find_index(labels: tuple[str, ...], lesson: Taught) -> int:
    return len(labels) - 1 if lesson.label is None else labels.index(lesson.label)
