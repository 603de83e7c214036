"""`edgetl-run doctor`: look for what would keep a camera from being classified here."""

import argparse

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json
from edgetl_runtime.commands.exits import EXIT_GATE
from edgetl_runtime.commands.printing import print_json
from edgetl_runtime.commands.settings import take_settings


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "check engines, cameras, power, temperature and disk space"
    parser = add_command(commands, "doctor", diagnose_machine, summary, bundle=False)
    take_settings(parser, ("model", "serve", "service"))
    add_json(parser)


def diagnose_machine(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.options.flags import collect_flags
    from edgetl_runtime.service.doctor import diagnose, format_checks
    from edgetl_runtime.settings.file import load_settings

    checks = diagnose(load_settings(options.config, collect_flags(options)))
    if options.json:
        print_json({"checks": checks})
    else:
        print(format_checks(checks))
    return EXIT_GATE if any(check.verdict == "failed" for check in checks) else 0
