"""The systemd unit: own user, no rights but those a camera needs, watchdog, memory limit, restart.

By default the user is a dynamic one, which exists while the service runs: there is nothing to
create and nothing is left behind, its state folder belongs to it at each start, and systemd hands
it the settings file as a credential, so that the file and the secrets in it stay root's. It cannot
look into a home folder; where Python or the bundle lies in one, its owner runs the service.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.errors import OptionsError, ServiceError
from edgetl_runtime.service.placement import (
    find_groups,
    find_program,
    find_python,
    find_read,
    find_working_folder,
    find_written,
    place,
)
from edgetl_runtime.settings.file import describe_settings
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.storage import write_file
from edgetl_runtime.text.printable import holds_control

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}\Z")
_STATE: Final = "/var/lib/edgetl"
_SETTINGS: Final = "/etc/edgetl"
_UNITS: Final = "/etc/systemd/system"
# ProtectHome and PrivateTmp put something else in their place.
_HIDDEN: Final = ("/root/", "/tmp/", "/var/tmp/", "/run/user/")
_FIRST_FREE_PORT: Final = 1024
_SECRETS: Final = b"""\
# Variables of the environment, one a line; only root may read this file. For example:
# EDGETL_MQTT_PASSWORD=secret
# EDGETL_POST_TOKEN=secret
"""
_TEMPLATE: Final = """\
# Written by: edgetl-run install-service {name}
# Change the settings in {settings_file}, then: systemctl restart {unit}
# (reload takes another bundle only). Change this with: systemctl edit {unit}
# Passwords, such as EDGETL_MQTT_PASSWORD=..., belong in {secrets_file}, which only root can read;
# everyone can read a unit.
[Unit]
Description=edgetl camera classifier {name}
# However often it fails, an unattended board must not give up.
StartLimitIntervalSec=0

[Service]
# Ready after the first answer; "notify-reload" would need systemd 253.
Type=notify
NotifyAccess=main
ExecStart={command} --config {credential}
# Reads the bundle again, tries it in a child process and takes it into use if it works.
ExecReload=/bin/kill -HUP $MAINPID
# While it waits for a camera, the service extends this by itself.
TimeoutStartSec=300
TimeoutStopSec=10
KillMode=mixed
Restart=always
RestartSec=5
RestartPreventExitStatus=2
# Fed by each answer, not by a timer; without a camera, by each round of the loop.
WatchdogSec=30

{user}
SupplementaryGroups={groups}
LoadCredential=settings.toml:{settings_file}
EnvironmentFile=-{secrets_file}
StateDirectory=edgetl/{name}
StateDirectoryMode=0750
WorkingDirectory={folder}
UMask=0027
{writable}
# A Raspberry Pi needs cgroup_enable=memory in cmdline.txt for the two limits.
MemoryHigh=60%
MemoryMax=75%
OOMScoreAdjust=200
TasksMax=256
LimitCORE=0

# Cameras (V4L2, and what libcamera needs) and the firmware's answer on throttling.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=/dev/vchiq rw
DeviceAllow=/dev/vcio rw

CapabilityBoundingSet={rights}
AmbientCapabilities={rights}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateMounts=yes
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


class Installation(msgspec.Struct, frozen=True):
    """One service: its files and what is in them.

    Attributes:
        unit: Such as `edgetl-door.service`.
        unit_file: Where systemd looks for it.
        unit_text: What is in it.
        settings_file: Beside those of other services.
        settings_text: What is in it.
        secrets_file: Variables of the environment, for passwords; made empty, for root only.
        hidden: Files that the service needs and could not see where they are: root's home and
            the folders for temporary files are closed to it.
        placed: The settings with absolute paths.
        user: Who runs it; None: a dynamic user.
        groups: Whose rights it has besides.
        read: What it must be able to read: Python, edgetl, and what the settings name.
        written: Folders that it must be able to write to, besides its state folder.
    """

    unit: str
    unit_file: Path
    unit_text: str
    settings_file: Path
    settings_text: str
    secrets_file: Path
    hidden: tuple[str, ...] = ()
    placed: Settings = Settings()
    user: str | None = None
    groups: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[tuple[Path, str], tuple[Path, str]]:
        """Both files, and what is in them."""
        return (self.unit_file, self.unit_text), (self.settings_file, self.settings_text)


def plan_installation(
    name: str, settings: Settings, *, user: str | None = None, root: Path = Path("/")
) -> Installation:
    """What would be written for a service of this name.

    Args:
        name: Of the service; several can live side by side.
        settings: What it shall do. Relative paths of the bundle and the source are taken from
            here, those of outputs lead into the service's state folder.
        user: An existing one to run as; by default a dynamic one, or whose home Python or the
            bundle lies in.
        root: Where the file system begins.

    Raises:
        OptionsError: If a name cannot be in a unit file.
    """
    state = Path(_STATE) / name
    placed = place(settings, state)
    folder = find_working_folder(settings)
    read = (*find_python(), *find_read(placed), *([folder] if folder else []))
    written = find_written(placed, state)
    seen = [os.path.join(path, "") for path in (*read, *written)]
    homes = [path.split("/")[2] for path in seen if path.startswith("/home/")]
    if user is None and homes:
        user = homes[0]
    _check(name, user)
    unit = f"edgetl-{name}.service"
    settings_file = Path(_SETTINGS) / f"{name}.toml"
    secrets_file = settings_file.with_suffix(".env")
    groups = find_groups(placed)
    text = _TEMPLATE.format(
        name=name,
        unit=unit,
        settings_file=settings_file,
        secrets_file=secrets_file,
        command=" ".join(map(quote, [*find_program(), "serve"])),
        credential="%d/settings.toml",
        user=f"User={user}" if user else "DynamicUser=yes",
        groups=" ".join(groups),
        folder=_check_line(folder).replace("%", "%%") if folder else f"%S/edgetl/{name}",
        rights="CAP_NET_BIND_SERVICE" if 0 < placed.serve.port < _FIRST_FREE_PORT else "",
        home="read-only" if homes else "yes",
        # With - it starts, too, where one does not exist, and says so when it writes.
        writable="".join(f"ReadWritePaths={_quote_path(one)}\n" for one in written),
    )
    return Installation(
        unit=unit,
        unit_file=root / f"{_UNITS}/{unit}".lstrip("/"),
        unit_text=re.sub(r"\n\n\n+", "\n\n", text),
        settings_file=root / str(settings_file).lstrip("/"),
        settings_text=describe_settings(placed),
        secrets_file=root / str(secrets_file).lstrip("/"),
        hidden=tuple(dict.fromkeys(path[:-1] for path in seen if path.startswith(_HIDDEN))),
        placed=placed,
        user=user,
        groups=groups,
        read=read,
        written=written,
    )


def install(installation: Installation, *, overwrite: bool = False) -> None:
    """Writes the files; settings and passwords are for root only, and passwords stay.

    Args:
        installation: What to write.
        overwrite: Replace settings that somebody may have changed.

    Raises:
        ServiceError: Without the right to, with the command that has it, or if there are other
            settings already.
        StorageError: If the disk refuses.
    """
    _check_root(installation)
    _check_settings(installation, overwrite=overwrite)
    for path in (installation.unit_file, installation.settings_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(installation.settings_file, installation.settings_text.encode(), mode=0o600)
    if not installation.secrets_file.exists():
        write_file(installation.secrets_file, _SECRETS, mode=0o600)
    write_file(installation.unit_file, installation.unit_text.encode())


def _check_settings(installation: Installation, *, overwrite: bool) -> None:
    file = installation.settings_file
    text = installation.settings_text.encode()
    if overwrite or not file.exists() or file.read_bytes() == text:
        return
    raise ServiceError(
        f"{file} exists and differs; edit it there, choose another --name, or add --overwrite"
    )


def uninstall(name: str, *, root: Path = Path("/")) -> list[Path]:
    """Removes a service's unit, settings and passwords; its state folder stays.

    Returns:
        What was removed.

    Raises:
        OptionsError: If the name cannot be one.
        ServiceError: Without the right to, or if there is no such service.
    """
    installation = plan_installation(name, Settings(), root=root)
    _check_root(installation)
    files = (installation.unit_file, installation.settings_file, installation.secrets_file)
    found = [path for path in files if path.exists()]
    if not found:
        raise ServiceError(f"no service {name}: {installation.unit_file} does not exist")
    enabled = installation.unit_file.parent / "multi-user.target.wants" / installation.unit
    enabled.unlink(missing_ok=True)
    for path in found:
        path.unlink()
    return found


def quote(text: str) -> str:
    """A word of ExecStart= as systemd.service(5) and systemd.syntax(7) read it.

    Raises:
        OptionsError: If it would end the line.
    """
    escaped = _check_line(text).replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped) else f'"{escaped}"'


def _check(name: str, user: str | None) -> None:
    if not _NAME.match(name):
        raise OptionsError(
            f"expected a name of lower-case letters, digits and -, such as door, found {name!r}"
        )
    if user is not None and not _USER.match(user):
        raise OptionsError(f"expected a user name, found {user!r}")


def _check_root(installation: Installation) -> None:
    folder = installation.unit_file.parent
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        raise ServiceError(
            f"{folder} belongs to root; run: sudo {shlex.join([*find_program(), *sys.argv[1:]])}"
        )


def _quote_path(path: str) -> str:
    escaped = _check_line(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{escaped}"'


def _check_line(text: str) -> str:
    """Settings refuse such text, too; but what follows a line break here is run as root."""
    if holds_control(text):
        raise OptionsError(f"{text!r} cannot be in a unit file: it contains a control character")
    return text
