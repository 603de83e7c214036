"""WebKitGTK, the nearest thing to an iPhone's browser, spoken to by its own WebDriver.

Plain W3C WebDriver over HTTP, of which six commands are enough: Selenium would bring a dozen
packages and a manager that looks for drivers in the network.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.browsers.browser import (
    Browser,
    NotInstalledError,
    ScriptError,
    address_of,
    in_function,
)
from tests.waiting import wait_until

BROWSERS = "/usr/lib*/**/webkit2gtk-4.*/MiniBrowser"
# A moving picture of its own as the camera, which pages may use without asking; and
# navigator.storage, which iPhones have.
FLAGS = (
    "--enable-media-stream=true",
    "--enable-mock-capture-devices=true",
    "--features=StorageAPI,StorageAPIEstimate",
)
ANSWER_S = 60.0
# The key under which W3C WebDriver hands out an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
EVALUATE = """
const done = arguments[arguments.length - 1];
(async () => {{ {} }})().then(
    (value) => done({{value}}), (error) => done({{error: `${{error}}\\n${{error.stack}}`}}));
"""
# WebKit keeps the console of a private window, as all are here, to itself.
LISTEN = """(() => {
    const heard = window.__complaints = [];
    for (const level of ["error", "warn"]) {
        const say = console[level];
        console[level] = (...words) => { heard.push(words.join(" ")); say(...words); };
    }
    addEventListener("error", (event) => heard.push(event.message || "cannot load"), true);
    addEventListener("unhandledrejection", (event) => heard.push(String(event.reason)));
    addEventListener("securitypolicyviolation", (event) =>
        heard.push(`${event.violatedDirective} ${event.blockedURI}`));
})()"""


class WebKit(Browser):
    """MiniBrowser of WebKitGTK on a display of its own.

    Args:
        folder: An empty folder, its home.
        flags: Of MiniBrowser.
    """

    name = "webkit"

    def __init__(self, folder: Path, flags: Sequence[str] = FLAGS) -> None:
        program = _find_browser()
        self._started: list[subprocess.Popen[bytes]] = []
        self._session = ""
        try:
            display = self._start_display()
            self._start_driver(folder, display)
            options = {
                "binary": program,
                "args": ["--automation", *flags],
            }
            wishes = {"webkitgtk:browserOptions": options}
            session = self._send("POST", "/session", capabilities={"alwaysMatch": wishes})
            self._session = f"/session/{session['sessionId']}"
            self._send("POST", "/timeouts", script=int(1000 * ANSWER_S))
        except BaseException:
            self.close()
            raise

    def _start_display(self) -> str:
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
        display = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._started.append(display)
        assert display.stdout
        number = display.stdout.readline().decode().strip()
        assert number, "Xvfb did not start"
        return f":{number}"

    def _start_driver(self, folder: Path, display: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        own = {"HOME": str(folder), "DISPLAY": display, "NO_AT_BRIDGE": "1"}
        own |= {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        driver = subprocess.Popen(
            ["WebKitWebDriver", f"--port={port}"],
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(driver)
        self._base = f"http://127.0.0.1:{port}"
        wait_until(self._is_ready, "WebKitWebDriver's start")

    def _is_ready(self) -> bool:
        try:
            self._send("GET", "/status")
        except urllib.error.URLError:
            return False
        return True

    def _send(self, verb: str, path: str, **parameters: Any) -> Any:
        request = urllib.request.Request(
            f"{self._base}{self._session}{path}",
            data=json.dumps(parameters).encode() if verb == "POST" else None,
            method=verb,
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S + 10) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{verb} {path}: {error.read().decode()}") from error

    def open(self, page: Path | str, *, width: int = 1200, height: int = 900) -> None:
        self._send("POST", "/window/rect", width=width, height=height)
        self._send("POST", "/url", url=address_of(page))
        self.evaluate(LISTEN)
        # What the page still does after it was loaded may be complained about, too.
        self.evaluate("new Promise((done) => setTimeout(done, 200))")

    def evaluate(self, expression: str) -> Any:
        script = EVALUATE.format(in_function(expression))
        answer = self._send("POST", "/execute/async", script=script, args=[])
        if "error" in answer:
            raise ScriptError(answer["error"])
        return json.loads(answer.get("value") or "null")

    def screenshot(self) -> bytes:
        return base64.b64decode(self._send("GET", "/screenshot"))

    def complaints(self) -> list[Any]:
        """Those of the page since it was loaded: not of its loading, nor of its workers."""
        heard: list[Any] = self.evaluate("window.__complaints")
        return heard

    def choose_file(self, selector: str, path: object) -> None:
        found = self._send("POST", "/element", using="css selector", value=selector)
        self._send("POST", f"/element/{found[ELEMENT]}/value", text=str(path))

    def close(self) -> None:
        try:
            if self._session:
                self._send("DELETE", "")
        finally:
            for one in reversed(self._started):
                # The browser and its processes are of the driver's group.
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
                if one.stdout:
                    one.stdout.close()


def _find_browser() -> str:
    for program in ("Xvfb", "WebKitWebDriver"):
        if not shutil.which(program):
            package = "xvfb" if program == "Xvfb" else "webkit2gtk-driver"
            raise NotInstalledError(f"no {program} on the PATH; on Debian: {package}")
    found = sorted(Path("/").glob(BROWSERS.lstrip("/")))
    if not found:
        raise NotInstalledError("no MiniBrowser of WebKitGTK; on Debian: libwebkit2gtk-4.1-0")
    return str(found[-1])
