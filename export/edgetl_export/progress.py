"""How long work reports that it moves, without knowing who looks."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items on and shows how far it is."""

    def __call__(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        """Yields the items of an iterable of `total` items."""
        ...


def within(track: Track, step: str) -> Track:
    """The same, for work that is part of a step, which each description begins with."""

    def tracked(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        return track(items, f"{step}: {description}", total)

    return tracked


def silent(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Passes items on and shows nothing."""
    yield from items
