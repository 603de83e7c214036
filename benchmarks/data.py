"""Where the benchmarks find photos, weights and a bundle."""

import os
import subprocess
import sys
from pathlib import Path


def test_data() -> Path:
    """The folder that EDGETL_TEST_DATA names; ends the benchmark where there is none."""
    folder = os.environ.get("EDGETL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit("set EDGETL_TEST_DATA to a folder with weights/ and trashnet/<class>/*.jpg")
    return Path(folder).resolve()


def export(folder: Path, backbone: str = "mobilenet_v2_1.0") -> Path:
    """A bundle trained on 40 photos a class, in a process of its own."""
    data = test_data()
    photos = folder / "photos"
    for file in [
        f for c in sorted((data / "trashnet").iterdir()) for f in sorted(c.iterdir())[:40]
    ]:
        link = photos / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    environment = os.environ | {
        "EDGETL_WEIGHTS_DIR": str(data / "weights"),
        "EDGETL_CACHE": str(folder / "cache"),
    }
    edgetl = [sys.executable, "-m", "edgetl.cli"]
    run, bundle = str(folder / "run"), str(folder / "bundle")
    for command in (
        ["train", str(photos), "--out", run, "--backbone", backbone],
        ["export", run, "--out", bundle],
    ):
        subprocess.run([*edgetl, *command], check=True, env=environment, stdout=sys.stderr)
    return Path(bundle)
