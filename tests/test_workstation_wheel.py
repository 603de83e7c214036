"""The two wheels, beside their requirements and without the checkout, do the whole job."""

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import requires
from pathlib import Path

import pytest

import edgetl
import edgetl_runtime
from edgetl_export.phone.page import is_built

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "data" / "tiny.bundle"
JOB = """
import sys, edgetl
photos, out = sys.argv[1:]
run = edgetl.train(
    photos, out=f"{out}/run", backbone="cnn", weights="none", size=32, augment="none", epochs=2
)
print(run.evaluate(photos).top1, run.predict(f"{photos}/bolt/00.jpg").label, run.report.is_file())
bundle = run.export(f"{out}/parts.bundle", allow_drop=True, recipes=("litert-int8",))
print(edgetl.__file__, bundle.path)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a venv with both wheels; what they require is that of this venv."""
    folder = tmp_path_factory.mktemp("workstation")
    for project in (ROOT, ROOT / "runtime"):
        build = (sys.executable, "-m", "build", "--wheel", project, "--outdir", folder)
        done = subprocess.run(list(map(str, build)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    wheels = sorted(folder.glob("*.whl"))
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, *wheels], check=True)
    # As a plain path: the checkout's own links in it are not followed.
    (site,) = folder.glob("venv/lib/*/site-packages")
    (site / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python


def test_the_wheels_train_and_export(python: Path, photos: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-P", "-c", JOB, photos, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.endswith("True")
    place, bundle = last.split()
    assert Path(place).is_relative_to(python.parents[1])
    verify = [python.parent / "edgetl-run", "verify", bundle]
    assert "ok" in subprocess.run(verify, capture_output=True, text=True, check=True).stdout.lower()


def test_the_wheel_carries_the_page_for_phones(python: Path, tmp_path: Path) -> None:
    if not is_built():
        pytest.skip("the phone's page is not built; npm is not installed")
    command = (python.parent / "edgetl", "phone", TINY, "--out", tmp_path / "site")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    assert len(list(tmp_path.glob("site/v-*/litert/*.wasm"))) == 2


def test_the_wheels_install_their_commands(python: Path) -> None:
    for name in ("edgetl", "edgetl-run"):
        done = subprocess.run(
            [python.parent / name, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[-1] == edgetl_runtime.__version__


def test_there_is_one_version() -> None:
    assert edgetl.__version__ == edgetl_runtime.__version__
    pinned = [one for one in requires("edgetl") or () if one.startswith("edgetl-runtime[")]
    assert [one.partition("==")[2] for one in pinned] == [edgetl_runtime.__version__]
