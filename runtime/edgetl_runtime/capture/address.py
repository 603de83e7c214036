"""Addresses: the source that one means, how it is opened, and its properties."""

import difflib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from edgetl_runtime.capture.source import Options
from edgetl_runtime.capture.unused import describe_unused
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.image.filetypes import identify
from edgetl_runtime.settings.sections import SourceSettings
from edgetl_runtime.system.obstacles import find_obstacle
from edgetl_runtime.text.credentials import names_host
from edgetl_runtime.text.masking import mask
from edgetl_runtime.text.printable import holds_control

if TYPE_CHECKING:
    from edgetl_runtime.system.tls import Identity

_SOURCES = "edgetl_runtime.capture.sources."
_SYSTEM_PYTHON = "/usr/bin/python3"
_STABLE_FOLDERS = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))
# What FFmpeg knows; others of it are for files.
_SCHEMES = (
    *("file", "ftp", "http", "https", "mms", "mmsh", "mmst", "pipe", "rtmp", "rtmpe", "rtmps"),
    *("rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp", "rtsps", "sftp", "srt", "srtp", "tcp", "tls"),
    *("udp", "udplite", "unix"),
)
_MEANT = ("http", "https", "rtsp", "rtsps", "rtmp")
# A host with a port, or an IP address; and a scheme with another mark than `://`.
_ADDRESS_LIKE = re.compile(
    r"/{0,2}(?:[^\s/@]+@)?(?:(?:\[[0-9A-Fa-f:.]+\]|[\w-][\w.-]*):(?P<port>[0-9]{1,5})"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?<=@)[\w-][\w.-]*)(?:[/?].*)?"
)
_RTSP_PORTS = ("554", "8554")
_HALF_SCHEME = re.compile(r"(https?|rtsps?)(?::[/\\]{0,2}|;//|/{1,2})[\w\[]", re.IGNORECASE)
_EXPECTED = (
    "expected a camera number, /dev/videoN, picamera, a URL, a video, an image, a folder of "
    "images, - or pattern (`v4l2-ctl --list-devices` lists cameras)"
)


class SourcePlan(msgspec.Struct, frozen=True):
    """How to open a source in a capture process.

    Attributes:
        source: The address as it may be shown.
        module: Python module whose `make(options)` makes the source.
        options: For the source; plain values, since they travel as JSON.
        live: Only the newest frame counts; False: each frame waits until it is taken.
        reopens: It can be opened again after it was lost.
        finite: A file or folder that is read once.
        patient: Its silence is no reason to start it again, and neither is a long opening.
        freezes: Equal frames are a fault.
        python: The command of the interpreter that runs the capture process.
        device: /dev/videoN, of which a stable id may be known.
        notes: Sentences for people on what of the settings is not used.
    """

    source: str
    module: str
    options: Options
    live: bool = True
    reopens: bool = True
    finite: bool = False
    patient: bool = False
    freezes: bool = False
    python: tuple[str, ...] = (sys.executable,)
    device: str | None = None
    notes: tuple[str, ...] = ()


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
        OptionsError: If a certificate of ours cannot be used.
    """
    plan = _choose(address, settings, input_px)
    module = plan.module.rpartition(".")[2]
    given = settings.ca or settings.cert or settings.key
    if given and module not in ("http", "stream"):
        _make_identity(settings).check_use(encrypted=False, address="https://")
    return msgspec.structs.replace(plan, notes=describe_unused(module, settings))


def _choose(address: str, settings: SourceSettings, input_px: tuple[int, int] | None) -> SourcePlan:
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
        "identity": {"ca": settings.ca, "cert": settings.cert, "key": settings.key},
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
    if address.lower().startswith("file:///"):
        # As a file manager or browser writes it.
        address = options["address"] = unquote(address[len("file://") :])
    elif "://" in address:
        # Copied from elsewhere, it often has a space around it.
        address = options["address"] = address.strip()
        return _plan_url(address, options, settings)
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


def _make_identity(settings: SourceSettings) -> "Identity":
    from edgetl_runtime.system.tls import Identity

    return Identity("source", settings.ca, settings.cert, settings.key)


def _plan_url(address: str, options: Options, settings: SourceSettings) -> SourcePlan:
    scheme, mark, rest = address.partition("://")
    scheme = scheme.lower()
    # FFmpeg knows them in small letters only.
    address = options["address"] = scheme + mark + rest
    if scheme not in _SCHEMES and (near := difflib.get_close_matches(scheme, _MEANT, n=1)):
        raise CameraError(f"cannot open {mask(address)}: did you mean {near[0]}:// ?")
    if holds_control(address):
        raise CameraError(f"cannot open {mask(address)}: it contains a control character")
    # FFmpeg knows others, some of which need no host.
    if scheme in ("http", "https", "rtsp", "rtsps") and not names_host(address):
        raise CameraError(
            f"cannot open {mask(address)}: expected {scheme}://host/path, with a port after the "
            "host and user:password@ before it where needed"
        )
    module = "http" if scheme in ("http", "https") else "stream"
    # Here, where somebody is told at once that a file cannot be used.
    identity = _make_identity(settings)
    identity.check_use(encrypted=scheme == "https", address="https://")
    if scheme == "https":
        identity.make_context()
    return _plan(module, mask(address), options, freezes=True)


def _plan_file(address: str, options: Options, settings: SourceSettings) -> SourcePlan:
    path = Path(address)
    shown = mask(address)
    if not address:
        raise CameraError(f"cannot open an empty address; {_EXPECTED}")
    if obstacle := find_obstacle(path):
        if host := _ADDRESS_LIKE.fullmatch(address):
            scheme = "rtsp" if host["port"] in _RTSP_PORTS else "http"
            obstacle = f"no such file; for a network camera, begin with {scheme}://"
        elif typed := _HALF_SCHEME.match(address):
            obstacle = f"did you mean {typed[1].lower()}:// at the beginning?"
        # What looks like no path may be meant as a camera.
        meant = _ADDRESS_LIKE.fullmatch(address) or len(path.parts) > 1 or path.suffix
        expected = "" if meant else f"; {_EXPECTED}"
        raise CameraError(f"cannot open {shown}: {obstacle}{expected}")
    try:
        known = None if path.is_dir() else identify(path)
    except FrameError as error:
        raise CameraError(f"cannot open {shown}: {error}") from error
    if known is None or known.kind == "picture":
        # A folder of many images is listed for as long as that takes.
        return _plan(
            *("pictures", address, options),
            live=False,
            reopens=False,
            patient=True,
            finite=not settings.loop,
        )
    if known.kind == "other":
        raise CameraError(f"cannot open {shown}: {known.refuse('an image or video')}")
    return _plan(
        "video", address, options, live=settings.realtime, reopens=False, finite=not settings.loop
    )


def _python_of_picamera() -> tuple[str, ...]:
    """The interpreter that sees picamera2, a package of Raspberry Pi OS only."""
    if importlib.util.find_spec("picamera2") or not Path(_SYSTEM_PYTHON).exists():
        return (sys.executable,)
    return (_SYSTEM_PYTHON, "-I")
