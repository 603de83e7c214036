"""Frame after frame, nothing grows: JavaScript's heaps, wasm's memory, the browser's process.

For ten minutes:  EDGETL_MEMORY_S=600 pytest --log-cli-level=INFO tests/phone/test_memory.py
"""

import logging
import os
from pathlib import Path
from typing import Any

from tests.browsers.chromium import Chromium
from tests.phone.driving import (
    LIVE,
    allow,
)

log = logging.getLogger(__name__)
SECONDS = float(os.environ.get("EDGETL_MEMORY_S", "10"))
# What stays of 640x480 frames, if they stay, is 1.2 MB each.
PAGE_KIB, WORKER_KIB, PROCESS_MIB = 1024, 1024, 150


def measure(browser: Chromium) -> dict[str, Any]:
    """Sizes after all that is garbage has gone."""
    (worker,) = browser.sessions("worker")
    heaps = {}
    for name, session in (("page_kib", None), ("worker_kib", worker)):
        for _ in range(2):
            browser.call("HeapProfiler.collectGarbage", session=session)
        heaps[name] = browser.call("Runtime.getHeapUsage", session=session)["usedSize"] / 1024
    wasm = browser.evaluate("edgetl.bench(1).then(({browser}) => browser.wasm_memory_mib)")
    processes = browser.call("SystemInfo.getProcessInfo", session="")["processInfo"]
    renderers = [one["id"] for one in processes if one["type"] == "renderer"]
    process = sum(map(_read_resident_mib, renderers))
    frames = browser.evaluate("sent")
    return {"frames": frames, **heaps, "wasm_mib": wasm, "process_mib": process}


def _read_resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_frames_leave_nothing_behind(phone, served):
    allow(phone, served.url)
    phone.open(served.url)
    phone.wait_for(f"{LIVE} && sent > 100", 60)
    # The photos' way as well: a canvas and memory of their size.
    photo = "new OffscreenCanvas(2000, 1500)"
    classify = f"""(async () => {{
      const canvas = {photo};
      canvas.getContext('2d').fillRect(9, 9, 900, 900);
      const blob = await canvas.convertToBlob();
      for (let i = 0; i < 20; i++) await edgetl.classify(blob);
    }})().then(() => 0)"""
    phone.evaluate(classify)
    before = measure(phone)
    phone.evaluate(
        f"new Promise((done) => setTimeout(done, {SECONDS} * 1000)).then(() => 0)"
        if SECONDS < 60
        else "0"
    )
    if SECONDS >= 60:
        _wait_long(phone)
    phone.evaluate("edgetl.bench(1000).then(() => 0)")
    phone.evaluate(classify)
    after = measure(phone)
    log.info("before %s, after %s", before, after)
    assert after["frames"] > before["frames"] + 10 * SECONDS / 2
    assert after["page_kib"] < before["page_kib"] + PAGE_KIB
    assert after["worker_kib"] < before["worker_kib"] + WORKER_KIB
    assert after["wasm_mib"] == before["wasm_mib"]
    assert after["process_mib"] < before["process_mib"] + PROCESS_MIB


def _wait_long(browser: Chromium) -> None:
    for _ in range(int(SECONDS // 10)):
        browser.evaluate("new Promise((done) => setTimeout(done, 10_000)).then(() => 0)")
        # The events of a long session are not what is measured.
        browser.events.clear()
