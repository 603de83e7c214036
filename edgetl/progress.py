"""Progress: shown to nobody, at a terminal, or to a program."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias, TypeVar

from edgetl_export.progress import shown

T = TypeVar("T")
# Called with a description, how many items are done, and how many there are, if that is known.
ProgressCallback: TypeAlias = Callable[[str, int, int | None], None]
Progress: TypeAlias = bool | ProgressCallback


def follow(progress: Progress) -> AbstractContextManager[None]:
    """Reports progress while a block runs.

    Args:
        progress: True: a bar on stderr, if that is a terminal. A function: called with a
            description, the number of items done, and the number of all (None: unknown), before
            the first item and after each. False: nothing is changed.
    """
    if progress is False:
        return nullcontext()
    return shown(show_bar if progress is True else _Caller(progress))


def show_bar(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Shows a progress bar on stderr, if that is a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    yield from progress.track(
        items,
        description,
        total=total,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


class _Caller:
    """Calls a function of the user's."""

    def __init__(self, call: ProgressCallback) -> None:
        self._call = call

    def __call__(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        self._call(description, 0, total)
        for done, item in enumerate(items, 1):
            yield item
            self._call(description, done, total)
