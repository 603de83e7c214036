"""First and repeated visits in Chromium, from navigation to the first label."""

import base64
import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from arena import start_with, write
from browser_agreement import choose
from network import Network

from edgetl_export.phone.serving import SiteServer
from edgetl_runtime.bundle.reader import Bundle
from tests.browsers.chromium import Chromium

# A phone's: its processor, and a network between 3G and 4G.
SLOWER = 4
SLOW_NETWORK = {"mbit_s": 10.0, "delay_ms": 40.0}
CASES = {
    "as it is": (1, {}),
    f"processor {SLOWER} times slower": (SLOWER, {}),
    "10 Mbit/s, 40 ms": (1, SLOW_NETWORK),
    "both": (SLOWER, SLOW_NETWORK),
}
WAIT_S = 120.0
PERIOD_S = 0.02
BENCH_RUNS = 50
# What a visit waits for. Before the page's own code; moments count from the start of navigation.
PHOTO = """
addEventListener("load", async () => {{
  const bytes = Uint8Array.from(atob({}), (one) => one.charCodeAt(0));
  await edgetl.ready;
  const ready_ms = performance.now();
  await edgetl.classify(new Blob([bytes]));
  window.visit = {{ ready_ms, label_ms: performance.now() }};
}});
"""
CAMERA = """
addEventListener("load", () => {
  const age = document.getElementById("age");
  new MutationObserver(() => {
    if (/\\d/.test(age.textContent)) window.visit ??= { label_ms: performance.now() };
  }).observe(age, { childList: true, characterData: true, subtree: true });
});
"""


def measure_visits(bundle: Bundle, work: Path, *, repeats: int, cases: list[str]) -> Iterator[dict]:
    """Milliseconds to the first label of a photo and of the camera, for each case."""
    site = write(bundle, work / "visits")
    photo = json.dumps(base64.b64encode(choose(2)[1].read_bytes()).decode())
    scripts = {"photo": PHOTO.format(photo), "camera": CAMERA}
    for case in cases:
        found = {"bundle": bundle.path.name, "case": case}
        for what, script in scripts.items():
            visits = [visit(site, work, script, *CASES[case]) for _ in range(repeats)]
            found[what] = summarize(visits)
        yield found


def summarize(visits: list[dict]) -> dict:
    """Medians of all that was measured."""
    return {key: statistics.median(one[key] for one in visits) for key in visits[0]}


def visit(site: Path, work: Path, script: str, slower: int, network: dict[str, float]) -> dict:
    """Visits with an empty profile, and again when the server is stopped, by a new browser."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        with SiteServer(site, port=0, secure=False) as server:
            link = Network(server.port, **network)
            address = f"http://localhost:{link.port}/"
            try:
                first = look(address, Path(profile), work, script, slower)
                first["received_bytes"] = link.received_bytes
            finally:
                link.close()
        again = look(address, Path(profile), work, script, slower)
    return {f"first_{key}": value for key, value in first.items()} | {
        "again_label_ms": again["label_ms"]
    }


def look(address: str, profile: Path, work: Path, script: str, slower: int) -> dict:
    """One visit, until the page works offline."""
    browser = start_with("chromium", profile, work)
    assert isinstance(browser, Chromium)
    try:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        allowed = {"origin": address, "permissions": ["videoCapture"]}
        browser.call("Browser.grantPermissions", session="", **allowed)
        with slow_down(browser.pid, slower):
            browser.open(address, width=412, height=915)
            browser.wait_for("window.visit", WAIT_S)
            found = browser.evaluate("window.visit")
        browser.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
    finally:
        browser.close()
    return found


@contextmanager
def slow_down(pid: int, times: int) -> Iterator[None]:
    """Lets a process and all that it started run for a part of the time only.

    The browser's own emulation slows a page and not its workers, where the model runs.
    """
    if times == 1:
        yield
        return
    over = threading.Event()
    stopping = threading.Thread(target=stop_and_go, args=(pid, times, over))
    stopping.start()
    try:
        yield
    finally:
        over.set()
        stopping.join()


def stop_and_go(pid: int, times: int, over: threading.Event) -> None:
    while not over.is_set():
        time.sleep(PERIOD_S / times)
        stop_s = time.monotonic()
        stopped = list_family(pid)
        for one in stopped:
            send(one, signal.SIGSTOP)
        time.sleep(max(0.0, stop_s + PERIOD_S * (times - 1) / times - time.monotonic()))
        for one in stopped:
            send(one, signal.SIGCONT)


def send(pid: int, what: signal.Signals) -> None:
    # It may have ended meanwhile.
    with suppress(ProcessLookupError):
        os.kill(pid, what)


def list_family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    family = [pid]
    for one in family:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                family += map(int, children.read_text().split())
            except OSError:
                continue
    return family


def measure_memory(bundle: Bundle, work: Path) -> dict:
    """Memory of Chromium's page and worker after a benchmark, in MiB."""
    site = write(bundle, work / "visits")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        SiteServer(site, port=0, secure=False) as server,
    ):
        browser = start_with("chromium", Path(profile), work)
        assert isinstance(browser, Chromium)
        try:
            browser.open(server.url)
            browser.evaluate("edgetl.ready")
            report = browser.evaluate(f"edgetl.bench({BENCH_RUNS})")
            heaps = {"page": read_heap(browser, None)}
            for session in list_workers(browser):
                heaps["worker"] = read_heap(browser, session)
        finally:
            browser.close()
    return {"bundle": bundle.path.name, "wasm_mib": report["browser"]["wasm_memory_mib"]} | {
        f"{where}_{key}": value for where, heap in heaps.items() for key, value in heap.items()
    }


def list_workers(browser: Chromium) -> list[str]:
    attached = [e["params"] for e in browser.events if e["method"] == "Target.attachedToTarget"]
    return [one["sessionId"] for one in attached if one["targetInfo"]["type"] == "worker"]


def read_heap(browser: Chromium, session: str | None) -> dict[str, float]:
    """What is in use after the garbage is collected: JavaScript's objects, and array buffers."""
    browser.call("HeapProfiler.collectGarbage", session=session)
    usage = browser.call("Runtime.getHeapUsage", session=session)
    return {
        "heap_mib": usage["usedSize"] / 2**20,
        "buffers_mib": usage["backingStorageSize"] / 2**20,
    }
