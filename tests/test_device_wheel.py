"""The wheel alone, in a venv that holds nothing else, passes the device's tests."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a venv with the runtime's wheel, its extras and what its tests need."""
    folder = tmp_path_factory.mktemp("device")
    build = (sys.executable, "-m", "build", "--wheel", ROOT / "runtime", "--outdir", folder)
    done = run(*build, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("edgetl_runtime-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    versions = ("-c", constraints) if constraints.exists() else ()
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    done = run(*pip, *versions, f"{wheel}[all]", "pytest", "hypothesis", cwd=folder)
    assert done.returncode == 0, done.stderr
    return python


def test_the_device_runs_what_is_in_the_wheel(python, tmp_path):
    done = run(python, "-P", "-c", "import edgetl_runtime as e; print(e.__file__)", cwd=tmp_path)
    assert Path(done.stdout).is_relative_to(python.parents[1])


def test_the_wheel_passes_the_devices_tests_alone(python, tmp_path, pytestconfig):
    tests = [ROOT / "tests" / "runtime", "-q", "-rs", "-p", "no:cacheprovider"]
    tests += ["--strict-tools"] * pytestconfig.getoption("--strict-tools")
    done = run(python, "-P", "-m", "pytest", *tests, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    # What skips for want of rights or hardware may; what skips for want of a package may not.
    assert "import" not in "".join(line for line in done.stdout.splitlines() if "SKIPPED" in line)


@pytest.mark.parametrize("name", ["edgetl", "edgetl_export", "tensorflow", "keras", "PIL"])
def test_the_device_has_no_workstation(name, python, tmp_path):
    done = run(python, "-P", "-c", f"import {name}", cwd=tmp_path)
    assert f"No module named '{name}'" in done.stderr


def test_the_wheel_installs_its_command_and_its_types(python, tmp_path):
    done = run(python.parent / "edgetl-run", "--version", cwd=tmp_path)
    assert done.stdout.startswith("edgetl-run 0.")
    (package,) = python.parents[1].glob("lib/*/site-packages/edgetl_runtime")
    assert (package / "py.typed").is_file()
