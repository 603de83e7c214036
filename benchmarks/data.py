"""Where the benchmarks find photos and weights."""

import os
import sys
from pathlib import Path


def test_data() -> Path:
    """The folder that EDGETL_TEST_DATA names; ends the benchmark where there is none."""
    folder = os.environ.get("EDGETL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit("set EDGETL_TEST_DATA to a folder with weights/ and trashnet/<class>/*.jpg")
    return Path(folder).resolve()
