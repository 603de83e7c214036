"""Takes another model into use while the old one goes on giving answers."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from edgetl_runtime.errors import EdgetlError

if TYPE_CHECKING:
    from edgetl_runtime.classifier import Classifier

LOOK_EVERY_S: Final = 1.0
_CLOSE_S: Final = 2.0
Load = Callable[[], "Classifier | None"]


class Reloader:
    """Runs one job after the other on a thread of its own; each may bring another classifier.

    Attributes:
        problem: Why the last job failed, one sentence; empty if it did not.
    """

    def __init__(
        self,
        take: Callable[["Classifier"], None],
        *,
        on_begin: Callable[[], None] = lambda: None,
        on_end: Callable[[str], None] = lambda problem: None,
        look: "Callable[[], Load | None]" = lambda: None,
    ) -> None:
        """Starts the thread.

        Args:
            take: Gets each new classifier, such as `Pipeline.swap`.
            on_begin: Called on the thread before each job.
            on_end: Called on the thread after each job, with what went wrong or nothing.
            look: Called on the thread every second while there is no job: a job that nobody
                requested, since something has changed, or None.
        """
        self.problem = ""
        self._take = take
        self._on_begin = on_begin
        self._on_end = on_end
        self._look = look
        self._jobs: deque[Load] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="reload", daemon=True)
        self._thread.start()

    def request(self, load: Load) -> None:
        """Has a job done; a job that waits already is done once.

        Args:
            load: Returns the classifier to take, or None to keep the old one; may take minutes.
        """
        with self._changed:
            if load not in self._jobs:
                self._jobs.append(load)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the job in hand, or leaves it behind if that takes long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while not self._closing:
            job = self._next()
            if job is None:
                continue
            self.problem = self._do(job)
            # Standard error may have gone, which is no reason to hear no further request.
            with contextlib.suppress(OSError, ValueError):
                self._on_end(self.problem)

    def _do(self, job: Load) -> str:
        """What went wrong, one sentence."""
        try:
            self._on_begin()
            classifier = job()
            if classifier is not None:
                self._take(classifier)
        except EdgetlError as error:
            return str(error)
        except MemoryError:
            return "not enough memory for a second model"
        except Exception as error:  # noqa: BLE001 - the thread must outlive what nobody foresaw
            return f"the reload failed ({type(error).__name__}: {error}); please report it"
        return ""

    def _next(self) -> Load | None:
        """A job; None if there is none yet, or no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._jobs, LOOK_EVERY_S)
            if self._closing:
                return None
            if self._jobs:
                return self._jobs.popleft()
        # Whoever requests a job must not wait for a disk.
        with contextlib.suppress(EdgetlError, OSError, MemoryError):
            return self._look()
        return None
