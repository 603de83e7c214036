"""Headless Firefox without geckodriver, spoken to by WebDriver BiDi, which it serves itself."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.browsers.browser import (
    Browser,
    NotInstalledError,
    ScriptError,
    address_of,
    in_function,
)
from tests.waiting import wait_until

PROGRAMS = ("firefox-esr", "firefox")
# What Firefox writes into its profile once it listens.
SERVER_FILE = "WebDriverBiDiServer.json"
ANSWER_S = 180.0
Pref = bool | int | str
PREFS: dict[str, Pref] = {
    # Nobody is asked for anything; there is no network to wait for.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
# With a moving picture of Firefox's own as its camera, which pages may use without asking.
WITH_CAMERA: dict[str, Pref] = PREFS | {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
}


class Firefox(Browser):
    """Firefox with a fake camera that pages may use.

    Args:
        profile: An empty folder.
        prefs: Its settings, by their names in about:config.
    """

    name = "firefox"

    def __init__(self, profile: Path, prefs: Mapping[str, Pref] = WITH_CAMERA) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise NotInstalledError("no Firefox on the PATH; on Debian: firefox-esr")
        pairs = (f"{json.dumps(key)}, {json.dumps(value)}" for key, value in prefs.items())
        (profile / "user.js").write_text("".join(f"user_pref({pair});\n" for pair in pairs))
        self._process = _start(program, profile)
        self._numbers = itertools.count(1)
        self._log: list[dict[str, Any]] = []
        self._connection = contextlib.ExitStack()
        self._has_session = False
        try:
            address = _wait_for_address(profile / SERVER_FILE, self._process)
            # A screenshot is one message.
            opening = connect(address, max_size=None)
            self._socket: ClientConnection = self._connection.enter_context(opening)
            self.call("session.new", capabilities={})
            self._has_session = True
            self.call("session.subscribe", events=["log.entryAdded"])
            self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of WebDriver BiDi."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(ANSWER_S))).get("id") != number:
            if answer.get("method") == "log.entryAdded":
                self._log.append(answer["params"])
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: Path | str, *, width: int = 1200, height: int = 900) -> None:
        size = {"width": width, "height": height}
        self.call("browsingContext.setViewport", context=self.context, viewport=size)
        self._log.clear()
        where = {"context": self.context, "url": address_of(page)}
        self.call("browsingContext.navigate", **where, wait="complete")
        # What the page still does after it was loaded may be complained about, too.
        self.evaluate("new Promise((done) => setTimeout(done, 200))")

    def evaluate(self, expression: str) -> Any:
        answer = self.call(
            "script.evaluate",
            expression=f"(async () => {{ {in_function(expression)} }})()",
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise ScriptError(answer["exceptionDetails"]["text"])
        # JSON.stringify(undefined) is undefined.
        return json.loads(answer["result"].get("value", "null"))

    def screenshot(self) -> bytes:
        shot = self.call("browsingContext.captureScreenshot", context=self.context)
        return base64.b64decode(shot["data"])

    def complaints(self) -> list[Any]:
        return [one for one in self._log if one["level"] in ("error", "warn")]

    def choose_file(self, selector: str, path: object) -> None:
        locator = {"type": "css", "value": selector}
        nodes = self.call("browsingContext.locateNodes", context=self.context, locator=locator)
        element = {"sharedId": nodes["nodes"][0]["sharedId"]}
        self.call("input.setFiles", context=self.context, element=element, files=[str(path)])

    def close(self) -> None:
        try:
            if self._has_session:
                self.call("browser.close")
                self._process.wait(30)
        finally:
            self._connection.close()
            # Its content processes are of its group.
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _start(program: str, profile: Path) -> "subprocess.Popen[bytes]":
    # Firefox does not start for root in the home of somebody else.
    own = {"HOME": str(profile), "TMPDIR": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
    command = [program, "--headless", "--no-remote", "--remote-debugging-port", "0"]
    return subprocess.Popen(
        [*command, "--profile", str(profile), "about:blank"],
        env=os.environ | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_address(server_file: Path, process: "subprocess.Popen[bytes]") -> str:
    wait_until(lambda: server_file.exists() or process.poll() is not None, "Firefox's start")
    assert process.poll() is None, f"Firefox ended with {process.returncode}"
    wait_until(lambda: server_file.read_bytes().rstrip().endswith(b"}"), "Firefox's address")
    server = json.loads(server_file.read_bytes())
    return f"ws://{server['ws_host']}:{server['ws_port']}/session"
