"""Impediments: what would keep a service from running, and what to do about it."""

import grp
import os
import pwd
import shlex
import subprocess
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from edgetl_runtime.errors import BundleError, CameraError, OptionsError, ServiceError
from edgetl_runtime.service.placement import (
    find_command,
    find_device,
    find_script,
    lies_here,
)
from edgetl_runtime.service.unit import Installation
from edgetl_runtime.settings.file import load_settings
from edgetl_runtime.settings.sections import OutputSettings, Settings

# The search path of a service, as systemd.exec(5) has it.
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MODULES: Final = {"serve": "uvicorn", "mqtt": "paho", "tls": "cryptography"}
_ENGINES: Final = {"litert": ("ai_edge_litert", "tflite_runtime"), "onnx": ("onnxruntime",)}
_READ: Final = 0o4
_WRITE: Final = 0o2
_ENTER: Final = 0o1


class _Account(NamedTuple):
    """The user of the service; uid None: a dynamic user, who owns nothing."""

    uid: int | None
    groups: frozenset[int]

    def may(self, path: Path, right: int) -> bool:
        """Whether the file's mode gives the right; root's own rights are taken from a service."""
        about = path.stat()
        shift = 6 if about.st_uid == self.uid else 3 if about.st_gid in self.groups else 0
        return bool(about.st_mode >> shift & right)


def find_impediments(installation: Installation) -> list[str]:
    """Sentences, each with what to do.

    Args:
        installation: What would be written.
    """
    settings = installation.placed
    return [
        *_check_user(installation),
        *_check_hidden(installation),
        *_check_read(installation),
        *_check_written(installation),
        *_check_source(settings),
        *_check_device(installation),
        *_check_host(settings.serve.host),
        *_check_outputs(settings),
        *_check_neighbours(installation),
        *_check_bundle(settings),
    ]


def _check_user(installation: Installation) -> Iterator[str]:
    if installation.user and not _knows_user(installation.user):
        yield f"no such user: {installation.user}; choose one with --user"


def _knows_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _check_hidden(installation: Installation) -> Iterator[str]:
    for path in installation.hidden:
        if path in installation.written:
            yield (
                f"a service's /tmp is private, so nothing else can read {path}; choose another "
                f"folder, or give a relative path, which is below {_state(installation)}"
            )
        else:
            yield f"a service cannot see {path}; move it elsewhere, such as below /opt"


def _check_read(installation: Installation) -> Iterator[str]:
    account = _find_account(installation)
    for name in dict.fromkeys(installation.read):
        path = Path(name)
        if name in installation.hidden:
            continue
        if not os.path.lexists(path):
            yield f"{path} does not exist; give an existing path"
        elif closed := _find_unreadable(path, account):
            # Whoever made a file private, such as a key, gets no advice to show it to everybody.
            is_private = closed.is_file() and not closed.stat().st_mode & 0o077
            right = "a+rX" if closed.is_dir() else "a+r"
            command = f"sudo chmod {right} {shlex.quote(str(closed))}"
            remedy = "" if is_private else f"allow it: {command}, or "
            yield (
                f"{_name(installation)} may not read {closed}; {remedy}choose a user who may with "
                "--user"
            )


def _find_unreadable(path: Path, account: _Account) -> Path | None:
    """The first folder on the way, or the first file below, that is closed to an account."""
    try:
        real = path.resolve(strict=True)
        for folder in reversed(real.parents):
            if not account.may(folder, _ENTER):
                return folder
        below = [real, *real.rglob("*")] if (real / "bundle.json").is_file() else [real]
        for one in below:
            if not account.may(one, _READ) or (one.is_dir() and not account.may(one, _ENTER)):
                return one
    except OSError:
        # Also closed to whoever asks.
        return path
    return None


def _check_written(installation: Installation) -> Iterator[str]:
    account, state = _find_account(installation), _state(installation)
    for name in installation.written:
        path = Path(name)
        if name in installation.hidden:
            continue
        remedy = f"or give a relative path, which is below {state}"
        if not path.is_dir():
            yield f"the folder {path} does not exist; create it, {remedy}"
        elif _find_unreadable(path, account) or not account.may(path, _WRITE):
            yield (
                f"{_name(installation)} may not write to {path}; choose a user who may with "
                f"--user, {remedy}"
            )


def _check_source(settings: Settings) -> Iterator[str]:
    from edgetl_runtime.capture.address import plan_source

    address = settings.source.address
    if settings.pace.max_frames is not None:
        yield (
            "with --max-frames a service would end and be restarted forever; leave it out, or use: "
            "edgetl-run camera"
        )
    if address == "-":
        yield "a service has no standard input; choose another --source than -"
        return
    try:
        plan = plan_source(address, settings.source)
    except (CameraError, OptionsError) as error:
        yield str(error)
        return
    if not plan.reopens and address != "pattern" and not settings.source.loop:
        yield (
            f"{address} ends, and a service would restart it forever; add --loop, or use: "
            "edgetl-run camera"
        )


def _check_device(installation: Installation) -> Iterator[str]:
    device = find_device(installation.placed.source.address)
    if device is None:
        return
    account, named = _find_account(installation), shlex.quote(device)
    if not account.may(Path(device), _READ) or not account.may(Path(device), _WRITE):
        yield (
            f"{_name(installation)} may not use {device}, not even with the groups "
            f"{', '.join(installation.groups)}; give it to the group video: sudo chgrp video "
            f"{named}; sudo chmod g+rw {named} (permanently with a udev rule)"
        )


def _check_host(host: str) -> Iterator[str]:
    from edgetl_runtime.serving.host import check_host

    try:
        check_host(host)
    except ServiceError as error:
        yield str(error)


def _check_outputs(settings: Settings) -> Iterator[str]:
    used = {"serve": True, "mqtt": settings.output.mqtt, "tls": settings.serve.tls}
    for extra in filter(used.get, used):
        if find_spec(_MODULES[extra]) is None:
            yield (
                f"the package {_MODULES[extra]} is missing; pip install 'edgetl-runtime[{extra}]'"
            )
    yield from _check_addresses(settings.output)
    yield from _check_identities(settings.output)
    yield from _check_files(settings.output)
    yield from _check_callback(settings.output.callback)
    word, script = find_command(settings) or "", find_script(settings)
    if script and os.path.isfile(script) and not os.access(script, os.X_OK):
        yield f"{script} is not executable; run: chmod +x {shlex.quote(script)}"
    if word == "sudo":
        yield "a service cannot gain privileges, so its command cannot use sudo"
    elif word and "/" not in word and not _finds(word):
        yield f"a service does not find the command {word}; give its full path"


def _check_addresses(output: OutputSettings) -> Iterator[str]:
    from edgetl_runtime.outputs.mqtt import check_topic, parse_broker
    from edgetl_runtime.outputs.post import parse_url

    parsers: tuple[tuple[str | None, Callable[[str], object]], ...] = (
        (output.mqtt, parse_broker),
        (output.mqtt_topic if output.mqtt else None, check_topic),
        (output.post, parse_url),
    )
    for address, parse in parsers:
        try:
            if address is not None:
                parse(address)
        except OptionsError as error:
            yield str(error)


def _check_identities(output: OutputSettings) -> Iterator[str]:
    from edgetl_runtime.system.tls import Identity

    for owner, address, scheme in (
        ("mqtt", output.mqtt, "mqtts://"),
        ("post", output.post, "https://"),
    ):
        files = [getattr(output, f"{owner}_{name}") for name in ("ca", "cert", "key")]
        # What is not there is named with the other files that are read.
        if address is None or not all(map(os.path.exists, filter(None, files))):
            continue
        identity = Identity(owner, *files)
        try:
            identity.check_use(encrypted=address.lower().startswith(scheme), address=scheme)
            if any(files):
                identity.make_context()
        except OptionsError as error:
            yield str(error)


def _check_files(output: OutputSettings) -> Iterator[str]:
    from edgetl_runtime.outputs.video import CODECS

    for path in filter(None, (output.jsonl, output.csv, output.video)):
        if os.path.isdir(path):
            yield f"{path} is a folder; give the name of a file"
    if output.pictures and os.path.isfile(output.pictures):
        yield f"{output.pictures} is a file; give the name of a folder"
    if output.video and Path(output.video).suffix.lower() not in CODECS:
        yield f"{output.video} does not end in {' or '.join(CODECS)}, as a video must"


def _check_callback(place: str | None) -> Iterator[str]:
    module, _, name = (place or "").partition(":")
    top = module.partition(".")[0]
    if place is None or (name and (lies_here(top) or PathFinder.find_spec(top))):
        return
    yield (
        f"the callback {place} is neither installed nor in the current folder, {os.getcwd()}; "
        "expected module:function"
    )


def _finds(word: str) -> bool:
    """Whether the shell of a service knows a command; it may be its own."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'command -v "$1"', "sh", word],
        env={"PATH": _PATH},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _check_neighbours(installation: Installation) -> Iterator[str]:
    """Two services cannot listen on one port, nor open one camera."""
    ours = installation.placed
    device, port = _find_camera(ours), ours.serve.port
    for file in sorted(installation.settings_file.parent.glob("*.toml")):
        if file.name == installation.settings_file.name:
            continue
        try:
            theirs = load_settings(file)
        except OptionsError:
            continue
        # The page that hands out the authority stands on the port above.
        if port and port in (theirs.serve.port, theirs.serve.port + theirs.serve.tls):
            yield f"the service {file.stem} already uses port {port}; choose another --port"
        if device and device == _find_camera(theirs):
            yield (
                f"the service {file.stem} already uses the camera {device}; choose another --source"
            )


def _find_camera(settings: Settings) -> str | None:
    device = find_device(settings.source.address)
    return os.path.realpath(device) if device else None


def _check_bundle(settings: Settings) -> Iterator[str]:
    """Only read: to run what nobody has tried yet is nothing for root."""
    from edgetl_runtime.bundle.reader import Bundle

    model = settings.model
    if not os.path.exists(model.bundle):
        return
    try:
        variant = Bundle.open(model.bundle).variant(model.variant, engine=model.engine)
    except BundleError as error:
        yield str(error)
        return
    if not any(find_spec(module) for module in _ENGINES[variant.engine]):
        yield (
            f"{variant.name} needs an engine that is not installed: "
            f"pip install {_ENGINES[variant.engine][0].replace('_', '-')}"
        )


def _find_account(installation: Installation) -> _Account:
    groups = {grp.getgrnam(name).gr_gid for name in installation.groups}
    user = installation.user
    if user is None or not _knows_user(user):
        return _Account(None, frozenset(groups))
    about = pwd.getpwnam(user)
    return _Account(about.pw_uid, frozenset({*groups, *os.getgrouplist(user, about.pw_gid)}))


def _name(installation: Installation) -> str:
    user = installation.user
    return f"the user {user}" if user else "a service's own user"


def _state(installation: Installation) -> str:
    return installation.unit_file.stem.replace("edgetl-", "/var/lib/edgetl/", 1)
