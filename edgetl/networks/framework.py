"""TensorFlow: seconds to import, so it comes after all that can be refused without it."""

import logging
import os

from edgetl_export.progress import track
from edgetl_export.quiet_stderr import divert_stderr


def load_tensorflow() -> None:
    """Imports TensorFlow without what its C++ says on stderr; says what takes so long."""
    # Read when TensorFlow is imported; somebody who wants its messages has set it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for _ in track((None,), "loading TensorFlow", None):
        with divert_stderr():
            import tensorflow  # noqa: F401
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
