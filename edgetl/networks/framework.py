"""TensorFlow: seconds to import, so it comes after all that can be refused without it."""

import logging

from edgetl_export.native import divert_stderr
from edgetl_export.progress import Track, silent


def load_tensorflow(track: Track = silent) -> None:
    """Imports TensorFlow without what its C++ says on stderr; says what takes so long."""
    for _ in track((None,), "loading TensorFlow", None):
        with divert_stderr():
            import tensorflow  # noqa: F401
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
