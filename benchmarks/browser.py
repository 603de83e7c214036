"""The phone's page in real browsers, beside the bare engine and the libraries that others use.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/browser.py [--bundle BUNDLE...]
        [--browser chromium] [--parts speed,visits,agreement,memory] [--work FOLDER]
        [--quick] [--json]

speed: a frame of 640x480 to its label by `edgetl.bench` of the page, against the bare `run` of
LiteRT.js with the same file in the same browser, MediaPipe Tasks with the same file, and
onnxruntime-web with the int8 ONNX file of the bundle. One thread each, in workers, in turns: a
ratio is the median of the rounds, with their tenth and ninetieth percentile, and that of the two
fastest rounds, which other programs disturb least; milliseconds are theirs, too. Then where the
time of a camera's frame goes, from the page's main thread and back.
visits: from the start of navigation to the first label in Chromium with an empty profile, and
again with the server stopped, by a new browser of that profile. The bytes are those on the wire.
agreement: the page in each browser, and MediaPipe Tasks for Python, against the Python runtime on
photos of TrashNet and of things of no class.
memory: what Chromium's page and worker hold after a benchmark.

Without --bundle, two are trained and exported from a part of TrashNet first; --work keeps them.
The peers of benchmarks/browser and the page must be installed and built: `make bench` does both.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from browser_agreement import measure_agreement
from browser_speed import measure_speed
from browser_visits import CASES, measure_memory, measure_visits
from data import export

from edgetl_runtime.bundle.reader import Bundle
from tests.browsers import chromium, firefox, webkit

BROWSERS = ("chromium", "firefox", "webkit")
BACKBONES = ("mobilenet_v2_1.0", "mobilenet_v2_0.35")
# Frame to label over the bare run.
GOALS = {"mobilenet_v2_1.0": 1.3, "mobilenet_v2_0.35": 1.6}
MEDIAPIPE_GOAL = 1.5
MOST_MB = 4
PARTS = ("speed", "visits", "agreement", "memory")
ROUNDS, RUNS, REPEATS, PHOTOS = 10, 40, 3, 200


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        work = (options.work or Path(name)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        bundles = [Bundle.open(path) for path in options.bundle or make_bundles(work)]
        record = {"machine": describe_machine(), "browsers": describe_browsers()}
        if not options.json:
            print_machine(record)
        for part in options.parts:
            record[part] = []
            for bundle in bundles:
                for one in MEASURE[part](bundle, work, options):
                    record[part].append(one)
                    if not options.json:
                        print(PRINT[part](one), flush=True)
    if options.json:
        print(json.dumps(record))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, nargs="+")
    parser.add_argument("--browser", choices=BROWSERS, default="chromium", help="for speed")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS)
    parser.add_argument("--work", type=Path, help="where bundles are kept, and pages are written")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    return options


def make_bundles(work: Path) -> list[Path]:
    found = []
    for backbone in BACKBONES:
        bundle = work / backbone / "bundle"
        found.append(bundle if bundle.is_dir() else export(work / backbone, backbone))
    return found


def describe_machine() -> dict:
    """Of /proc/cpuinfo: VNNI is what makes int8 fast on a PC."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = dict(line.split("\t:", 1) for line in reversed(lines) if "\t:" in line)
    known = {key.strip(): value.strip() for key, value in known.items()}
    cores = sum(line.startswith("processor") for line in lines)
    flags = known.get("flags", "")
    return {"processor": known.get("model name", ""), "cores": cores, "vnni": "vnni" in flags}


def describe_browsers() -> dict[str, str]:
    """Versions of those that are installed."""
    commands = {
        "chromium": find_first(chromium.PROGRAMS),
        "firefox": find_first(firefox.PROGRAMS),
        "webkit": [
            word
            for program in list(Path("/").glob(webkit.BROWSERS.lstrip("/")))[-1:]
            for word in ("xvfb-run", "--auto-servernum", str(program))
        ],
    }
    return {name: ask_version(command) for name, command in commands.items() if command}


def find_first(programs: Sequence[str]) -> list[str]:
    return list(filter(None, map(shutil.which, programs)))[:1]


def ask_version(command: list[str]) -> str:
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def run_speed(bundle: Bundle, work: Path, options: argparse.Namespace) -> list[dict]:
    rounds = 2 if options.quick else ROUNDS
    return [measure_speed(bundle, options.browser, work, rounds=rounds, runs=RUNS)]


def run_visits(bundle: Bundle, work: Path, options: argparse.Namespace) -> Iterator[dict]:
    cases = list(CASES)[: 1 if options.quick else None]
    return measure_visits(bundle, work, repeats=1 if options.quick else REPEATS, cases=cases)


def run_agreement(bundle: Bundle, work: Path, options: argparse.Namespace) -> Iterator[dict]:
    installed = list(describe_browsers())
    return measure_agreement(bundle, installed, work, PHOTOS // 10 if options.quick else PHOTOS)


def run_memory(bundle: Bundle, work: Path, options: argparse.Namespace) -> list[dict]:
    return [measure_memory(bundle, work)]


MEASURE = {
    "speed": run_speed,
    "visits": run_visits,
    "agreement": run_agreement,
    "memory": run_memory,
}


def print_machine(record: dict) -> None:
    machine = record["machine"]
    vnni = "VNNI" if machine["vnni"] else "no VNNI"
    print(f"{machine['processor']}, {machine['cores']} cores, {vnni}")
    print("; ".join(record["browsers"].values()))


def print_speed(one: dict) -> str:
    ms = one["ms"]
    goal = GOALS.get(one["backbone"])
    lines = [
        f"\n{one['bundle']} in {one['browser']}, 640x480, LiteRT.js build {one['build']}",
        f"  {say(one['over_bare'])} times the bare run{f', goal {goal}' if goal else ''}: frame to "
        f"label {ms['ours_total']:.1f} ms (preprocess {ms['ours_preprocess']:.1f}, invoke "
        f"{ms['ours_invoke']:.1f}), bare run {ms['litert']:.1f} ms",
    ]
    for name, ratio in one["peers_over_ours"].items():
        goal_text = f", goal {MEDIAPIPE_GOAL}" if name == "mediapipe_bitmap" else ""
        bound = f", {ms[name] / ms['litert']:.2f} times the bare run"
        lines.append(f"  {say(ratio)} times ours{goal_text}: {name} {ms[name]:.1f} ms{bound}")
    lines += [f"  {peer} does not run here: {why}" for peer, why in one["failed"].items()]
    lines += [print_camera(grab, parts, ms) for grab, parts in one["camera"].items()]
    return "\n".join(lines)


def print_camera(way: str, parts: dict[str, float], ms: dict[str, float]) -> str:
    if way == "mediapipe":
        return f"  a camera's frame by MediaPipe on the main thread {parts['total_ms']:.1f} ms"
    grab = {"bitmap": "createImageBitmap", "frame": "new VideoFrame, as the page does"}[way]
    return (
        f"  {parts['total_ms'] / ms['ours_total']:.2f} times `bench`: a camera's frame by {grab} "
        f"{parts['total_ms']:.1f} ms (grab {parts['grab_ms']:.1f}, to the worker and back "
        f"{parts['hand_over_ms']:.1f}, preprocess {parts['preprocess_ms']:.1f}, invoke "
        f"{parts['invoke_ms']:.1f})"
    )


def say(ratio: dict[str, float]) -> str:
    return (
        f"{ratio['median']:.2f} [{ratio['p10']:.2f}..{ratio['p90']:.2f}; fastest rounds "
        f"{ratio['fastest']:.2f}]"
    )


def print_visits(one: dict) -> str:
    photo, camera = one["photo"], one["camera"]
    s = {key: value / 1e3 for key, value in photo.items()}
    return (
        f"\n{one['bundle']}, {one['case']}: {photo['first_received_bytes'] / 1e6:.2f} MB in the "
        f"first visit (goal: at most {MOST_MB} with 0.35)\n  checked after "
        f"{s['first_ready_ms']:.2f} s, first label of a photo {s['first_label_ms']:.2f} s, of the "
        f"camera {camera['first_label_ms'] / 1e3:.2f} s\n  again, server stopped: photo "
        f"{s['again_label_ms']:.2f} s, camera {camera['again_label_ms'] / 1e3:.2f} s"
    )


def print_agreement(one: dict) -> str:
    said = (
        f"\n{one['bundle']} in {one['client']}: best label equal to the Python runtime's on "
        f"{one['same_top1']} of {one['photos']} photos, of which it calls {one['unknown']} unknown"
    )
    if "build" not in one:
        return said
    return (
        f"{said} ({one['build']}); label or none on {one['same_label']}; scores "
        f"{one['largest_difference']:.2g} apart at most, {one['median_difference']:.2g} in the "
        f"median; golden frames {one['golden_difference']:.2g}; wasm memory "
        f"{one['wasm_mib']:.0f} MiB"
    )


def print_memory(one: dict) -> str:
    return (
        f"\n{one['bundle']} in chromium: JavaScript heap {one['page_heap_mib']:.1f} MiB in the "
        f"page, {one['worker_heap_mib']:.1f} in the worker; array buffers "
        f"{one['page_buffers_mib']:.1f} and {one['worker_buffers_mib']:.1f}; wasm memory "
        f"{one['wasm_mib']:.1f}"
    )


PRINT = {
    "speed": print_speed,
    "visits": print_visits,
    "agreement": print_agreement,
    "memory": print_memory,
}

if __name__ == "__main__":
    main()
