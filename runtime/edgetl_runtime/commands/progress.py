"""One line on a terminal that says how far a long measurement is."""

import sys
from types import TracebackType

_WIDTH = 24
_CLEAR = "\r\N{ESCAPE}[K"


class ProgressLine:
    """Rewrites one line of standard error, if that is a terminal; a with statement clears it."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Makes room for a line of something else."""
        if self._shows:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def tell(self, share: float, doing: str) -> None:
        """Shows a share of the work, 0..1, and what is done now."""
        if not self._shows:
            return
        full = round(_WIDTH * share)
        bar = "#" * full + "." * (_WIDTH - full)
        print(f"{_CLEAR}[{bar}] {share:4.0%} {doing}", end="", file=sys.stderr, flush=True)
