"""What an address means: which source, how it is opened, and what may be expected of it."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from edgetl_runtime.capture.source import Options
from edgetl_runtime.credentials import split_credentials
from edgetl_runtime.errors import CameraError
from edgetl_runtime.frames import PICTURE_SUFFIXES
from edgetl_runtime.masking import mask
from edgetl_runtime.settings.sections import SourceSettings

_SOURCES = "edgetl_runtime.capture.sources."
_SYSTEM_PYTHON = "/usr/bin/python3"
_STABLE_FOLDERS = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))
_EXPECTED = (
    "expected a camera number, /dev/videoN, picamera, a URL, a video, a picture, a folder of "
    "pictures, - or pattern (`v4l2-ctl --list-devices` lists cameras)"
)


class SourcePlan(msgspec.Struct, frozen=True):
    """How to open a source in a capture process.

    Attributes:
        source: The address as it may be shown.
        module: Python module whose `make(options)` makes the source.
        options: For the source; plain values, since they travel as JSON.
        live: Only the newest frame counts; False: each frame waits until it is taken.
        reopens: It can be opened again after it was lost.
        patient: Its silence is no reason to start it again.
        freezes: Equal frames are a fault.
        python: The command of the interpreter that runs the capture process.
        device: /dev/videoN, of which a stable id may be known.
    """

    source: str
    module: str
    options: Options
    live: bool = True
    reopens: bool = True
    patient: bool = False
    freezes: bool = False
    python: tuple[str, ...] = (sys.executable,)
    device: str | None = None


def plan_source(
    address: str, settings: SourceSettings, input_px: tuple[int, int] | None = None
) -> SourcePlan:
    """Finds out what an address means.

    Args:
        address: See `SourceSettings.address`.
        settings: The other options; its address is not looked at.
        input_px: (width, height) of the model's input, of which twice as much is enough.

    Raises:
        CameraError: If it means nothing, or a file that is not there.
    """
    options: Options = {
        "address": address,
        "size_px": parse_size(settings.size),
        "fps": settings.fps,
        "format": settings.format,
        "stride": settings.stride,
        "realtime": settings.realtime,
        "loop": settings.loop,
        "input_px": input_px,
        "timeout_s": settings.read_timeout_s,
    }
    if address == "pattern":
        return _plan("pattern", address, options)
    if address == "-":
        return _plan("pipe", address, options, reopens=False, patient=True)
    if re.fullmatch(r"picamera(:\d)?", address):
        return _plan("picamera", address, options, freezes=True, python=_python_of_picamera())
    # OpenCV takes a C int.
    if re.fullmatch(r"[0-9]{1,9}", address) or address.startswith("/dev/"):
        device = f"/dev/video{int(address)}" if address.isdecimal() else address
        return _plan("v4l2", address, options, freezes=True, device=device)
    if "://" in address:
        return _plan_url(address, options)
    return _plan_file(address, options, settings)


def parse_size(size: str | None) -> tuple[int, int] | None:
    """(width, height) of such as `640x480`."""
    if size is None:
        return None
    width, _, height = size.partition("x")
    return int(width), int(height)


def find_stable_id(device: str, folders: tuple[Path, ...] = _STABLE_FOLDERS) -> str | None:
    """The link that leads to a device whatever number it gets when it is plugged in again."""
    target = os.path.realpath(device)
    links = [link for folder in folders if folder.is_dir() for link in sorted(folder.iterdir())]
    return next((str(link) for link in links if os.path.realpath(link) == target), None)


def _plan(module: str, source: str, options: Options, **fields: object) -> SourcePlan:
    return msgspec.structs.replace(SourcePlan(source, _SOURCES + module, options), **fields)


def _plan_url(address: str, options: Options) -> SourcePlan:
    try:
        # A host or a port that is none will never answer.
        _ = urlsplit(split_credentials(address).url).port
    except ValueError as error:
        raise CameraError(f"cannot open {mask(address)}: {error}") from error
    scheme = address.partition("://")[0].lower()
    module = "http" if scheme in ("http", "https") else "stream"
    return _plan(module, mask(address), options, freezes=True)


def _plan_file(address: str, options: Options, settings: SourceSettings) -> SourcePlan:
    path = Path(address)
    if not address or not path.exists():
        raise CameraError(f"cannot open {mask(address) or 'an empty address'}; {_EXPECTED}")
    if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES:
        return _plan("pictures", address, options, live=False, reopens=False)
    return _plan("video", address, options, live=settings.realtime, reopens=False)


def _python_of_picamera() -> tuple[str, ...]:
    """The interpreter that sees picamera2, a package of Raspberry Pi OS only."""
    if importlib.util.find_spec("picamera2") or not Path(_SYSTEM_PYTHON).exists():
        return (sys.executable,)
    return (_SYSTEM_PYTHON, "-I")
