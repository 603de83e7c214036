"""Waiting for what happens on another thread or in another process."""

import time
from collections.abc import Callable

# So long that only what hangs takes longer, also on a busy machine.
HANG_S = 60.0


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Waits until something is true.

    Args:
        condition: Asked every hundredth of a second.
        what: What should happen, for the message.

    Raises:
        AssertionError: If it did not become true within a minute: it hangs.
    """
    deadline_s = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen"
        time.sleep(0.01)
