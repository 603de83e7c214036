"""The lessons of a service's model: where they lie, and whether another program changed them.

Light to import, as the service is: what it asks is imported when it is asked.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetl_runtime.bundle.reader import Bundle


class LessonWatch:
    """Notices lessons that were taught or undone beside a service that runs."""

    def __init__(self, configured: str | None) -> None:
        """Nothing is read yet.

        Args:
            configured: The bundle of the settings; people teach that one, and a store runs a copy.
        """
        self._configured = configured
        # What was looked at last need not be in use: it may be damaged.
        self._seen = ("", "")
        self._used: tuple[str, str] | None = None

    def find_place(self, bundle: "Bundle") -> Path:
        """The bundle beside which lessons are kept."""
        from edgetl_runtime.learning.place import choose_place

        return choose_place(Path(self._configured or bundle.path), bundle.path)

    def find_left_out(self, bundle: "Bundle") -> str:
        """What is learned twice, one sentence; empty if nothing is."""
        from edgetl_runtime.learning.place import find_left_out

        return find_left_out(Path(self._configured or bundle.path), bundle.path)

    def note_reading(self, bundle: "Bundle") -> None:
        """To be called before lessons are read: what changes meanwhile has then changed."""
        self._seen = self._look(bundle)

    def note_used(self, *, whole: bool) -> None:
        """The lessons that were read answer from now on, if they were whole; else none do."""
        self._used = self._seen if whole else None

    def has_changed(self, bundle: "Bundle") -> bool:
        """Whether there are others than those that were read last; reads one small file."""
        return self._look(bundle) != self._seen

    def is_used(self, bundle: "Bundle") -> bool:
        """Whether those that there are answer already."""
        return self._look(bundle) == self._used

    def _look(self, bundle: "Bundle") -> tuple[str, str]:
        """By which a change is seen, also that somebody taught where nobody looks."""
        from edgetl_runtime.learning.overlay import digest_overlay

        return digest_overlay(self.find_place(bundle)), self.find_left_out(bundle)
