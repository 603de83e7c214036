"""A shell command for each event."""

import contextlib
import os
import signal
import subprocess

from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.errors import OptionsError, OutputError
from edgetl_runtime.outputs.output import EventOutput
from edgetl_runtime.system.exit_cleanup import add_cleanup, drop_cleanup

TIMEOUT_S = 30.0
_STDERR = 2


class Command(EventOutput):
    """Runs a command for each event, one at a time, and tells it through the environment.

    EDGETL_LABEL and EDGETL_PREVIOUS (empty: unknown), EDGETL_SCORE (0..1), EDGETL_TIME
    (ISO 8601 in UTC), EDGETL_EVENT (its number), EDGETL_SOURCE, EDGETL_FILE and, of a video,
    EDGETL_POSITION_S (seconds from its first frame). The label is never part of
    the command line, so that no label can be a command. What it prints goes to standard error.
    """

    name = "command"
    lossless = True

    def __init__(self, command: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Runs nothing yet.

        Args:
            command: For the shell.
            timeout_s: After this it is killed with all that it started.

        Raises:
            OptionsError: If there is no command.
        """
        if not command.strip() or "\0" in command:
            raise OptionsError(f"command: expected a shell command, got {command!r}")
        self._command, self._timeout_s = command, timeout_s
        self._running: subprocess.Popen[bytes] | None = None
        # A command that hangs when the process ends would live on, in a session of its own.
        add_cleanup(self._kill)

    def write(self, answer: Answer) -> None:
        """Runs the command for one event and waits for it.

        Raises:
            OutputError: If it cannot be run, fails or takes too long.
        """
        if answer.event is None:
            return
        try:
            self._running = subprocess.Popen(
                self._command,
                shell=True,
                env=_make_environment(answer, answer.event),
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
                start_new_session=True,
            )
        except OSError as error:
            raise OutputError(f"cannot run the command: {error.strerror}") from error
        self._wait(self._running)

    def close(self) -> None:
        """Kills nothing: each command was waited for."""
        drop_cleanup(self._kill)

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            self._kill()
            process.wait()
            raise OutputError(f"the command was killed after {self._timeout_s:g} s") from None
        finally:
            self._running = None
        if code:
            raise OutputError(f"the command exited with code {code}")

    def _kill(self) -> None:
        process = self._running
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _make_environment(answer: Answer, event: Event) -> dict[str, str]:
    # Passwords are for us alone.
    own = {name: value for name, value in os.environ.items() if not name.startswith("EDGETL_")}
    told = {
        "EDGETL_LABEL": event.label or "",
        "EDGETL_PREVIOUS": event.previous or "",
        "EDGETL_SCORE": f"{event.score:.4f}",
        "EDGETL_TIME": event.time,
        "EDGETL_EVENT": str(event.number),
        "EDGETL_SOURCE": answer.source,
        "EDGETL_FILE": answer.file or "",
        "EDGETL_POSITION_S": "" if answer.position_s is None else f"{answer.position_s:.3f}",
    }
    return own | {name: value.replace("\0", "") for name, value in told.items()}
