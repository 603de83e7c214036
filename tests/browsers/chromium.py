"""Headless Chromium without a driver of its own, spoken to through its DevTools pipe."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
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
        data = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser ended"
            data += byte
        message: dict[str, Any] = json.loads(data)
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
    ) -> None:
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
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
        film: Shown again and again; .y4m or .mjpeg.
        granted: Whether pages may use it without asking.
    """
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    return (*camera, "--use-fake-ui-for-media-stream") if granted else camera
