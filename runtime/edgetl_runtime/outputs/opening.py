"""Builds the outputs that the settings ask for."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.errors import OptionsError, OutputError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.settings.sections import OutputSettings, Settings
from edgetl_runtime.system.tls import Identity

if TYPE_CHECKING:
    from edgetl_runtime.outputs.diverse import Known

Gone = Callable[[], None]
Note = Callable[[str], None]
FindKnown = Callable[[], "Known"]
FindFps = Callable[[], float | None]
DrawHeatMap = Callable[[Frame, str | None], Frame]
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_outputs(
    settings: Settings,
    *,
    find_digest: Callable[[], str],
    find_known: FindKnown | None = None,
    live: bool = True,
    find_fps: FindFps | None = None,
    draw_heat_map: DrawHeatMap | None = None,
    on_gone: Gone | None = None,
    note: Note = lambda _: None,
) -> list[Output]:
    """Builds every output; each is to be handed to an `OutputWorker`, which closes it.

    Files and folders are opened when the first answer comes: a disk that is full or away is a
    failure of one output, and no reason not to start. So is a pipe that nobody reads, but for a
    job that would begin in vain.

    Args:
        settings: Its sections `output`, `collect` and `pace`.
        find_digest: SHA-256 of the bundle.json in use, for collected frames.
        find_known: What the model in use knows; without it no frame is kept as diverse.
        live: Of the source.
        find_fps: Frames a second of a source that is not live, once it is open.
        draw_heat_map: Draws the heat map of a label over a frame, for `video_heat_map`.
        on_gone: Called once when standard output has no reader any more.
        note: Gets a sentence for a person; called from other threads.

    Raises:
        OptionsError: Naming the option, if one cannot be met on any day.
        OutputError: If answers to a file are for a pipe without a reader.
    """
    _check_apart(settings)
    opened: list[Output] = []
    try:
        opened += _open_files(settings.output, live)
        opened += _open_terminal(settings.output, live, on_gone)
        opened += _open_pictures(settings, live, find_fps, draw_heat_map, note)
        opened += _open_collect(settings, find_digest, find_known, note)
        opened += _open_others(settings.output)
        opened += _open_network(settings.output)
    except (OptionsError, OutputError):
        for output in opened:
            with suppress(OutputError):
                output.close()
        raise
    return opened


def _open_terminal(options: OutputSettings, live: bool, on_gone: Gone | None) -> Iterator[Output]:
    kind = options.terminal or "line"
    if kind != "none":
        from edgetl_runtime.outputs.terminal import Terminal, is_closed

        # Whoever starts a camera without a standard output wants none; of a file it is missed.
        if live and is_closed():
            return
        yield Terminal(kind, options.top, on_gone=on_gone)


def _open_files(options: OutputSettings, live: bool) -> Iterator[Output]:
    from edgetl_runtime.outputs.logs import CsvRows, JsonLines

    # A camera runs for months. Of a file everything is kept, since it has an end.
    quota_bytes = options.file_quota_mb * 10**6 if live else sys.maxsize
    rows = partial(CsvRows, mark=options.csv_mark)
    for log, make in ((JsonLines, JsonLines), (CsvRows, rows)):
        if path := getattr(options, log.name):
            opened = make(
                _check_ours(log.name, _check_file(log.name, path), log.beginnings),
                options.top,
                quota_bytes,
                only_events=options.only_events,
            )
            # A camera waits for a reader, as for a disk that is away.
            if not live:
                opened.open_pipe()
            yield opened


def _open_pictures(
    settings: Settings,
    live: bool,
    find_fps: FindFps | None,
    draw_heat_map: DrawHeatMap | None,
    note: Note,
) -> Iterator[Output]:
    options = settings.output
    if options.video:
        from edgetl_runtime.outputs.video import CODECS, Video

        path = _check_file("video", options.video)
        if path.suffix.lower() not in CODECS:
            raise OptionsError(f"video: expected a name that ends in .avi or .mp4, got {path}")
        every = settings.pace.every
        find = None if live else lambda: _slow_down(find_fps, every)
        heat = draw_heat_map if options.video_heat_map else None
        yield Video(path, options.top, find, note, heat)
    if options.pictures:
        from edgetl_runtime.outputs.snapshots import Snapshots

        folder = _check_folder("pictures", options.pictures)
        yield Snapshots(folder, options.file_quota_mb * 10**6, options.top)


def _slow_down(find_fps: FindFps | None, every: int) -> float | None:
    """The rate of answers to each n-th frame."""
    fps = find_fps() if find_fps else None
    return fps / every if fps else None


def _open_collect(
    settings: Settings, find_digest: Callable[[], str], find_known: FindKnown | None, note: Note
) -> Iterator[Output]:
    if settings.collect.what:
        from edgetl_runtime.outputs.collect import Collect

        _check_folder("collect.folder", settings.collect.folder)
        yield Collect(settings.collect, find_digest, find_known, note)


def _open_others(options: OutputSettings) -> Iterator[Output]:
    if options.command is not None:
        from edgetl_runtime.outputs.command import Command

        yield Command(options.command)
    if options.callback is not None:
        from edgetl_runtime.outputs.callback import Callback

        yield Callback(options.callback)


def _open_network(options: OutputSettings) -> Iterator[Output]:
    if options.post is not None:
        from edgetl_runtime.outputs.post import Post

        files = Identity("post", options.post_ca, options.post_cert, options.post_key)
        yield Post(options.post, options.top, files)
    if options.mqtt is not None:
        from edgetl_runtime.outputs.mqtt import Mqtt, parse_broker

        files = Identity("mqtt", options.mqtt_ca, options.mqtt_cert, options.mqtt_key)
        yield Mqtt(
            parse_broker(options.mqtt),
            options.mqtt_topic,
            options.top,
            name=options.name,
            discovery=options.mqtt_discovery,
            identity=files,
        )


def _check_apart(settings: Settings) -> None:
    """Two outputs in one file would destroy one another; a device such as /dev/null takes any.

    Two in one folder would, too: each removes the oldest images, whoever wrote them.
    """
    output, collect = settings.output, settings.collect
    files = {name: getattr(output, name) for name in ("jsonl", "csv", "video")}
    folders = {"pictures": output.pictures, "collect.folder": collect.what and collect.folder}
    for kind, paths in (("file", files), ("folder", folders)):
        found: dict[str, str] = {}
        for name, path in paths.items():
            if not path or Path(path).is_char_device():
                continue
            other = found.setdefault(os.path.realpath(os.path.expanduser(path)), name)
            if other != name:
                raise OptionsError(
                    f"{name}: {path} is also the {kind} of {other}; give each its own"
                )


def _check_no_address(option: str, text: str, kind: str) -> None:
    if _ADDRESS.match(text):
        raise OptionsError(
            f"{option}: {text} is an address, not a {kind}; --post sends events to a web address"
        )


def _check_file(option: str, text: str) -> Path:
    if text == "-":
        raise OptionsError(
            f"{option}: - is not a file; for JSON lines on standard output, use --json"
        )
    _check_no_address(option, text, "file")
    path = Path(text).expanduser()
    if not path.name or path.is_dir():
        raise OptionsError(f"{option}: {text} is a folder; give the name of a file")
    return path


def _check_ours(option: str, path: Path, known: tuple[bytes, ...]) -> Path:
    """Refuses to append to a file of somebody else, or to set ours aside over one."""
    for one in (path, path.with_name(f"{path.name}.1")):
        try:
            start = b"" if not one.is_file() else _read_start(one)
        except OSError:
            continue  # Whoever writes to it says so.
        # A power cut leaves zeros, or the beginning of a line.
        start = start.strip(b"\0\n")
        if not start.startswith(known) and not any(one.startswith(start) for one in known):
            raise OptionsError(
                f"{option}: {one} contains something other than answers of edgetl-run; give "
                "another name, or move it"
            )
    return path


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _check_folder(option: str, text: str) -> Path:
    _check_no_address(option, text, "folder")
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise OptionsError(f"{option}: {text} is a file; give the name of a folder")
    return path
