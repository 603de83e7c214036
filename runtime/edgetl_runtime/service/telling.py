"""Tells a person, or a log, when the state changes."""

import time
from collections.abc import Callable
from typing import Final

from edgetl_runtime.pipeline.status import Status

_LOOK_EVERY_S: Final = 1.0


class StateTeller:
    """Looks at the state once a second and tells of each other one.

    A camera that is opened in vain again and again is told of once, not each time.
    """

    def __init__(self, read: Callable[[], Status], warn: Callable[[str], None]) -> None:
        """Nothing was told yet.

        Args:
            read: Says how all is, such as `Pipeline.status`.
            warn: Gets one sentence.
        """
        self._read = read
        self._warn = warn
        self._told = "ok"
        self._looked_s = time.monotonic()

    def look(self) -> None:
        """Looks if it is time to; called each time the loop goes round."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        status = self._read()
        if status.state in (self._told, "starting"):
            return
        self._told = status.state
        self._warn(f"{status.state}: {status.reason}" if status.reason else status.state)
