"""Frame after frame, nothing grows: JavaScript's heaps, wasm's memory, the browser's process.

For ten minutes:  EDGETL_MEMORY_S=600 pytest --log-cli-level=INFO tests/phone/test_memory.py
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

from tests.browsers.chromium import Chromium
from tests.phone.driving import (
    LIVE,
    allow,
)

log = logging.getLogger(__name__)
SECONDS = float(os.environ.get("EDGETL_MEMORY_S", "10"))
# A frame of 640x480 that stays is 1.2 MB: a thousand of them are far beyond these.
PAGE_KIB, WORKER_KIB, PROCESS_MIB = 512, 512, 250


def measure(browser: Chromium) -> dict[str, Any]:
    """Sizes after all that is garbage has gone."""
    (worker,) = browser.workers()
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
    phone.wait_for(f"{LIVE} && sent > 400", 60)
    # By now the browser's pools are filled. Photos have a canvas and memory of their size.
    photo = "new OffscreenCanvas(2000, 1500)"
    classify = f"""(async () => {{
      const canvas = {photo};
      canvas.getContext('2d').fillRect(9, 9, 900, 900);
      const blob = await canvas.convertToBlob();
      for (let i = 0; i < 20; i++) await edgetl.classify(blob);
    }})().then(() => 0)"""
    phone.evaluate(classify)
    before = measure(phone)
    _let_run(phone, SECONDS)
    phone.evaluate("edgetl.bench(1000).then(() => 0)")
    phone.evaluate(classify)
    after = measure(phone)
    log.info("before %s, after %s", before, after)
    assert after["frames"] > before["frames"] + 20
    assert after["page_kib"] < before["page_kib"] + PAGE_KIB
    assert after["worker_kib"] < before["worker_kib"] + WORKER_KIB
    assert after["wasm_mib"] == before["wasm_mib"]
    assert after["process_mib"] < before["process_mib"] + PROCESS_MIB


def _let_run(browser: Chromium, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(1)
        browser.evaluate("0")
        # The events of a long session are not what is measured.
        browser.events.clear()
