"""A function of the user's own."""

import importlib
import sys
from collections.abc import Callable

from edgetl_runtime.answer import Answer
from edgetl_runtime.errors import OptionsError, OutputError
from edgetl_runtime.outputs.output import PlainOutput

Function = Callable[[Answer], object]


class Callback(PlainOutput):
    """Calls `module:function` with each answer.

    A function with an attribute `wants_picture = True` gets answers with their picture, one with
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
        except (Exception, SystemExit) as error:
            # Whatever a stranger's code raises must not end the thread that it runs on.
            raise OutputError(f"{self._place} raised {type(error).__name__}: {error}") from error


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
    except Exception as error:
        raise OptionsError(
            f"callback: {module_name} cannot be imported ({type(error).__name__}: {error}); it "
            "must lie in the current folder or be installed"
        ) from error
    function: Function | None = getattr(module, name, None)
    if not callable(function):
        raise OptionsError(f"callback: {module_name} has no function {name}")
    return function
