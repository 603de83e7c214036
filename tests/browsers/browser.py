"""What every browser of the tests does, whatever it is driven by."""

import abc
import time
from pathlib import Path
from typing import Any, ClassVar


class ScriptError(AssertionError):
    """What was evaluated in a page threw, or its promise was rejected."""


class NotInstalledError(Exception):
    """A program is missing; tests skip with the message, or fail with --strict-tools."""


class Browser(abc.ABC):
    """One window of a browser, without a user's profile."""

    name: ClassVar[str]

    @abc.abstractmethod
    def open(self, page: Path | str) -> None:
        """Goes to a file or address, and waits until it is loaded."""

    @abc.abstractmethod
    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which JSON can hold; a promise is awaited.

        Raises:
            ScriptError: If it throws, or its promise is rejected.
        """

    @abc.abstractmethod
    def screenshot(self) -> bytes:
        """What the window shows, as PNG."""

    @abc.abstractmethod
    def complaints(self) -> list[Any]:
        """Errors and warnings of the page and its scripts since it was opened."""

    @abc.abstractmethod
    def choose_file(self, selector: str, path: object) -> None:
        """As somebody does in the dialog of a file input."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the browser and all that it started."""

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> None:
        """Waits until an expression, or what its promise resolves to, is true."""
        deadline_s = time.monotonic() + timeout_s
        while not self.evaluate(f"Promise.resolve({expression}).then(Boolean)"):
            assert time.monotonic() < deadline_s, expression
            time.sleep(0.05)


def in_function(expression: str) -> str:
    """An async function's body that returns an expression's awaited value as JSON."""
    return f"return JSON.stringify(await (\n{expression}\n));"


def address_of(page: Path | str) -> str:
    return page if isinstance(page, str) else page.as_uri()
