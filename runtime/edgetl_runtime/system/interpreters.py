"""How a Python of our own is started to try something that may die."""

import sys

# With -c, as with -m, the current folder comes first where modules are looked for. A `random.py` or
# a `cv2.py` that lies there would run in place of the real one. (-P would do, from Python 3.11.)
_INSTALLED_ONLY = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; "


def run_code(code: str, *, python: str = sys.executable) -> list[str]:
    """The command that runs code, which finds installed modules only; `sys` is imported.

    Args:
        code: Python statements.
        python: The interpreter.
    """
    return [python, "-c", _INSTALLED_ONLY + code]
