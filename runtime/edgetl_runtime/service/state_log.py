"""Tells a person, or a log, when the state changes."""

import time
from collections.abc import Callable
from typing import Final

from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.text.wording import count_noun

_UPDATE_EVERY_S: Final = 1.0


class StateLog:
    """Reads the state once a second and tells of each change.

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
        self._notes: set[str] = set()
        self._updated_s = time.monotonic()

    def update(self) -> None:
        """Reads the state if it is time to; called each time the loop goes round."""
        now_s = time.monotonic()
        if now_s - self._updated_s < _UPDATE_EVERY_S:
            return
        self._updated_s = now_s
        status = self._read()
        self._tell_notes(status.feed)
        if status.state in (self._told, "starting"):
            return
        self._told = status.state
        self._warn(f"{status.state}: {status.reason}" if status.reason else status.state)

    def sum_up(self, answered: int, feed: FeedStatus) -> None:
        """Tells at the end how many frames were answered, and how many were not."""
        self._tell_notes(feed)
        bad = ", ".join(f"{count} {reason}" for reason, count in feed.bad.items())
        parts = [
            count_noun(answered, "answer"),
            f"{count_noun(feed.dropped, 'older frame')} dropped",
        ]
        if withheld := self._read().withheld:
            # Too old, or of a camera that stands still; each has a line, but no label.
            parts.insert(1, f"{withheld} without a label as too old")
        parts += [f"{count} with {what}" for what, count in sorted(feed.odd.items())]
        parts += [f"not used: {bad}"] if bad else []
        self._warn(", ".join(parts))

    def _tell_notes(self, feed: FeedStatus) -> None:
        """Tells once of each part of a source that is not used."""
        for note in feed.notes:
            if note not in self._notes:
                self._notes.add(note)
                self._warn(note)
