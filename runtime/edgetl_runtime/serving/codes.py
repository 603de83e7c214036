"""QR codes of addresses, for phones."""

import io
import os
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.authority import NO_EXTRA

if TYPE_CHECKING:
    from segno import QRCode

_BORDER: Final = 2
_GAP: Final = 4
# Bright white on black in any theme: a code with its colours swapped is not read by every phone.
_COLOURS: Final = "\033[38;5;231;48;5;16m{}\033[0m"


class Code(msgspec.Struct, frozen=True):
    """An address to scan, and what it is for."""

    title: str
    address: str


def draw_svg(address: str) -> bytes:
    """The code as a picture, dark on white.

    Raises:
        ServiceError: If the extra is missing.
    """
    out = io.BytesIO()
    _make(address).save(out, kind="svg", border=_BORDER, scale=4, light="#fff", xmldecl=False)
    return out.getvalue()


def show_codes(codes: Sequence[Code], stream: TextIO) -> None:
    """Writes the codes side by side to a terminal that is wide enough; otherwise nothing.

    Raises:
        ServiceError: If the extra is missing.
    """
    if not stream.isatty() or not _has_blocks(stream):
        return
    columns = [_draw(code) for code in codes]
    titles = [code.title.ljust(len(rows[0])) for code, rows in zip(codes, columns, strict=True)]
    gap = " " * _GAP
    if len(gap.join(titles)) > os.get_terminal_size(stream.fileno()).columns:
        return
    stream.write(f"{gap.join(titles).rstrip()}\n")
    for cells in zip_longest(*columns):
        shown = (
            _COLOURS.format(cell) if cell else " " * len(title)
            for cell, title in zip(cells, titles, strict=True)
        )
        stream.write(f"{gap.join(shown).rstrip()}\n")
    stream.flush()


def _draw(code: Code) -> list[str]:
    """The rows of half blocks, all of one width."""
    out = io.StringIO()
    _make(code.address).terminal(out, border=_BORDER, compact=True)
    return out.getvalue().splitlines()


def _has_blocks(stream: TextIO) -> bool:
    try:
        "▀▄█".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _make(address: str) -> "QRCode":
    try:
        import segno
    except ImportError as error:
        raise ServiceError(f"{NO_EXTRA} ({error.name} is missing)") from error
    # A screen has no stains: the smallest code; segno corrects more errors where there is room.
    return segno.make(address, error="l", micro=False)
