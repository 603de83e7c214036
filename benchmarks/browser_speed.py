"""Frame to label in one browser: our page, the bare engine and other libraries, in turns."""

from pathlib import Path
from typing import Any

import numpy as np
from arena import build_peers, serve, start, write

from edgetl_runtime.bundle.reader import Bundle
from tests.browsers.browser import Browser, ScriptError

PEERS = ("litert", "mediapipe", "onnx")
PARTS = ("total", "preprocess", "invoke")
GRABS = ("bitmap", "frame")


def measure_speed(bundle: Bundle, name: str, work: Path, *, rounds: int, runs: int) -> dict:
    """Times in milliseconds, and ratios of ours, each the median of the rounds."""
    folder = work / "arena"
    folder.mkdir(exist_ok=True)
    write(bundle, folder)
    build_peers(bundle, folder)
    with serve(folder) as address, start(name, work) as browser:
        browser.open(f"{address}arena.html")
        ready = browser.evaluate("arena.openPage()")
        peers, failed = open_peers(browser, bundle.manifest.preprocessing.width_px)
        found = [run_round(browser, peers, runs) for _ in range(rounds)]
        camera = run_camera(browser, runs)
    times = {key: np.array([one[key] for one in found]) for key in found[0]}
    return {
        "bundle": bundle.path.name,
        "backbone": bundle.manifest.provenance.backbone,
        "browser": name,
        "build": ready["build"],
        "ms": {key: float(np.median(values)) for key, values in times.items()},
        **compare(times),
        "failed": failed,
        "camera": camera,
    }


def open_peers(browser: Browser, size: int) -> tuple[list[str], dict[str, str]]:
    """Names of what can be timed, and why the other peers cannot."""
    names: list[str] = []
    failed = {}
    for peer in PEERS:
        try:
            names += browser.evaluate(f"arena.openPeer('{peer}', {size})")
        except ScriptError as error:
            failed[peer] = str(error).splitlines()[0]
    return names, failed


def run_round(browser: Browser, peers: list[str], runs: int) -> dict[str, float]:
    report = browser.evaluate(f"arena.page.bench({runs})")
    found = {f"ours_{part}": midmean(report[f"{part}_samples_ms"]) for part in PARTS}
    for peer in peers:
        found[peer] = midmean(browser.evaluate(f"arena.run('{peer}', {runs})"))
    return found


def midmean(samples: list[float]) -> float:
    """Mean of the middle half: outliers do not count, and a clock of whole milliseconds does."""
    ordered = np.sort(samples)
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


def compare(times: dict[str, np.ndarray]) -> dict[str, Any]:
    """Each peer's time over ours; of the bare engine, ours over its."""
    ours = times["ours_total"]
    ratios = {key: describe(times[key], ours) for key in times if not key.startswith("ours_")}
    del ratios["litert"]
    return {"over_bare": describe(ours, times["litert"]), "peers_over_ours": ratios}


def describe(times: np.ndarray, others: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(times / others, (0.1, 0.5, 0.9))
    fastest = times.min() / others.min()
    return {"median": median, "p10": low, "p90": high, "fastest": fastest}


def run_camera(browser: Browser, runs: int) -> dict[str, dict[str, float]]:
    """The parts of a camera frame's way, by how the frame leaves the video; and MediaPipe's."""
    browser.evaluate("arena.openCamera()")
    calls = {grab: f"arena.runCamera({runs}, '{grab}')" for grab in GRABS}
    calls["mediapipe"] = f"arena.runMediaPipeOnCamera({runs})"
    found = {}
    for name, call in calls.items():
        try:
            samples = browser.evaluate(call)
        except ScriptError:
            # No VideoFrame, or none that a worker may have.
            continue
        found[name] = {key: midmean([one[key] for one in samples]) for key in samples[0]}
    return found
