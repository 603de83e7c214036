"""Looks for what would keep a camera classifier from running here, and says what to do.

What may crash is tried in child processes; everything that is read from the system is read below
a root folder, so that a test can give it another system.
"""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import msgspec

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.host import explain_refusal, resolve
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.allotment import count_processors, default_threads, read_memory_limit
from edgetl_runtime.system.board import describe_board, read_health
from edgetl_runtime.system.firmware import is_refused
from edgetl_runtime.system.interpreters import run_code
from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import make_printable

CheckVerdict = Literal["ok", "warning", "failed", "skipped"]
MARKS: Final = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}
_CHILD_TIMEOUT_S: Final = 60.0
_ENGINES: Final = {
    "LiteRT": ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"),
    "ONNX Runtime": ("onnxruntime",),
}
_EXTRAS: Final = {
    "jpeg": ("simplejpeg",),
    "mqtt": ("paho.mqtt",),
    "serve": ("starlette", "uvicorn", "prometheus_client"),
    "tls": ("cryptography", "segno"),
}
_SYSTEM_PYTHON: Final = "/usr/bin/python3"
_GOVERNORS: Final = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
_HOT_C: Final = 70.0
_TOO_HOT_C: Final = 80.0
_LITTLE_DISK_BYTES: Final = 200 * 2**20
_LITTLE_MEMORY_KIB: Final = 150 * 1024
_CV2: Final = """
import cv2
text = cv2.getBuildInformation()
found = [name for name in ("FFMPEG", "v4l/v4l2") if f"{name}:" in text
         and "YES" in text.partition(f"{name}:")[2].partition("\\n")[0]]
print(cv2.__version__, *found)
"""


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        name: Of the thing.
        verdict: `skipped`: it does not apply here.
        found: What it is like, one sentence.
        remedy: What to do; empty if nothing is.
    """

    name: str
    verdict: CheckVerdict
    found: str
    remedy: str = ""


def diagnose(settings: Settings | None = None, *, root: Path = Path("/")) -> list[Check]:
    """Looks at everything; takes some seconds.

    Args:
        settings: Of the service, if known: its bundle, state folder and port are looked at, too.
        root: Where the system's files begin.
    """
    settings = settings or Settings()
    checks: list[Callable[[], Iterator[Check]]] = [
        check_engines,
        check_opencv,
        lambda: check_bundle(settings),
        lambda: check_cameras(root),
        check_picamera,
        lambda: check_heat(root),
        lambda: check_governor(root),
        lambda: check_processors(settings, root),
        lambda: check_disk(settings),
        lambda: check_memory(root),
        lambda: check_clock(root),
        check_extras,
        lambda: check_port(settings),
        lambda: check_watchdog(root),
    ]
    return [_mask(check) for run in checks for check in run()]


def _mask(check: Check) -> Check:
    found, remedy = mask_text(check.found), mask_text(check.remedy)
    return msgspec.structs.replace(check, found=found, remedy=remedy)


def format_checks(checks: list[Check]) -> str:
    """One line for each check, and below it what to do."""
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.verdict]} {check.name}: {make_printable(check.found)}")
        if check.remedy:
            lines.append(f"    -> {make_printable(check.remedy)}")
    return "\n".join(lines)


def check_engines() -> Iterator[Check]:
    """Imports each engine in a child process: a wheel for another processor dies with SIGILL."""
    found = [_check_engine(name, modules) for name, modules in _ENGINES.items()]
    yield from found
    if not any(check.verdict == "ok" for check in found):
        yield Check("engine", "failed", "none works", "install one: pip install ai-edge-litert")


def check_opencv() -> Iterator[Check]:
    """OpenCV and what it was built with."""
    code, output = _run_python(_CV2)
    if code:
        yield Check(
            "OpenCV", "failed", output, "pip install --force-reinstall opencv-python-headless"
        )
        return
    version, *backends = output.split()
    missing = {"FFMPEG", "v4l/v4l2"} - set(backends)
    if missing:
        found = f"{version}, without {' and '.join(sorted(missing))}"
        remedy = (
            "videos, streams or USB cameras will not open; use opencv-python-headless from PyPI"
        )
        yield Check("OpenCV", "warning", found, remedy)
    else:
        yield Check("OpenCV", "ok", f"{version} with FFmpeg and V4L2")


def check_bundle(settings: Settings) -> Iterator[Check]:
    """Hashes and golden frames of every variant, each in a child process."""
    path = settings.model.bundle
    if not path:
        yield Check("bundle", "skipped", "none given")
        return
    from edgetl_runtime.service.trial import TrialOrder, try_variants

    model = settings.model
    trials = try_variants(TrialOrder(path, model.engine, model.variant, model.threads))
    remedy = f"try: edgetl-run verify {path}"
    first, *others = trials
    good = [name for name, trial in trials.items() if trial.verdict == "good"]
    if trials[first].verdict != "good":
        hint = f"; or use another: --variant {good[0]}" if good else ""
        reason = trials[first].reason
        # Where no bundle could be opened, that is what was tried, and the reason names it.
        found = reason if reason.startswith(first) else f"{first}: {reason}"
        yield Check("bundle", "failed", found, remedy + hint)
    if good:
        yield Check("bundle", "ok", f"{path} gives the expected scores: {', '.join(good)}")
    for name in others:
        verdict, reason = trials[name].verdict, trials[name].reason
        if verdict == "bad":
            yield Check("bundle", "warning", f"{name}: {reason}", f"{remedy}; do not use {name}")
        elif verdict == "unable":
            yield Check("bundle", "skipped", f"{name} was not tried: {reason}")


def check_cameras(root: Path = Path("/")) -> Iterator[Check]:
    """The devices, their stable names, and the right to open them."""
    devices = sorted((root / "dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    if not devices:
        yield Check("camera", "warning", "no /dev/video*", "plug one in, or use a URL")
        return
    stable = {link.resolve(): link for link in sorted((root / "dev/v4l/by-id").glob("*"))}
    for device in devices:
        link = stable.get(device.resolve())
        name = f"{_inside(device, root)}" + (f" = {_inside(link, root)}" if link else "")
        if not os.access(device, os.R_OK | os.W_OK):
            remedy = "sudo usermod -aG video $USER, then log in again"
            yield Check("camera", "failed", f"{name} may not be opened by this user", remedy)
        else:
            formats = _list_formats(device)
            yield Check("camera", "ok", name + (f", {formats}" if formats else ""))


def check_picamera() -> Iterator[Check]:
    """Whether the system's Python has picamera2, which no virtual environment can install."""
    if not Path(_SYSTEM_PYTHON).exists():
        yield Check("picamera2", "skipped", f"no {_SYSTEM_PYTHON}")
        return
    code, _ = _run(run_code("import picamera2", python=_SYSTEM_PYTHON))
    if code:
        remedy = (
            "for a Raspberry Pi camera: sudo apt install python3-picamera2 --no-install-recommends"
        )
        yield Check("picamera2", "skipped", f"{_SYSTEM_PYTHON} cannot import it", remedy)
    else:
        yield Check("picamera2", "ok", f"{_SYSTEM_PYTHON} has it")


def check_heat(root: Path = Path("/")) -> Iterator[Check]:
    """Temperature and what the firmware says on power and throttling."""
    health = read_health(root)
    if health.temperature_c is None:
        yield Check("temperature", "skipped", "no sensor")
    else:
        hot, too_hot = (health.temperature_c >= limit for limit in (_HOT_C, _TOO_HOT_C))
        verdict: CheckVerdict = "failed" if too_hot else "warning" if hot else "ok"
        remedy = "cool the board: a heat sink, a fan, or --max-fps" if hot else ""
        yield Check("temperature", verdict, f"{health.temperature_c:.0f} °C", remedy)
    if health.throttled is None and is_refused(root):
        remedy = "sudo usermod -aG video $USER, then log in again"
        yield Check("throttling", "skipped", "this user may not ask the firmware", remedy)
    elif health.throttled is None:
        yield Check("throttling", "skipped", "no vcgencmd: this is not a Raspberry Pi")
    elif not health.throttled:
        yield Check("throttling", "ok", "none since boot")
    else:
        power = any("under-voltage" in name for name in health.throttling)
        remedy = "use the board's own power supply and a short cable" if power else "cool the board"
        yield Check("throttling", "warning", ", ".join(health.throttling), remedy)


def check_governor(root: Path = Path("/")) -> Iterator[Check]:
    """How the processor's frequency is chosen."""
    governor = describe_board(root).governor
    if governor is None:
        yield Check("governor", "skipped", "not reported by the system")
    elif governor == "powersave":
        remedy = f"for lower latency: echo ondemand | sudo tee {_GOVERNORS}"
        yield Check("governor", "warning", governor, remedy)
    else:
        yield Check("governor", "ok", governor)


def check_processors(settings: Settings, root: Path = Path("/")) -> Iterator[Check]:
    """How many processors this process may use, and whether the engine's threads find one each."""
    board, usable = describe_board(root), count_processors(root)
    threads = settings.model.threads or default_threads(root)
    found = ", ".join([f"{board.cores} cores", *board.processor_limits, f"threads {threads}"])
    if threads > usable:
        remedy = f"frames wait for each other; set --threads {usable}, or leave it out"
        yield Check("processors", "warning", found, remedy)
    elif board.cpu_quota is not None and board.cpu_quota < 1:
        remedy = "once the quota is used up, a frame waits up to 0.1 s; allow a whole processor"
        yield Check("processors", "warning", found, remedy)
    else:
        yield Check("processors", "ok", found)


def check_disk(settings: Settings) -> Iterator[Check]:
    """Room where models and answers are kept."""
    folder = Path(settings.service.state_dir or ".").absolute()
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    if not folder.is_dir():
        found = f"{folder} is a file, not a folder"
        yield Check("disk", "failed", found, "choose another --state-dir")
        return
    free = shutil.disk_usage(folder).free
    inodes = os.statvfs(folder)
    # File systems without a fixed number of inodes say that they have none.
    full = inodes.f_files > 0 and inodes.f_favail < 1000
    found = f"{free / 2**30:.1f} GiB free in {folder}" + (", hardly any inodes" if full else "")
    if not os.access(folder, os.W_OK):
        yield Check("disk", "failed", f"{folder} is not writable", "choose another --state-dir")
    elif free < _LITTLE_DISK_BYTES or full:
        yield Check("disk", "warning", found, "free some space; the service keeps two models there")
    else:
        yield Check("disk", "ok", found)


def check_memory(root: Path = Path("/")) -> Iterator[Check]:
    """Memory that programs can still have, and whether systemd can limit it."""
    meminfo = _read(root / "proc/meminfo")
    available = re.search(r"MemAvailable:\s+(\d+) kB", meminfo)
    if not available:
        yield Check("memory", "skipped", "not reported by the system")
        return
    kib, limit = int(available[1]), read_memory_limit(root)
    found = f"{kib / 1024:.0f} MiB available"
    if limit is not None:
        found += f", memory limit {limit / 2**20:.0f} MiB"
    if kib < _LITTLE_MEMORY_KIB:
        yield Check("memory", "warning", found, "stop other programs")
    elif limit is not None and limit / 1024 < _LITTLE_MEMORY_KIB:
        yield Check("memory", "warning", found, "give this container or unit more memory")
    else:
        yield Check("memory", "ok", found)
    controllers = _read(root / "sys/fs/cgroup/cgroup.controllers").split()
    if controllers and "memory" not in controllers:
        remedy = "add cgroup_enable=memory to /boot/firmware/cmdline.txt and restart"
        yield Check("memory limit", "warning", "systemd's MemoryMax has no effect here", remedy)


def check_clock(root: Path = Path("/")) -> Iterator[Check]:
    """Whether the wall clock, which records carry, was set from the network."""
    if not (root / "run/systemd").exists():
        yield Check("clock", "skipped", "systemd is not running")
    elif (root / "run/systemd/timesync/synchronized").exists() or _asks_other_clock(root):
        yield Check("clock", "ok", "synchronized, or set by another program than systemd")
    else:
        remedy = (
            "timestamps of records may be wrong, nothing else depends on them; see: timedatectl"
        )
        yield Check("clock", "warning", "not synchronized", remedy)


def check_extras() -> Iterator[Check]:
    """Checks which optional packages are installed."""
    for extra, modules in _EXTRAS.items():
        missing = [name for name in modules if not _is_installed(name)]
        if missing:
            remedy = f"if you need it: pip install 'edgetl-runtime[{extra}]'"
            yield Check(f"extra {extra}", "skipped", f"{', '.join(missing)} missing", remedy)
        else:
            yield Check(f"extra {extra}", "ok", "installed")


def check_port(settings: Settings) -> Iterator[Check]:
    """Whether the page can have its port."""
    host, port = settings.serve.host, settings.serve.port
    try:
        family, address = resolve(host, port)
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except ServiceError as error:
        reason, _, remedy = str(error).rpartition("; ")
        yield Check("port", "failed", reason, remedy)
    except OSError as error:
        reason, _, remedy = explain_refusal(error).partition("; ")
        if error.errno == errno.EADDRINUSE:
            remedy = (
                "choose another --port, or find the program that uses it: "
                f"sudo ss -ltnp 'sport = :{port}'"
            )
        yield Check("port", "failed", f"{host}:{port} is not available ({reason})", remedy)
    else:
        yield Check("port", "ok", f"{host}:{port} is free")


def check_watchdog(root: Path = Path("/")) -> Iterator[Check]:
    """The hardware's watchdog, which restarts a board whose kernel hangs."""
    if not list((root / "dev").glob("watchdog*")):
        yield Check("hardware watchdog", "skipped", "none")
        return
    text = _read(root / "etc/systemd/system.conf")
    for file in sorted((root / "etc/systemd/system.conf.d").glob("*.conf")):
        text += "\n" + _read(file)
    set_to = re.findall(r"(?m)^RuntimeWatchdogSec=(\S+)", text)
    limit_s = _seconds(set_to[-1]) if set_to else 0.0
    remedy = "set RuntimeWatchdogSec=14s in /etc/systemd/system.conf"
    if not limit_s:
        yield Check("hardware watchdog", "warning", "not in use", remedy)
    elif limit_s > 15 and "Raspberry" in (describe_board(root).board or ""):
        found = f"{set_to[-1]}, but a Raspberry Pi's timer ends at 15 s"
        yield Check("hardware watchdog", "warning", found, remedy)
    else:
        yield Check("hardware watchdog", "ok", f"restarts a hung kernel after {set_to[-1]}")


def _check_engine(name: str, modules: tuple[str, ...]) -> Check:
    present = [module for module in modules if _is_installed(module.partition(".")[0])]
    if not present:
        return Check(name, "skipped", "not installed")
    code, output = _run_python(f"import {present[0]}")
    if not code:
        return Check(name, "ok", f"{present[0].partition('.')[0]} imports")
    cpu = describe_board().cpu
    remedy = "install a build for this processor, or use the other engine"
    return Check(name, "failed", f"{output} when imported on {cpu}", remedy)


def _run_python(code: str) -> tuple[int, str]:
    return _run(run_code(code))


def _run(command: list[str]) -> tuple[int, str]:
    """Exit code, and what a program printed; for a bad end, what ended it."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_CHILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {_CHILD_TIMEOUT_S:.0f} s"
    except OSError as error:
        return 1, f"{command[0]} cannot be run ({error.strerror})"
    if done.returncode < 0:
        return done.returncode, f"killed by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return done.returncode, (done.stderr.strip().splitlines() or ["failed"])[-1]
    return 0, done.stdout.strip()


def _list_formats(device: Path) -> str:
    if not shutil.which("v4l2-ctl"):
        return ""
    code, output = _run(["v4l2-ctl", "-d", str(device), "--list-formats"])
    formats = re.findall(r"'(\w{4})'", output)
    return "" if code else "formats " + (", ".join(dict.fromkeys(formats)) or "none")


def _asks_other_clock(root: Path) -> bool:
    """Chrony and ntpd leave no such file; timedatectl knows of them."""
    if root != Path("/"):
        return False
    code, output = _run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return code == 0 and output == "yes"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _inside(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(s|sec|min|m|)", text)
    if not match:
        return 0.0
    return float(match[1]) * (60 if match[2].startswith("m") else 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
