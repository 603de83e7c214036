"""An image with the answer drawn into it for each event."""

from pathlib import Path

from edgetl_runtime.answers import Answer
from edgetl_runtime.outputs.output import EventOutput
from edgetl_runtime.outputs.overlay import draw_answer
from edgetl_runtime.outputs.quota import QuotaFolder, encode_jpeg

_QUALITY = 90


class Snapshots(EventOutput):
    """Keeps the newest events' images in a folder, within a quota."""

    name = "pictures"
    lossless = True

    def __init__(self, folder: Path, quota_bytes: int, top: int) -> None:
        """Args: folder: Where to. quota_bytes: Most bytes in it. top: Labels with bars."""
        self._folder, self._top = QuotaFolder(folder, quota_bytes), top

    def wants_picture(self) -> bool:
        """Always: whether an answer is an event is known when it is too late to ask."""
        return True

    def accepts(self, answer: Answer) -> bool:
        """Events that have their image."""
        return answer.event is not None and answer.picture is not None

    def write(self, answer: Answer) -> None:
        """Stores one image.

        Raises:
            OutputError: If it cannot be stored.
        """
        if answer.picture is not None:
            drawn = draw_answer(answer.picture, answer, self._top)
            words = ("event", answer.label or "none")
            self._folder.store(words, {".jpg": encode_jpeg(drawn, _QUALITY)})
