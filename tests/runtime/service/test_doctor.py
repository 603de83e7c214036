import os
import shutil
import socket
import sys

import pytest

from edgetl_runtime.service import doctor
from edgetl_runtime.service.doctor import Check, diagnose, format_checks
from edgetl_runtime.settings.file import load_settings
from tests.machines import as_nobody


@pytest.fixture
def system(tmp_path):
    """Writes files of another system; returns where it begins."""

    def write(files: dict[str, str] | None = None):
        root = tmp_path / "root"
        (root / "dev").mkdir(parents=True, exist_ok=True)
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return write


def only(checks) -> Check:
    (check,) = checks
    return check


def test_everything_is_looked_at_and_this_machine_can_run_a_bundle(tiny, tmp_path):
    settings = load_settings(
        None,
        {
            "model": {"bundle": str(tiny)},
            "serve": {"port": 0},
            "service": {"state_dir": str(tmp_path)},
        },
    )
    checks = diagnose(settings)
    verdicts = {check.name: check.verdict for check in checks}
    for name in ("LiteRT", "OpenCV", "bundle", "disk", "memory", "port"):
        assert verdicts[name] == "ok", checks
    text = format_checks(checks)
    assert "✓ OpenCV: " in text
    assert all(check.remedy for check in checks if check.verdict in ("failed", "warning"))


def test_an_engine_built_for_another_processor_is_named_with_the_processor(tmp_path, monkeypatch):
    package = tmp_path / "onnxruntime"
    package.mkdir()
    (package / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.syspath_prepend(str(tmp_path))
    checks = {check.name: check for check in doctor.check_engines()}
    assert checks["LiteRT"].verdict == "ok"
    assert checks["ONNX Runtime"].verdict == "failed"
    assert checks["ONNX Runtime"].found.startswith("killed by SIGILL when imported on ")


def test_without_any_engine_there_is_one_to_install(monkeypatch):
    monkeypatch.setattr(doctor, "_ENGINES", {"LiteRT": ("no_such_engine",)})
    *_, last = doctor.check_engines()
    assert (last.verdict, last.remedy[:7]) == ("failed", "install")


def test_a_damaged_bundle_is_found(tiny_copy):
    (tiny_copy / "labels.txt").write_text("odd")
    settings = load_settings(None, {"model": {"bundle": str(tiny_copy)}})
    check = only(doctor.check_bundle(settings))
    assert (check.verdict, "labels.txt" in check.found) == ("failed", True)


def judge(bundle, **model) -> dict[str, str]:
    """What the doctor finds, and how bad it is."""
    settings = load_settings(None, {"model": {"bundle": str(bundle), **model}})
    return {check.found: check.verdict for check in doctor.check_bundle(settings)}


def find(checks: dict[str, str], words: str) -> tuple[str, str]:
    (found,) = [found for found in checks if words in found]
    return found, checks[found]


def test_every_variant_is_tried(tiny):
    pytest.importorskip("onnxruntime")
    names = "litert-int8, litert-float32, onnx-int8, onnx-float32"
    assert judge(tiny) == {f"{tiny} gives the expected scores: {names}": "ok"}


@pytest.mark.parametrize(
    ("forged", "model", "first", "other"),
    [
        (0, {}, "litert-int8", None),
        (1, {}, None, "litert-float32"),
        (1, {"variant": "litert-float32"}, "litert-float32", None),
    ],
)
def test_a_variant_with_wrong_scores_is_named(forged, model, first, other, edit):
    def reverse(manifest):
        manifest["variants"][forged]["golden_scores"][2].reverse()

    checks = judge(edit(reverse), **model)
    _, verdict = find(checks, f"{first or other}: its scores on the golden frames differ by ")
    assert verdict == ("failed" if first else "warning")
    assert "ok" in checks.values()


def test_a_variant_whose_engine_is_missing_is_named_with_the_reason(tiny, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('no onnxruntime')\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    checks = judge(tiny)
    found, verdict = find(checks, "onnx-float32 was not tried: ")
    assert (verdict, "install it with" in found) == ("skipped", True)
    assert find(checks, "gives the expected scores: litert-int8, litert-float32")[1] == "ok"


def test_a_variant_that_kills_its_engine_leaves_the_others(make_bundle, faulty_engine):
    checks = judge(make_bundle("deadly", "SIGILL"))
    found, verdict = find(checks, "litert-int8: ")
    assert ("SIGILL" in found, verdict) == (True, "failed")
    assert "litert-float32" in find(checks, "gives the expected scores: ")[0]


def test_cameras_are_listed_with_their_stable_names(system):
    root = system({"dev/video0": "", "dev/video10": "", "dev/video2": ""})
    (root / "dev/v4l/by-id").mkdir(parents=True)
    (root / "dev/v4l/by-id/usb-cam").symlink_to("../../video2")
    found = [check.found.partition(", formats")[0] for check in doctor.check_cameras(root)]
    assert found == ["/dev/video0", "/dev/video2 = /dev/v4l/by-id/usb-cam", "/dev/video10"]


def test_no_camera_is_a_warning(system):
    assert only(doctor.check_cameras(system())).verdict == "warning"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_camera_of_another_group_says_how_to_join_it(system):
    root = system({"dev/video0": ""})
    (root / "dev/video0").chmod(0)
    check = only(doctor.check_cameras(root))
    assert (check.verdict, "usermod -aG video" in check.remedy) == ("failed", True)


@pytest.mark.parametrize(
    ("millidegrees", "verdict"), [("45000", "ok"), ("72000", "warning"), ("85000", "failed")]
)
def test_heat_is_judged(millidegrees, verdict, system):
    root = system({"sys/class/thermal/thermal_zone0/temp": millidegrees})
    assert next(doctor.check_heat(root)).verdict == verdict


@pytest.mark.parametrize(
    ("bits", "verdict", "remedy"),
    [("0x0", "ok", ""), ("0x50005", "warning", "power supply"), ("0x80008", "warning", "cool")],
)
def test_the_firmwares_complaints_have_remedies(
    bits, verdict, remedy, system, tmp_path, monkeypatch
):
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\necho throttled={bits}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    _, check = doctor.check_heat(system())
    assert (check.verdict, remedy in check.remedy) == (verdict, True)


def test_a_firmware_that_refuses_to_answer_says_which_group_may_ask(enter_machine, monkeypatch):
    root = enter_machine("pi5")
    (root / "dev").mkdir()
    (root / "dev/vcio").touch()
    monkeypatch.setenv("PATH", str(root))
    *_, check = doctor.check_heat(root)
    assert "Raspberry" in check.found
    (root / "dev/vcio").chmod(0)
    with as_nobody():
        *_, check = doctor.check_heat(root)
    assert "usermod -aG video" in check.remedy


@pytest.mark.parametrize(
    ("governor", "verdict"), [("ondemand", "ok"), ("powersave", "warning"), (None, "skipped")]
)
def test_the_governor_is_judged(governor, verdict, system):
    path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    assert (
        only(doctor.check_governor(system({path: governor} if governor else {}))).verdict == verdict
    )


def test_little_memory_and_a_limit_without_effect_are_found(system):
    files = {
        "proc/meminfo": "MemTotal: 500000 kB\nMemAvailable: 90000 kB\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu io pids\n",
    }
    checks = list(doctor.check_memory(system(files)))
    assert [(check.name, check.verdict) for check in checks] == [
        ("memory", "warning"),
        ("memory limit", "warning"),
    ]
    assert "cgroup_enable=memory" in checks[1].remedy


def test_the_clock_is_judged(system):
    assert only(doctor.check_clock(system())).verdict == "skipped"
    root = system({"run/systemd/x": ""})
    assert only(doctor.check_clock(root)).verdict == "warning"
    assert (
        only(doctor.check_clock(system({"run/systemd/timesync/synchronized": ""}))).verdict == "ok"
    )


def test_a_port_in_use_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = load_settings(None, {"serve": {"port": server.getsockname()[1]}})
        assert only(doctor.check_port(settings)).verdict == "failed"


@pytest.mark.parametrize(
    ("host", "found", "remedy"),
    [
        ("256.1.1.1", "cannot serve on 256.1.1.1", "give 127.0.0.1"),
        ("no-such-host.invalid", "no such address", "give 127.0.0.1"),
        # Of RFC 5737, which nobody has.
        ("192.0.2.200", "not an address of this machine", "give 127.0.0.1 or 0.0.0.0"),
    ],
)
def test_an_address_that_cannot_be_had_is_no_matter_of_the_port(host, found, remedy):
    (check,) = doctor.check_port(load_settings(None, {"serve": {"host": host}}))
    assert check.verdict == "failed"
    assert found in check.found
    assert check.remedy.startswith(remedy)


def test_a_state_folder_that_is_a_file_is_found(tmp_path):
    file = tmp_path / "file"
    file.touch()
    settings = load_settings(None, {"service": {"state_dir": str(file)}})
    check = only(doctor.check_disk(settings))
    assert check.verdict == "failed"
    assert "is a file, not a folder" in check.found


@pytest.mark.parametrize(
    ("board", "limit", "verdict"),
    [
        ("Raspberry Pi 4 Model B", "RuntimeWatchdogSec=14s", "ok"),
        ("Raspberry Pi 4 Model B", "RuntimeWatchdogSec=1min", "warning"),
        ("Other", "RuntimeWatchdogSec=1min", "ok"),
        ("Other", "#RuntimeWatchdogSec=off", "warning"),
    ],
)
def test_the_hardware_watchdog_is_judged(board, limit, verdict, system):
    files = {"dev/watchdog0": "", "etc/systemd/system.conf": f"[Manager]\n{limit}\n"}
    root = system(files | {"proc/device-tree/model": board})
    assert only(doctor.check_watchdog(root)).verdict == verdict


def test_a_missing_extra_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(doctor, "_EXTRAS", {"jpeg": ("no_such_module",)})
    check = only(doctor.check_extras())
    assert (check.verdict, "pip install 'edgetl-runtime[jpeg]'" in check.remedy) == (
        "skipped",
        True,
    )


def test_a_child_that_hangs_or_is_not_there_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "_CHILD_TIMEOUT_S", 0.5)
    assert doctor._run([sys.executable, "-c", "import time; time.sleep(60)"])[0]
    assert doctor._run(["/no/such/program"]) == (
        1,
        "/no/such/program cannot be run (No such file or directory)",
    )


@pytest.mark.skipif(not shutil.which("v4l2-ctl"), reason="v4l2-ctl is not installed")
def test_formats_of_what_is_no_camera_are_nothing(tmp_path):
    (tmp_path / "video0").touch()
    assert doctor._list_formats(tmp_path / "video0") == ""


def test_modules_in_the_current_folder_are_not_run(tiny, tmp_path, monkeypatch):
    for name in ("random", "cv2", "msgspec", "numpy", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(tmp_path)
    code, output = doctor._run_python("import random, cv2, numpy, msgspec; print('installed ones')")
    assert (code, output) == (0, "installed ones")


GROUP = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
}


@pytest.mark.parametrize(
    ("quota", "threads", "verdict", "remedy"),
    [
        ("max 100000", None, "ok", ""),
        ("100000 100000", None, "ok", ""),
        ("100000 100000", 2, "warning", "set --threads 1, or leave it out"),
        ("50000 100000", None, "warning", "allow a whole processor"),
    ],
)
def test_a_quota_is_named_with_the_threads_that_fit(quota, threads, verdict, remedy, system):
    root = system(GROUP | {"sys/fs/cgroup/cpu.max": quota})
    settings = load_settings(None, {"model": {"threads": threads}} if threads else {})
    check = only(doctor.check_processors(settings, root))
    assert (check.verdict, remedy in check.remedy) == (verdict, True), check
    assert ("CPU quota" in check.found) is not quota.startswith("max")


def test_a_memory_limit_is_named(system):
    free = {"proc/meminfo": "MemAvailable: 9000000 kB\n"}
    root = system(GROUP | free | {"sys/fs/cgroup/memory.max": str(100 * 2**20)})
    check = next(doctor.check_memory(root))
    assert (check.verdict, "memory limit 100 MiB" in check.found) == ("warning", True)
