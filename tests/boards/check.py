"""The device's wheel in the userland of a board: tests, verify, classify, agreement of scores.

    SUITE=bookworm ARCH=arm64 .venv/bin/python tests/boards/check.py [BUNDLE...] [--quick]

`make arm64` runs it; see root.sh for SUITE, ARCH and BOARD. The committed tiny bundle is always
among those judged. --quick runs the tests of what depends on the processor only, and judges an
int8 bundle of real size that it makes on the spot. Exits 1 if anything failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgetl_runtime.bundle.reader import Bundle

BOARDS = Path(__file__).resolve().parent
ROOT = BOARDS.parents[1]
TESTS = ROOT / "tests" / "runtime"
TINY = ROOT / "tests" / "data" / "tiny.bundle"
PICTURE = TINY / "golden" / "0.png"
PHOTOS = 210
# What depends on the processor: pixels, engines, scores.
QUICK = (
    "test_classifier.py",
    "test_engine.py",
    "test_golden.py",
    "test_litert.py",
    "test_onnx.py",
    "test_preprocessing.py",
)
# Left out under emulation, each with its reason.
LEFT_OUT = {
    "test_fuzz_bundle.py": "thousands of examples, none of which depends on the processor",
    "test_fuzz_frames.py": "thousands of examples",
}

Command = list[str | Path]


def main() -> int:
    options = parse()
    failed = []
    with tempfile.TemporaryDirectory() as name:
        for step, command in list_steps(options, Path(name)):
            start = time.monotonic()
            print(f"{step} ...", flush=True)
            code = subprocess.run(command, check=False).returncode
            word = "ok" if code == 0 else f"FAILED, exit code {code}"
            print(f"{step}: {word}, {time.monotonic() - start:.0f} s", flush=True)
            failed += [step] if code else []
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.bundles = [path.resolve() for path in options.bundles]
    return options


def list_steps(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Command]]:
    """What is run, with a name for each; the device's commands run in the root."""
    yield "install the wheel", [BOARDS / "install.sh"]
    bundles = [TINY, *options.bundles]
    if options.quick:
        bundles.append(folder / "real-size.bundle")
        yield "make a bundle", [sys.executable, BOARDS / "make_bundle.py", bundles[-1]]
    yield (
        "the device's tests",
        on_board([ROOT], ["python", "-P", "-m", "pytest", *choose_tests(quick=options.quick)]),
    )
    for bundle in bundles:
        shown = [ROOT, bundle]
        yield f"verify {bundle.name}", on_board(shown, ["edgetl-run", "verify", bundle])
        for engine in sorted({variant.engine for variant in Bundle.open(bundle).manifest.variants}):
            classify: Command = ["edgetl-run", "classify", bundle, PICTURE, "--engine", engine]
            yield f"classify with {bundle.name}, {engine}", on_board(shown, classify)
    script = BOARDS / "benchmarks.py"
    flags = ["--quick"] if options.quick else []
    if os.environ.get("ARCH", "arm64") != find_own_architecture():
        flags.append("--emulated")
    yield "benchmarks", on_board([ROOT], ["python", "-P", script, TINY, *flags])
    if not options.quick and os.environ.get("EDGETL_TEST_DATA"):
        compare: Command = [sys.executable, ROOT / "benchmarks" / "agreement.py", *bundles]
        yield "compare scores", [*compare, "--count", str(PHOTOS)]


def find_own_architecture() -> str:
    """Debian's name of this machine's."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def choose_tests(*, quick: bool) -> Command:
    flags: Command = ["-q", "-rs", "-p", "no:cacheprovider"]
    if quick:
        return [*(TESTS / name for name in QUICK), *flags]
    left_out = [word for name in LEFT_OUT for word in ("--ignore", TESTS / name)]
    return [TESTS, *left_out, *flags]


def on_board(shown: list[Path], command: Command) -> Command:
    return [BOARDS / "root.sh", *(w for path in shown for w in ("--read", path)), *command]


if __name__ == "__main__":
    sys.exit(main())
