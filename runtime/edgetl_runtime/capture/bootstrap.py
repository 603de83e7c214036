"""The script that a capture process runs first.

It makes the package importable from its own folder, so that the child runs the same code as the
parent on any Python: also on the system's, where Raspberry Pi OS keeps picamera2, and where the
packages of the parent's environment must not be seen (numpy's binary interface would not fit).
"""

import importlib.util
import sys
from pathlib import Path

PACKAGE = "edgetl_runtime"


def register() -> None:
    """Makes `import edgetl_runtime` find the folder that this file lies in."""
    here = Path(__file__).resolve().parent
    folder = here.parent
    # Python puts a script's folder first, where our modules' names would shadow others.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    register()
    from edgetl_runtime.capture.child import main

    main(*map(int, sys.argv[1:]))
