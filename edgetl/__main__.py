"""The entry of `edgetl`; nothing is imported before Ctrl-C is understood."""

import sys


def main() -> int:
    """Runs the command of the process and returns its exit code."""
    try:
        from edgetl_runtime.system.interruption import run_program
    except KeyboardInterrupt:
        return 130  # As `interruption` has it, which is not there yet.
    return run_program(_run)


def _run() -> int:
    from edgetl.cli import main as run

    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
