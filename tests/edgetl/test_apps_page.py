"""What docs/apps.md tells writers of apps is so."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edgetl_export.package.app_description import AppDescription, describe_for_apps
from edgetl_runtime.bundle.reader import Bundle

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "data" / "tiny.bundle"


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "apps.md").read_text("utf-8")


def test_the_python_snippet_writes_the_inputs(page, tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shutil.copytree(TINY, tmp_path / "parts.bundle")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True)
    golden = describe_for_apps(Bundle.open(TINY)).golden
    for number, one in enumerate(golden):
        rgb = cv2.cvtColor(cv2.imread(str(tmp_path / f"input{number}.png")), cv2.COLOR_BGR2RGB)
        assert hashlib.sha256(rgb.tobytes()).hexdigest() == one.input_sha256


def test_the_table_names_every_key_of_the_object(page):
    table = page.split("| key of `model.json` | says |")[1].split("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[1:]))
    known = {field for field in AppDescription.__struct_fields__}
    assert known - set(named) == {"format_version", "bundle_sha256"}
    assert set(named) <= known


def test_every_test_that_the_page_names_exists(page):
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert len(files) == 4
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []
