"""`edgetl-run install-service`: let systemd run a camera for months."""

import argparse

from edgetl_runtime.commands.arguments import Subparsers, add_command
from edgetl_runtime.commands.exits import EXIT_ERROR
from edgetl_runtime.commands.printing import print_file, warn
from edgetl_runtime.commands.settings import read_settings, take_settings

_SECTIONS = (
    *("model", "source", "view", "pace", "smoothing", "output", "collect", "serve", "service"),
)
_NAME = "camera"


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "write a systemd unit for `edgetl-run serve`, and its settings file"
    parser = add_command(commands, "install-service", install_service, summary, bundle=False)
    parser.add_argument("--user", help="Existing user to run as (default: a dynamic one)")
    parser.add_argument("--dry-run", action="store_true", help="Only print both files")
    parser.add_argument("--overwrite", action="store_true", help="Replace existing settings")
    parser.add_argument("--uninstall", action="store_true", help="Remove both files")
    take_settings(parser, _SECTIONS)


def install_service(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.errors import ServiceError
    from edgetl_runtime.service.impediments import find_impediments
    from edgetl_runtime.service.unit import install, plan_installation, uninstall

    if options.uninstall:
        name = vars(options).get("output.name") or _NAME
        for path in uninstall(name):
            print(f"removed {path}")
        warn(f"next: systemctl stop edgetl-{name}; systemctl daemon-reload")
        return 0
    settings = read_settings(options, terminal="event")
    name = settings.output.name or _NAME
    installation = plan_installation(name, settings, user=options.user)
    obstacles = find_impediments(installation)
    for obstacle in obstacles:
        warn(obstacle)
    if options.dry_run:
        for path, text in installation.files:
            print_file(f"# {path}\n{text}\n")
        return EXIT_ERROR if obstacles else 0
    if obstacles:
        raise ServiceError("nothing was installed, because the service could not run; see above")
    install(installation, overwrite=options.overwrite)
    for path, _ in installation.files:
        print(f"wrote {path}")
    warn(f"next: systemctl daemon-reload && systemctl enable --now {installation.unit}")
    return 0
