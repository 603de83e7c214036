"""Runs each benchmark command on a board, and looks at what it says.

    python tests/boards/benchmarks.py BUNDLE [--quick] [--emulated]

Times are not looked at: under emulation they mean nothing, and --emulated expects to be told so.
What must hold are facts: every row measured, one file recommended, written and taken up; the
machine named. --quick leaves out what starts many processes. Prints what the commands print.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

MEANS_NOTHING = "the times mean nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--emulated", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = measure_one(options.bundle, folder, emulated=options.emulated)
        print(f"processor {report['board']['cpu']}, board {report['board']['board']}")
        limit_whole_path(options.bundle)
        if not options.quick:
            survey_and_tune(options.bundle, folder, emulated=options.emulated)


def measure_one(bundle: Path, folder: Path, *, emulated: bool) -> dict:
    out = folder / "board.json"
    told = run("bench", bundle, "--seconds", 1, "--out", out)
    report = json.loads(out.read_bytes())
    assert report["board"]["emulated"] is emulated, report["board"]
    assert (MEANS_NOTHING in told.stderr) is emulated, told.stderr
    assert report["start_ms"] > report["load_ms"] > 0
    assert report["board"]["cpu"]
    assert report["board"]["memory_bytes"] > 2**20
    return report


def limit_whole_path(bundle: Path) -> None:
    # Under emulation the capture process takes seconds to import what it needs.
    source = ("--source", "pattern", "--fps", 5, "--open-timeout-s", 120)
    told = run("bench", bundle, *source, "--seconds", 3)
    assert "limited by" in told.stdout, told.stdout


def survey_and_tune(bundle: Path, folder: Path, *, emulated: bool) -> None:
    kept, page, config = folder / "survey.json", folder / "survey.html", folder / "edgetl.toml"
    flags = ("--budget", 0.2, "--threads", 1, "--out", kept, "--page", page)
    told = run("bench", bundle, "--all", *flags)
    found = json.loads(kept.read_bytes())
    assert all(row["failure"] == "" for row in found["rows"]), found["rows"]
    assert (MEANS_NOTHING in told.stderr) is emulated, told.stderr
    assert page.read_text().startswith("<!doctype html>")
    run("tune", bundle, "--config", config, "--from", kept)
    settings = run("config", "--config", config).stdout
    assert f'variant = "{found["recommendation"]["variant"]}"' in settings, settings


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["edgetl-run", *map(str, arguments)]
    print("$", *command, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="", flush=True)
    assert done.returncode == 0, done.returncode
    return done


if __name__ == "__main__":
    main()
