"""How long work reports that it moves, without knowing who looks.

`track` stands around a loop, however deep; whoever wants to see it puts `shown` around the call.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Show(Protocol):
    """Passes items on and shows how far it is."""

    def __call__(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        """Yields the items of an iterable of `total` items; None: nobody knows how many."""
        ...


def hide(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Passes items on and shows nothing."""
    yield from items


_SHOW: ContextVar[Show] = ContextVar("show", default=hide)
_STEP: ContextVar[str] = ContextVar("step", default="")


def track(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Passes items on, and shows how far it is if somebody looks."""
    return _SHOW.get()(items, _STEP.get() + description, total)


@contextmanager
def shown(show: Show) -> Iterator[None]:
    """Shows what is tracked while the block runs, on this thread."""
    token = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(token)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Puts a title before each description while the block runs, on this thread."""
    token = _STEP.set(f"{_STEP.get()}{title}: ")
    try:
        yield
    finally:
        _STEP.reset(token)
