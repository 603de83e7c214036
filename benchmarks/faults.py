"""Faults put into a running `edgetl-run serve`: what it says, and how long until all is well again.

    .venv/bin/python benchmarks/faults.py [--bundle BUNDLE] [--json]

A real process serves tests/data/tiny.bundle from a network camera that misbehaves when it is told
to; `/api/state` is read forty times a second. "noticed" is the time from the fault to the state
that it must have, "recovered" from the fault's end to answers and state `ok`, seconds. The
answers column counts answers with a label while the fault lasted and was noticed: none may come.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.bundle"
TOKEN = "faults-are-put-in-here"
LIMIT_S = 90.0
POLL_S = 0.025
# After so long without a fault a camera is opened again as fast as the first time.
STEADY_S = 11.0


class NetworkCamera:
    """An HTTP MJPEG camera of 30 frames a second that misbehaves when told to.

    mode: `well`, `silent` (the connection stays, nothing comes), `frozen` (one picture for ever),
    `cut` (every picture ends too early), `garbage` (a web page instead of pictures), `black`.
    """

    def __init__(self, picture: np.ndarray) -> None:
        self.mode = "well"
        self._picture = picture
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()
        self.start()

    def start(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                kind = "multipart/x-mixed-replace; boundary=frame"
                self.send_header("Content-Type", kind)
                self.end_headers()
                server = camera._server
                number = 0
                try:
                    while camera._server is server:
                        time.sleep(1 / 30)
                        number += 1
                        if camera.mode == "silent":
                            continue
                        data = camera.encode(number)
                        self.wfile.write(
                            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: "
                            + str(len(data)).encode()
                            + b"\r\n\r\n"
                            + data
                            + b"\r\n"
                        )
                except OSError:
                    pass
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    def encode(self, number: int) -> bytes:
        if self.mode == "garbage":
            return b"<html>please log in</html>" * 20
        picture = self._picture.copy()
        if self.mode == "black":
            picture[:] = 0
        if self.mode != "frozen":
            # A sensor's noise, so that no two frames are equal.
            picture[0, number % 300] ^= 255
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        return data[: len(data) // 2] if self.mode == "cut" else data


class Served:
    """`edgetl-run serve` as a process, seen through its page."""

    def __init__(self, bundle: Path, camera: str, folder: Path, *flags: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "edgetl_runtime", "serve", str(bundle)]
        command += ["--source", camera, "--port", str(self.port), "--terminal", "none"]
        command += ["--token", TOKEN]
        command += ["--read-timeout-s", "3", "--frozen-after-s", "3", *flags]
        self.log = (folder / "log").open("w+")
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=self.log, start_new_session=True
        )

    def state(self) -> dict | None:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/api/state?token={TOKEN}", timeout=5
            ) as got:
                return json.load(got)["status"]
        except OSError:
            return None

    def wait(self, condition: Callable[[dict], bool]) -> tuple[float, dict]:
        """Seconds until the status fulfils the condition, and that status."""
        start_s = time.monotonic()
        while time.monotonic() - start_s < LIMIT_S:
            status = self.state()
            if status and condition(status):
                return time.monotonic() - start_s, status
            time.sleep(POLL_S)
        raise TimeoutError(f"still {status and (status['state'], status['reason'])}")

    def wait_well(self) -> float:
        before = (self.state() or {"answered": 0})["answered"]
        return self.wait(lambda s: s["state"] == "ok" and s["answered"] > before + 3)[0]

    def capture_pid(self) -> int:
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = " ".join(file.read_text() for file in threads)
        return int(children.split()[0])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
        self.log.close()


@contextmanager
def served(bundle: Path, *flags: str):
    picture = cv2.resize(cv2.imread(str(sorted((bundle / "golden").iterdir())[0])), (640, 480))
    camera = NetworkCamera(picture)
    with tempfile.TemporaryDirectory() as name:
        service = Served(bundle, f"http://127.0.0.1:{camera.port}/", Path(name), *flags)
        try:
            service.wait_well()
            yield service, camera, Path(name)
        finally:
            service.close()
            camera.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def camera_faults(bundle: Path) -> list[dict]:
    with served(bundle) as (service, camera, _):

        def in_mode(mode: str) -> Callable[[], None]:
            return lambda: setattr(camera, "mode", mode)

        def kill(number: int) -> Callable[[], None]:
            return lambda: os.kill(service.capture_pid(), number)

        well = in_mode("well")

        def nothing() -> None:
            pass

        return [
            one_fault(
                service, "capture process killed", "no_camera", kill(signal.SIGKILL), nothing
            ),
            one_fault(
                service,
                "capture process hangs (SIGSTOP)",
                "no_camera",
                kill(signal.SIGSTOP),
                nothing,
            ),
            one_fault(service, "camera stops sending", "no_camera", in_mode("silent"), well),
            one_fault(service, "camera's server gone", "no_camera", camera.stop, camera.start),
            one_fault(service, "the same frame forever", "stale", in_mode("frozen"), well),
            one_fault(service, "truncated frames", "no_camera", in_mode("cut"), well),
            one_fault(
                service, "a web page instead of frames", "no_camera", in_mode("garbage"), well
            ),
            one_fault(service, "lens covered (black)", "degraded", in_mode("black"), well),
        ]


def one_fault(
    service: Served, name: str, expected: str, begin: Callable[[], None], end: Callable[[], None]
) -> dict:
    time.sleep(STEADY_S)
    begin()
    noticed_s, status = service.wait(lambda s: s["state"] == expected)
    labelled = status["label"] is not None
    end()
    recovered_s = service.wait_well()
    return {
        "fault": name,
        "expected": expected,
        "observed": status["state"],
        "reason": status["reason"],
        "label_withheld": not labelled,
        "noticed_s": noticed_s,
        "recovered_s": recovered_s,
        "reconnects": service.state()["feed"]["reconnects"],
    }


def reload_faults(bundle: Path) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        other = Path(name) / "other.bundle"
        shutil.copytree(bundle, other)
        with served(other, "--state-dir", f"{name}/state") as (service, _, _):
            before = service.state()
            weights = next(other.glob("*.tflite"))
            data = bytearray(weights.read_bytes())
            data[len(data) // 2] ^= 1
            weights.write_bytes(data)
            service.process.send_signal(signal.SIGHUP)
            time.sleep(4)
            damaged = service.state()
            shutil.rmtree(other)
            shutil.copytree(bundle, other)
            edit_card(other)
            start_s = time.monotonic()
            service.process.send_signal(signal.SIGHUP)
            service.wait(lambda s: s["reloads"] == 1)
            took_s = time.monotonic() - start_s
            good = service.state()
    return [
        {
            "fault": "SIGHUP with a damaged bundle",
            "expected": "the old one runs on",
            "observed": f"{damaged['state']}, {damaged['reloads']} reloads, "
            f"{damaged['answered'] - before['answered']} answers meanwhile",
            "ok": damaged["bundle_sha256"] == before["bundle_sha256"],
        },
        {
            "fault": "SIGHUP with another bundle",
            "expected": "it takes over",
            "observed": f"{good['state']}, {good['reloads']} reload",
            "ok": good["bundle_sha256"] != before["bundle_sha256"],
            "recovered_s": took_s,
        },
    ]


def edit_card(bundle: Path) -> None:
    """Makes another valid bundle of it: one more line in the card, hashes made anew."""
    import hashlib

    card = bundle / "MODEL_CARD.md"
    card.write_text(card.read_text() + "\nAnother one.\n")
    manifest = json.loads((bundle / "bundle.json").read_bytes())
    manifest["card"] |= {
        "bytes": card.stat().st_size,
        "sha256": hashlib.sha256(card.read_bytes()).hexdigest(),
    }
    data = json.dumps(manifest).encode()
    (bundle / "bundle.json").write_bytes(data)
    seal = f"{hashlib.sha256(data).hexdigest()}  bundle.json\n"
    (bundle / "bundle.json.sha256").write_text(seal)


def process_faults(bundle: Path) -> list[dict]:
    rows = []
    with served(bundle, "--state-dir", tempfile.mkdtemp()) as (service, camera, folder):
        flags = ("--state-dir", service.process.args[-1])
        source = f"http://127.0.0.1:{camera.port}/"
        second = Served(bundle, source, folder, *flags)
        code = second.process.wait(timeout=30)
        rows.append({"fault": "second instance", "expected": "75", "observed": str(code)})
        calm = rate(service)
        clients = [slow_client(service.port) for _ in range(50)]
        flooded = rate(service)
        for client in clients:
            client.close()
        rows.append(
            {
                "fault": "50 viewers who never read",
                "expected": "as many answers",
                "observed": f"{flooded:.1f} answers/s, {calm:.1f} before",
            }
        )
        service.process.kill()
        service.process.wait()
        again = Served(bundle, source, folder, *flags)
        took_s, _ = again.wait(lambda s: s["answered"] > 0)
        rows.append(
            {
                "fault": "kill -9, started again",
                "expected": "the same model answers",
                "observed": again.state()["state"],
                "recovered_s": took_s,
            }
        )
        start_s = time.monotonic()
        again.process.terminate()
        code = again.process.wait(timeout=30)
        rows.append(
            {
                "fault": "SIGTERM in mid-stream",
                "expected": "exit 0 within 5 s",
                "observed": f"exit {code}",
                "recovered_s": time.monotonic() - start_s,
            }
        )
        again.close()
    return rows


def rate(service: Served) -> float:
    before, start_s = service.state()["answered"], time.monotonic()
    time.sleep(4)
    return (service.state()["answered"] - before) / (time.monotonic() - start_s)


def slow_client(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=TINY)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for part in (camera_faults, reload_faults, process_faults):
        rows += part(options.bundle)
    if options.json:
        print(json.dumps(rows))
        return
    print("| fault | expected | observed | noticed | recovered |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        observed = row["observed"] + (f": {row['reason']}" if row.get("reason") else "")
        if row.get("label_withheld"):
            observed += "; no label"
        times = [f"{row[key]:.1f} s" if key in row else "" for key in ("noticed_s", "recovered_s")]
        print(f"| {row['fault']} | {row['expected']} | {observed} | {times[0]} | {times[1]} |")


if __name__ == "__main__":
    main()
