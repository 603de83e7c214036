"""Prometheus' own tool has nothing to complain about the metrics of a real pipeline."""

import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.settings.sections import PaceSettings, ServeSettings, Settings

TOKEN = "correct-horse-battery-staple"
TINY = Path(__file__).parent / "data" / "tiny.bundle"


@pytest.fixture
def scraped() -> bytes:
    """What a running pipeline outputs."""
    settings = Settings(serve=ServeSettings(port=0, token=TOKEN), pace=PaceSettings(max_frames=20))
    server = PageServer(settings.serve)
    pipeline = Pipeline(
        Classifier.open(TINY), Camera("pattern", settings.source), [server.output], settings
    )
    url = server.start(pipeline)
    try:
        pipeline.run()
        with urllib.request.urlopen(f"{url}metrics?token={TOKEN}", timeout=20) as response:
            text: bytes = response.read()
    finally:
        server.close()
    return text


def test_promtool_accepts_the_metrics(scraped):
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on the PATH; on Debian: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped, capture_output=True, check=False
    )
    assert b"edgetl_answers_total 20.0" in scraped
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
