"""Bundles with faults that only show when a real engine runs them in a real process."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HANG_S = 60

# What a child process finds as `sitecustomize`: the engine does what the model's last bytes say.
# LiteRT ignores bytes behind the end of a model, so that all else is as it always is.
FAULTS = """
import importlib.util, os, signal, sys, time

class Finder:
    def find_spec(self, name, path, target=None):
        if name != "ai_edge_litert.interpreter":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), wrap(module))
        return spec

def wrap(module):
    class Interpreter(module.Interpreter):
        def __init__(self, model_content, **options):
            fault = bytes(model_content[-40:]).rpartition(b"#")[2].decode("latin-1")
            if fault == "HANG":
                time.sleep(600)
            if fault == "MEMORY":
                self.hoard = b"x" * (1 << 40)
            if fault == "STDERR":
                os.write(2, b"engine says no\\n")
                os.abort()
            if fault.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, fault))
            self.fault, self.runs = fault, 0
            super().__init__(model_content=model_content, **options)

        def invoke(self):
            self.runs += 1
            if self.fault == "LATER-SIGSEGV" and self.runs > 10:
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.fault == "LATER-HANG" and self.runs > 10:
                time.sleep(600)
            super().invoke()

        def get_tensor(self, index):
            scores = super().get_tensor(index)
            return scores * float("nan") if self.fault == "LATER-NAN" and self.runs > 10 else scores

    module.Interpreter = Interpreter

sys.meta_path.insert(0, Finder())
"""


class Systemd:
    """The receiving end of sd_notify."""

    def __init__(self, receiver: socket.socket, name: str) -> None:
        self.receiver = receiver
        self.environment = {"NOTIFY_SOCKET": name}

    def received(self) -> list[str]:
        """What has arrived so far."""
        found = []
        self.receiver.setblocking(False)
        while True:
            try:
                found.append(self.receiver.recv(4096).decode())
            except BlockingIOError:
                return found

    def wait_for(self, start: str) -> str:
        """The next message that begins so; others before it are dropped."""
        end_s = time.monotonic() + HANG_S
        while True:
            self.receiver.settimeout(max(0.01, end_s - time.monotonic()))
            message = self.receiver.recv(4096).decode()
            if message.startswith(start):
                return message


@pytest.fixture(params=["file", "abstract"])
def any_systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Systemd on a socket file, and on one in the abstract namespace."""
    yield from _listen(str(tmp_path / "notify") if request.param == "file" else f"@{os.getpid()}")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Systemd on a socket file."""
    yield from _listen(str(tmp_path / "notify"))


def _listen(name: str) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        yield Systemd(receiver, name)


@pytest.fixture
def faulty_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that this test starts have an engine that obeys the model's last bytes."""
    folder = tmp_path / "faulty_engine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAULTS)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def make_bundle(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the committed bundle into another one that says `name`, with a fault in its model."""

    def make(name: str, fault: str = "") -> Path:
        folder = Path(shutil.copytree(tiny, tmp_path / f"{name}.bundle"))
        manifest = json.loads((folder / "bundle.json").read_bytes())
        manifest["provenance"]["name"] = name
        if fault:
            variant = manifest["variants"][0]
            data = (folder / variant["file"]).read_bytes() + f"#{fault}".encode()
            (folder / variant["file"]).write_bytes(data)
            variant |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        data = json.dumps(manifest).encode()
        (folder / "bundle.json").write_bytes(data)
        seal = f"{hashlib.sha256(data).hexdigest()}  bundle.json\n"
        (folder / "bundle.json.sha256").write_text(seal)
        return folder

    return make


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
