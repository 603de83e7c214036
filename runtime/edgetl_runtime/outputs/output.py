"""Output: the protocol of everything that takes answers."""

from typing import Protocol

import msgspec

from edgetl_runtime.answers import Answer


class Output(Protocol):
    """Takes answers on its own thread; it may block, fail and recover.

    Attributes:
        name: Unique name among the outputs of a pipeline, such as `mqtt`.
        lossless: True if it must get every answer of a file that is read as fast as it is
            taken (it then slows the reading); a camera's answers are dropped when late anyway.
    """

    name: str
    lossless: bool

    def wants_picture(self) -> bool:
        """Whether the next answer should carry its image; asked for each frame, must be cheap.

        Called on the pipeline's thread.
        """
        ...

    def accepts(self, answer: Answer) -> bool:
        """Whether `write` should see this answer; must be cheap.

        Called on the pipeline's thread, once for each answer.
        """
        ...

    def write(self, answer: Answer) -> None:
        """Writes one answer; called on the output's own thread only.

        Raises:
            UndeliveredError: If it failed for now; an event is passed again later.
            OutputError: If it failed; it is called again with later answers.
        """
        ...

    def close(self) -> None:
        """Flushes and closes; called once, on the output's own thread.

        Raises:
            OutputError: If something was lost.
        """
        ...


class PlainOutput:
    """Base of an `Output` that takes every answer, without images, and holds nothing open."""

    name: str
    lossless: bool = False

    def wants_picture(self) -> bool:
        """Never."""
        return False

    def accepts(self, answer: Answer) -> bool:
        """Every answer."""
        return True

    def close(self) -> None:
        """Nothing is open."""


class EventOutput(PlainOutput):
    """Base of an `Output` that takes events only."""

    def accepts(self, answer: Answer) -> bool:
        """Answers that changed the stable label."""
        return answer.event is not None


class OutputStatus(msgspec.Struct, frozen=True):
    """Status of an output.

    Attributes:
        name: Name of the output.
        written: Number of answers that it handled.
        dropped: Number of answers dropped because it was too slow.
        failed: Number of answers that it failed on.
        error: The last failure, empty if the last answer was written.
    """

    name: str
    written: int
    dropped: int
    failed: int
    error: str
