"""A source for capture processes that fails as it is told; see the fixture `faulty`.

Each opening follows the next script, the last one for ever after:
    open: "hang" or "fail"; frames: how many good ones; then: what comes after them; close: "hang".
"""

import os
import signal
import time
from pathlib import Path

from edgetl_runtime.capture.source import BadFrame, Granted, RawFrame
from edgetl_runtime.errors import CameraError

FOR_EVER_S = 10_000
FRAME_S = 0.005


class Faulty:
    def __init__(self, options):
        openings = Path(options["openings"])
        with openings.open("a") as file:
            file.write(f"{os.getpid()}\n")
        number = len(openings.read_text().splitlines()) - 1
        scripts = options["scripts"]
        self.script = scripts[min(number, len(scripts) - 1)]
        self.reads = 0
        self.size = (48, 64)

    def open(self):
        if self.script.get("open") == "hang":
            time.sleep(FOR_EVER_S)
        if self.script.get("open") == "fail":
            raise CameraError("nothing there")
        return Granted((64, 48), 200.0)

    def read(self, buffer):
        time.sleep(FRAME_S)
        self.reads += 1
        if self.reads > self.script.get("frames", 10**9):
            getattr(self, self.script["then"])()
        height, width = self.size
        level = self.script.get("same", self.reads % 250)
        buffer(height, width)[:] = bytes([level]) * (3 * height * width)
        return RawFrame(time.monotonic_ns())

    def hang(self):
        time.sleep(FOR_EVER_S)

    def stop(self):
        os.kill(os.getpid(), signal.SIGSTOP)

    def segv(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def fail(self):
        raise CameraError("unplugged")

    def mistake(self):
        raise ZeroDivisionError("a mistake of ours")

    def bad(self):
        raise BadFrame("truncated")

    def bad_sometimes(self):
        if self.reads % 2:
            raise BadFrame("truncated")

    def grow(self):
        self.size = (96, 128)

    def close(self):
        if self.script.get("close") == "hang":
            time.sleep(FOR_EVER_S)


def make(options):
    return Faulty(options)
