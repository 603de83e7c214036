"""A function of the user's own."""

import importlib
import inspect
import sys
from collections.abc import Callable

from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import OptionsError, OutputError
from edgetl_runtime.outputs.output import PlainOutput

Function = Callable[[Answer], object]
_MOST_TEXT = 300


class Callback(PlainOutput):
    """Calls `module:function` with each answer.

    A function with an attribute `wants_picture = True` gets answers with their image, one with
    `only_events = True` gets events only.
    """

    name = "callback"
    lossless = True

    def __init__(self, place: str) -> None:
        """Imports the module; the current folder is looked into first.

        Args:
            place: `module:function`.

        Raises:
            OptionsError: If there is no such function, or its module fails.
        """
        self._place = place
        self._function = find_function(place)
        self._pictured = bool(getattr(self._function, "wants_picture", False))
        self._only_events = bool(getattr(self._function, "only_events", False))

    def wants_picture(self) -> bool:
        """If the function says so."""
        return self._pictured

    def accepts(self, answer: Answer) -> bool:
        """Every answer, unless the function wants events only."""
        return answer.event is not None or not self._only_events

    def write(self, answer: Answer) -> None:
        """Calls the function.

        Raises:
            OutputError: If it raises anything.
        """
        try:
            self._function(answer)
        except BaseException as error:
            # Whatever a stranger's code raises must not end the thread that it runs on.
            raise OutputError(f"{self._place} raised {_describe(error)}") from error


def find_function(place: str) -> Function:
    """Imports `module:function`.

    Raises:
        OptionsError: Naming what is missing.
    """
    module_name, colon, name = place.partition(":")
    if not (colon and module_name and name.isidentifier()):
        raise OptionsError(f"callback: expected module:function, got {place}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        # Also sys.exit() in it, which would end the program as if all were well.
        raise OptionsError(
            f"callback: {module_name} cannot be imported ({_describe(error)}); it must be in the "
            "current folder or installed"
        ) from error
    function: Function | None = getattr(module, name, None)
    if not callable(function):
        raise OptionsError(f"callback: {module_name} has no function {name}")
    if not _takes_one(function):
        raise OptionsError(f"callback: {place} must take one argument, the answer")
    return function


def _takes_one(function: Function) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except BaseException:  # noqa: BLE001 - a stranger's code, of which Python knows no signature
        return True
    return True


def _describe(error: BaseException) -> str:
    """Kind and text of what a stranger's code raised, neither of which can be relied on."""
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - this, too, is a stranger's code
        return kind
    more = "..." if len(text) > _MOST_TEXT else ""
    return f"{kind}: {text[:_MOST_TEXT]}{more}" if text else kind
