"""Leftovers to remove at the end of the process, even a sudden one."""

import atexit
import os
import threading
from collections.abc import Callable
from typing import NoReturn

_lock = threading.Lock()
_removals: list[Callable[[], None]] = []


def add_cleanup(remove: Callable[[], None]) -> None:
    """Has something removed when the process ends.

    Args:
        remove: Must be quick and raise nothing; called on any thread.
    """
    with _lock:
        _removals.append(remove)


def drop_cleanup(remove: Callable[[], None]) -> None:
    """There is nothing to remove any more."""
    with _lock:
        if remove in _removals:
            _removals.remove(remove)


def end_now(code: int) -> NoReturn:
    """Ends the process from any thread, whatever the others hang in."""
    _remove_all()
    os._exit(code)


def _remove_all() -> None:
    for remove in tuple(_removals):
        remove()


atexit.register(_remove_all)
