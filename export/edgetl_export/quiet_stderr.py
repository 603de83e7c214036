"""Keeps native code from writing on stderr what no user can act on."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def divert_stderr() -> Iterator[None]:
    """Sends file descriptor 2 elsewhere during a block; if the block fails, prints it after all.

    TensorFlow's C++ reports missing GPUs and internal flags there before any setting of its own
    is read. Python's own `sys.stderr` is diverted with it: keep the block short.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as elsewhere:
        os.dup2(elsewhere.fileno(), 2)
        try:
            yield
        except Exception:  # After Ctrl-C there is nothing to explain.
            os.dup2(kept, 2)
            elsewhere.seek(0)
            os.write(2, elsewhere.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
