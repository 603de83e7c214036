"""What a device pays: the runtime's wheel alone in an empty environment.

    .venv/bin/python benchmarks/device.py [--bundle BUNDLE] [--json]

Prints the installed size, the time from start to the first label of `edgetl-run classify`, its
peak memory, and the times of both `--help`. Without --bundle it uses tests/data/tiny.bundle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "tests" / "data" / "tiny.bundle")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binaries = install(folder)
        run = str(binaries / "edgetl-run")
        picture = str(options.bundle / "golden" / "0.png")
        classify = [run, "classify", str(options.bundle), picture, "--json"]
        record = {
            "installed_mib": installed_mib(folder / "venv"),
            "classify_s": median_s(classify),
            "classify_peak_mib": peak_mib(classify),
            "edgetl_run_help_s": median_s([run, "--help"]),
            "edgetl_help_s": median_s([str(Path(sys.executable).parent / "edgetl"), "--help"]),
        }
    print(
        json.dumps(record)
        if options.json
        else "\n".join(f"{key:<20}{value:8.2f}" for key, value in record.items())
    )


def install(folder: Path) -> Path:
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        str(ROOT / "runtime"),
        "--outdir",
        str(folder),
    ]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / "bin"
    subprocess.run(
        [
            str(binaries / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            str(ROOT / "constraints.txt"),
            str(wheel),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return binaries


def installed_mib(folder: Path) -> float:
    """Without pip and setuptools, which a device has already."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    ours = [path for path in files if not {"pip", "setuptools"} & set(path.parts)]
    return sum(path.stat().st_size for path in ours) / 2**20


def median_s(command: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib(command: list[str]) -> float:
    """Peak memory of one run, as the kernel accounts for it."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
