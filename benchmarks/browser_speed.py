"""Frame to label in one browser: our page, the bare engine and other libraries, in turns."""

from pathlib import Path
from typing import Any

import numpy as np
from arena import build_peers, start, write

from edgetl_runtime.bundle.reader import Bundle
from tests.browsers.browser import Browser, ScriptError
from tests.browsers.hosting import Host

PEERS = ("litert", "mediapipe", "onnx")
PARTS = ("total", "preprocess", "invoke")
CAMERA = {
    "bitmap": "arena.runCamera(20, 'bitmap')",
    "frame": "arena.runCamera(20, 'frame')",
    "mediapipe": "arena.runMediaPipe(20)",
}


def measure_speed(bundle: Bundle, name: str, work: Path, *, rounds: int, runs: int) -> dict:
    """Times of the fastest rounds in milliseconds, and ratios of all."""
    folder = work / "arena"
    folder.mkdir(exist_ok=True)
    write(bundle, folder)
    build_peers(bundle, folder)
    with Host(folder) as host, start(name, work) as browser:
        browser.open(f"{host.url}arena.html")
        ready = browser.evaluate("arena.openPage()")
        peers, failed = open_peers(browser, bundle.manifest.preprocessing.width_px)
        browser.evaluate("arena.openCamera()")
        both = [(run_round(browser, peers, runs), run_camera(browser)) for _ in range(rounds)]
    found, camera = [one for one, _ in both], [one for _, one in both]
    times = {key: np.array([one[key] for one in found]) for key in found[0]}
    return {
        "bundle": bundle.path.name,
        "backbone": bundle.manifest.provenance.backbone,
        "browser": name,
        "build": ready["build"],
        "ms": {key: float(values.min()) for key, values in times.items()},
        **compare(times),
        "failed": failed,
        "camera": find_fastest(camera),
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
        count = runs if peer == "litert" else runs // 2
        found[peer] = midmean(browser.evaluate(f"arena.run('{peer}', {count})"))
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


def run_camera(browser: Browser) -> dict[str, dict[str, float]]:
    """The parts of a camera frame's way, by how the frame leaves the video; and MediaPipe's."""
    found = {}
    for way, call in CAMERA.items():
        try:
            samples = browser.evaluate(call)
        except ScriptError:
            # No VideoFrame, or none that a worker may have.
            continue
        found[way] = {key: midmean([one[key] for one in samples]) for key in samples[0]}
    return found


def find_fastest(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each way its fastest round."""
    ways = rounds[0]
    return {way: min((one[way] for one in rounds), key=lambda one: one["total_ms"]) for way in ways}
