"""The processor that a benchmark's figures are of."""

import re
from pathlib import Path

from edgetl_runtime.system.board import describe_board

# Multiply int8 and sum in 32 bits by one instruction: AVX512 VNNI, AVX VNNI; ARM's dot product.
_DOT_PRODUCTS = {"avx512_vnni": "VNNI", "avx_vnni": "VNNI", "asimddp": "dot products"}


def describe_processor() -> dict[str, object]:
    """Name, processors that this process may use, and whether it has int8 dot products."""
    board = describe_board()
    return {
        "board": board.board,
        "cpu": board.cpu,
        "cores": board.allowed_cores,
        "int8_dot_products": bool(_DOT_PRODUCTS.keys() & _read_flags()),
    }


def print_processor() -> None:
    found = describe_processor()
    has = next((_DOT_PRODUCTS[one] for one in sorted(_DOT_PRODUCTS.keys() & _read_flags())), None)
    words = f"with {has}" if has else "without VNNI or dot products"
    print(f"{found['board'] or found['cpu']}, {found['cores']} cores, {words}")


def _read_flags() -> set[str]:
    """As `lscpu` does; none where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(line[1].split()) if line else set()
