"""The exit codes of `edgetl-run`; 0 is done, 2 is argparse's for wrong usage."""

from typing import Final

EXIT_ERROR: Final = 1
EXIT_GATE: Final = 3
"""Ran, but the golden frames were not reproduced, or the doctor found what must be mended."""
EXIT_LOCKED: Final = 75
"""Another instance runs; `EX_TEMPFAIL` of sysexits.h."""
