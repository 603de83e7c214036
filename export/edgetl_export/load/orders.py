"""Orders: in which other order the labels of a model may be than somebody said."""

import re
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
# As much as half a photo: where photos say nothing, a label stays where it is.
_INERTIA = 0.5


class LabelOrder(msgspec.Struct, frozen=True):
    """One order.

    Attributes:
        words: For people, after `with the labels`.
        places: Of each output, the index of its label in the list that was given.
    """

    words: str
    places: tuple[int, ...]

    def read(self, named: Indices) -> Indices:
        """Indices of labels, for indices of outputs."""
        return np.array(self.places, np.int64)[named]


def list_orders(labels: Sequence[str]) -> tuple[LabelOrder, ...]:
    """The orders that labels get by the habits of people and programs, each once.

    Programs that take a class from a folder sort by name, character by character, so that `10` is
    before `2`; a network with a first output for the background is one label ahead.
    """
    count = len(labels)
    places = range(count)
    found = {tuple(places): ""}
    for words, order in (
        ("in alphabetical order", _sort(places, lambda n: labels[n])),
        ("in alphabetical order, ignoring case", _sort(places, lambda n: labels[n].lower())),
        ("in the order of their numbers", _sort(places, lambda n: _split_numbers(labels[n]))),
        ("in reverse", tuple(reversed(places))),
        ("in the order 0, 1, 10, 11, ..., 2", _sort(places, str)),
        ("in the order 1, 10, 11, ..., 2", _sort(places, lambda n: str(n + 1))),
        ("taken out of the order 0, 1, 10, 11, ..., 2", _invert(_sort(places, str))),
        ("taken out of the order 1, 10, 11, ..., 2", _invert(_sort(places, lambda n: str(n + 1)))),
        ("one line later, after one for the background", (count - 1, *range(count - 1))),
        ("one line earlier, without the first line", (*range(1, count), 0)),
    ):
        found.setdefault(order, words)
    return tuple(LabelOrder(words, order) for order, words in found.items() if words)


def fit_order(named: Indices, truth: Indices, classes: int) -> LabelOrder:
    """The order by which most photos are classified correctly, among labels that have photos.

    Args:
        named: Output with the highest score of each photo, (photos,).
        truth: Index of each photo's label, (photos,).
        classes: Number of labels.
    """
    from scipy.optimize import linear_sum_assignment

    present = np.unique(truth)
    known = np.isin(named, present)
    counts = np.zeros((len(present), len(present)))
    rows, columns = (np.searchsorted(present, one[known]) for one in (named, truth))
    np.add.at(counts, (rows, columns), 1)
    outputs, labels = linear_sum_assignment(counts + _INERTIA * np.eye(len(present)), maximize=True)
    places = np.arange(classes)
    places[present[outputs]] = present[labels]
    return LabelOrder("", tuple(places.tolist()))


def find_moved(order: LabelOrder) -> list[int]:
    """Outputs whose label is another one than was said."""
    return [output for output, label in enumerate(order.places) if output != label]


def _sort(places: range, key: Callable[[int], object]) -> tuple[int, ...]:
    return tuple(sorted(places, key=key))  # type: ignore[arg-type]


def _invert(places: Sequence[int]) -> tuple[int, ...]:
    return tuple(np.argsort(places).tolist())


def _split_numbers(label: str) -> list[tuple[int, str]]:
    """Sorts `part 2` before `part 10`."""
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in re.split(r"(\d+)", label)]
