"""The entry of `edgetl-run`; nothing is imported before Ctrl-C is understood."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; without arguments those of the process."""
    if arguments is not None:
        return _run(arguments)
    try:
        from edgetl_runtime.system.interruption import run_program
    except KeyboardInterrupt:
        return 130  # As `interruption` has it, which is not there yet.
    return run_program(lambda: _run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    from edgetl_runtime.commands.program import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
