"""Headless Chromium without a driver of its own, spoken to through its DevTools pipe."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.browsers.browser import Browser, NotInstalledError, ScriptError, address_of

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    # Chromium's sandbox does not start for root, as which many CI machines run.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    # A name that is not localhost, without asking anybody.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
# Chromium reads its commands from descriptor 3 and writes to 4.
SHIM = """
import fcntl, os, sys
pipes = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in ({}, {})]
for target, one in zip((3, 4), pipes):
    os.dup2(one, target)
os.execv(sys.argv[1], sys.argv[1:])
"""
SUM_OF_BYTES = "function() { return this.reduce((sum, one) => sum + one.buffer.byteLength, 0) }"
# So short that nothing that a page times, such as a frame, fits between two stops.
RUN_S = 0.004


class Slowness:
    """Stops processes again and again, so that they run for one part of the time in `times`."""

    def __init__(self, processes: Sequence[int], times: float) -> None:
        self.processes, self._times = processes, times
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_stopping)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_stopping(self) -> None:
        while not self._ended.wait(RUN_S):
            self._signal(signal.SIGSTOP)
            time.sleep(RUN_S * (self._times - 1))
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


class Chromium(Browser):
    """Headless Chromium; messages on its pipe end with a zero byte.

    Args:
        profile: An empty folder.
        flags: More of its flags, such as `camera_flags` gives.
    """

    name = "chromium"

    def __init__(self, profile: Path, flags: Sequence[str] = ()) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise NotInstalledError("no Chromium on the PATH; on Debian: chromium")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        shim = SHIM.format(theirs_in, theirs_out)
        own = (*FLAGS, *flags, f"--user-data-dir={profile}")
        self._process = subprocess.Popen(
            [sys.executable, "-c", shim, program, *own],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb")
        self._pending = b""
        self._numbers = itertools.count(1)
        self._session = ""
        self._workers: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        follow = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
        self.call("Target.setAutoAttach", **follow)

    @property
    def pid(self) -> int:
        """Of the browser's first process, from which all others descend."""
        return self._process.pid

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the DevTools protocol.

        Args:
            method: Its name.
            session: Of a worker; "" is the browser itself, and None the page.
            parameters: Of the command.
        """
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if one := self._session if session is None else session:
            message["sessionId"] = one
        self._out.write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event.get("method") == "Target.attachedToTarget":
            about = event["params"]
            self._workers[about["sessionId"]] = about["targetInfo"]["type"]
        elif event.get("method") == "Target.detachedFromTarget":
            self._workers.pop(event["params"]["sessionId"], None)

    def _read(self) -> dict[str, Any]:
        parts: list[bytes] = []
        while True:
            data, end, rest = self._pending.partition(b"\0")
            parts.append(data)
            if end:
                break
            rest = self._in.read1(1 << 20)
            assert rest, "the browser ended"
            self._pending = rest
        self._pending = rest
        message: dict[str, Any] = json.loads(b"".join(parts))
        return message

    def open(
        self,
        page: Path | str,
        *,
        width: int = 1200,
        height: int = 900,
        scheme: str = "light",
        media: str = "",
        motion: str = "no-preference",
        phone: bool = False,
    ) -> None:
        """Goes to a file or address, and waits until it is loaded.

        Args:
            page: The file or address.
            width: Of the window, in CSS pixels.
            height: Of the window, in CSS pixels.
            scheme: What prefers-color-scheme says.
            media: What it is shown on, such as "print"; "" is a screen.
            motion: What prefers-reduced-motion says.
            phone: Whether it has a touchscreen, and obeys the viewport's meta element.
        """
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=5)
        self.events.clear()
        self.call("Page.navigate", url=address_of(page))
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._note(self._read())
        # What the page still does after it was loaded is in the events, too.
        self.evaluate("new Promise((done) => setTimeout(done, 200))")

    def evaluate(self, expression: str, *, session: str | None = None) -> Any:
        how = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", session=session, **how)
        if "exceptionDetails" in answer:
            raise ScriptError(_describe(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def answer_camera(self, answer: str) -> None:
        """Answers all pages that want the camera: "granted", "denied", or "prompt" for not yet.

        Taking it away ends its tracks. Where a page was told "prompt" it is refused, and so is
        what it asks within the next second.
        """
        camera = {"name": "camera"}
        self.call("Browser.setPermission", session="", permission=camera, setting=answer)

    def slow_down(self, times: float) -> Slowness:
        """Slows pages and their workers down, in a with statement.

        Chromium's own Emulation.setCPUThrottlingRate slows no workers.
        """
        processes = self.call("SystemInfo.getProcessInfo", session="")["processInfo"]
        return Slowness([one["id"] for one in processes if one["type"] == "renderer"], times)

    def hide(self) -> None:
        """Shows another tab, until `show`."""
        self._other = self.call("Target.createTarget", session="", url="about:blank")["targetId"]
        self.call("Target.activateTarget", session="", targetId=self._other)

    def show(self) -> None:
        self.call("Target.activateTarget", session="", targetId=self._target)
        self.call("Target.closeTarget", session="", targetId=self._other)

    def workers(self, kind: str = "worker") -> list[str]:
        """The sessions of the page's workers that live now; `evaluate` and `call` take them."""
        self.evaluate("0")
        return [session for session, its in self._workers.items() if its == kind]

    def memory(self) -> dict[str, int]:
        """Bytes after a garbage collection, of the page and its workers together.

        Returns:
            "script": JavaScript's heap; "buffers": array buffers; "wasm": WebAssembly's memories.
        """
        totals = {"script": 0, "buffers": 0, "wasm": 0}
        for session in (self._session, *self.workers()):
            self.call("HeapProfiler.collectGarbage", session=session)
            usage = self.call("Runtime.getHeapUsage", session=session)
            totals["script"] += usage["usedSize"]
            totals["buffers"] += usage["backingStorageSize"]
            totals["wasm"] += self._wasm_bytes(session)
        return totals

    def _wasm_bytes(self, session: str) -> int:
        group = {"objectGroup": "memory"}
        memory = {"expression": "WebAssembly.Memory.prototype", **group}
        prototype = self.call("Runtime.evaluate", session=session, **memory)["result"]["objectId"]
        query = {"prototypeObjectId": prototype, **group}
        found = self.call("Runtime.queryObjects", session=session, **query)["objects"]
        total = self.call(
            "Runtime.callFunctionOn",
            session=session,
            objectId=found["objectId"],
            functionDeclaration=SUM_OF_BYTES,
            returnByValue=True,
        )
        self.call("Runtime.releaseObjectGroup", session=session, **group)
        return int(total["result"]["value"])

    def choose_file(self, selector: str, path: object) -> None:
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def requests(self) -> set[str]:
        """What was asked for, but for pictures inside the page."""
        asked = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = {one["request"]["url"] for one in asked}
        return {url for url in urls if not url.startswith("data:")}

    def complaints(self) -> list[Any]:
        # Those of the security policy are in the log.
        names = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.events if event["method"] in names]

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        # Chromium ends with its pipe.
        self._out.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._in.close()


def _describe(details: dict[str, Any]) -> str:
    thrown = details.get("exception", {})
    return str(thrown.get("description") or thrown.get("value") or details["text"])


def camera_flags(film: Path, *, granted: bool = True) -> tuple[str, ...]:
    """Flags for a fake camera.

    Args:
        film: Shown over and over; .y4m, as tests/browsers/film.py writes it, or .mjpeg.
        granted: Whether pages may use it without asking.
    """
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    return (*camera, "--use-fake-ui-for-media-stream") if granted else camera
