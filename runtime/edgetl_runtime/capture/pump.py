"""Hands what arrives to FFmpeg, which reads a pipe as it would read an address."""

import http.client
import os
import threading
from collections.abc import Callable

from edgetl_runtime.capture.web import explain_break


class Pump:
    """A thread that copies into a pipe until either end is through.

    Attributes:
        address: What FFmpeg opens.
        failure: Why no more came, or empty.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        """Begins to copy.

        Args:
            read: Waits for some bytes; none at the end.
        """
        self.failure = ""
        self._read = read
        reading, self._writing = os.pipe()
        # FFmpeg takes the number of a descriptor, and duplicates it.
        self.address = f"pipe:{reading}"
        threading.Thread(target=self._copy, name="pump", daemon=True).start()

    def _copy(self) -> None:
        try:
            while data := self._read():
                view = memoryview(data)
                while view:
                    view = view[os.write(self._writing, view) :]
        except (OSError, http.client.HTTPException) as error:
            self.failure = explain_break(error)
        finally:
            os.close(self._writing)
