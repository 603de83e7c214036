"""The whole service in real processes: signals in each phase, reload, lock, readiness."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgetl_runtime.service.record import read_record

HANG_S = 60
# Longer than a busy machine needs, and shorter than anything here hangs if it is let.
STOP_S = 20.0


class Running:
    """One `edgetl-run serve` and what it says on stderr."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._more:
                self.said.append(line)
                self._more.notify()

    def wait_for(self, pattern: str) -> None:
        """Until a line of stderr matches."""
        with self._more:
            found = self._more.wait_for(
                lambda: any(re.search(pattern, line) for line in self.said), HANG_S
            )
        assert found, self.said

    def end(self) -> tuple[int, float]:
        """Exit code, and how long it took to come."""
        began_s = time.monotonic()
        code = self.process.wait(HANG_S)
        took_s = time.monotonic() - began_s
        self._reader.join()
        assert not any("Traceback" in line for line in self.said), self.said
        return code, took_s

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()


@pytest.fixture
def start(tmp_path, systemd):
    """Starts `edgetl-run serve` on a settings file; it is ended with the test."""
    started: list[Running] = []

    def run(
        bundle: Path,
        *,
        source: str = "pattern",
        state: bool = True,
        more: str = "",
        output: str = 'output.terminal = "none"',
        watchdog_s: float = 0,
    ) -> Running:
        file = tmp_path / f"{len(started)}.toml"
        state_dir = f'state_dir = "{tmp_path / "state"}"' if state else ""
        file.write_text(
            f'model.bundle = "{bundle}"\n'
            f'source = {{address = "{source}", fps = 50, size = "64x48"}}\n'
            f"{output}\nserve.port = 0\n[service]\n{state_dir}\n{more}\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "edgetl_runtime", "serve", "--config", str(file)],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ
            | systemd.environment
            | ({"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}),
            start_new_session=True,
        )
        started.append(Running(process))
        return started[-1]

    yield run
    for running in started:
        running.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_stream_ends_it_well(number, start, make_bundle, systemd):
    running = start(make_bundle("one"))
    systemd.wait_for("READY=1")
    running.process.send_signal(number)
    systemd.wait_for("STOPPING=1")
    code, took_s = running.end()
    assert (code, took_s < STOP_S) == (0, True)


@pytest.mark.usefixtures("faulty_engine")
def test_a_signal_during_the_first_trial_ends_it(start, make_bundle, systemd, tmp_path):
    bundle = make_bundle("slow", "HANG")
    running = start(bundle)
    wait_for_trial(running)
    running.process.send_signal(signal.SIGTERM)
    code, took_s = running.end()
    assert (code, took_s < STOP_S) == (0, True)
    assert "READY=1" not in systemd.received()
    # Nobody was blamed: only the person had enough.
    assert not any("does not work" in line for line in running.said)


def test_a_signal_while_the_camera_is_away_ends_it_well(start, make_bundle, systemd):
    running = start(make_bundle("one"), source="/dev/video99")
    running.wait_for("the page is at")
    time.sleep(1)
    running.process.send_signal(signal.SIGTERM)
    code, took_s = running.end()
    assert (code, took_s < STOP_S) == (0, True)
    assert "READY=1" not in systemd.received()


@pytest.mark.usefixtures("faulty_engine")
def test_a_signal_while_a_reload_is_tried_ends_it_well(start, make_bundle, systemd):
    bundle = make_bundle("one")
    running = start(bundle)
    systemd.wait_for("READY=1")
    replace(bundle, make_bundle("slow", "HANG"))
    running.process.send_signal(signal.SIGHUP)
    wait_for_trial(running)
    running.process.send_signal(signal.SIGTERM)
    code, took_s = running.end()
    assert (code, took_s < STOP_S) == (0, True)


@pytest.mark.usefixtures("faulty_engine")
def test_the_second_signal_ends_even_an_engine_that_hangs(start, make_bundle, systemd):
    running = start(make_bundle("one", "LATER-HANG"), watchdog_s=0.5)
    systemd.wait_for("READY=1")
    wait_until_frozen(systemd)
    running.process.send_signal(signal.SIGINT)
    systemd.wait_for("STOPPING=1")
    running.process.send_signal(signal.SIGTERM)
    code, _ = running.end()
    # An engine that hangs and gets no second signal ends with 1.
    assert code == 128 + signal.SIGTERM


@pytest.mark.usefixtures("faulty_engine")
def test_an_engine_that_hangs_pings_no_watchdog_and_ends_in_time(start, make_bundle, systemd):
    running = start(make_bundle("one", "LATER-HANG"), watchdog_s=0.5)
    systemd.wait_for("READY=1")
    wait_until_frozen(systemd)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    code, took_s = running.end()
    assert (code, took_s < STOP_S) == (1, True)


def test_three_outputs_that_hang_are_no_crash_of_the_model(
    start, make_bundle, systemd, tmp_path, add_module
):
    add_module("import time\ndef on(answer):\n    time.sleep(30)\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = (
            f"output = {{callback = 'hanging:on', command = 'echo $$ > {tmp_path}/pid; sleep 30', "
            f"post = 'http://127.0.0.1:{silent.getsockname()[1]}/', terminal = 'none'}}"
        )
        running = start(make_bundle("one"), output=output, more="trial_frames = 100000")
        pid = wait_for_pid(tmp_path / "pid")
        running.process.send_signal(signal.SIGTERM)
        code, took_s = running.end()
    assert (code, took_s < STOP_S) == (0, True), running.said
    assert sum("hung and was abandoned" in line for line in running.said) == 3
    assert read_record(tmp_path / "state").starts == 0
    wait_until_gone(pid)


@pytest.mark.usefixtures("faulty_engine")
def test_a_stop_that_strikes_its_deadline_blames_no_model_and_leaves_no_command(
    start, make_bundle, systemd, tmp_path
):
    output = f"output = {{command = 'echo $$ > {tmp_path}/pid; sleep 30; :', terminal = 'none'}}"
    bundle = make_bundle("one", "LATER-HANG")
    running = start(bundle, output=output, more="trial_frames = 100000", watchdog_s=0.5)
    pid = wait_for_pid(tmp_path / "pid")
    wait_until_frozen(systemd)
    assert read_record(tmp_path / "state").starts == 1
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 1
    assert read_record(tmp_path / "state").starts == 0
    wait_until_gone(pid)


def test_a_callback_that_hangs_while_it_is_imported_is_no_crash_of_the_model(
    start, make_bundle, tmp_path, add_module
):
    add_module(f"open({str(tmp_path / 'pid')!r}, 'w').write('1\\n')\nimport time\ntime.sleep(30)\n")
    output = "output = {callback = 'hanging:on', terminal = 'none'}"
    running = start(make_bundle("one"), output=output)
    wait_for_pid(tmp_path / "pid")
    assert read_record(tmp_path / "state").starts == 1
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 1
    assert read_record(tmp_path / "state").starts == 0


def test_a_state_folder_that_is_cleared_away_costs_no_later_reload(
    start, make_bundle, systemd, tmp_path
):
    bundle = make_bundle("one")
    running = start(bundle, more="trial_frames = 100000")
    systemd.wait_for("READY=1")
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").touch()
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("cannot use the folder .*; continuing with the old model")
    (tmp_path / "state").unlink()
    replace(bundle, make_bundle("two"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("runs two now")


def test_sighup_takes_another_bundle_into_use(start, make_bundle, systemd):
    bundle = make_bundle("one")
    running = start(bundle)
    systemd.wait_for("READY=1")
    replace(bundle, make_bundle("two"))
    running.process.send_signal(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    systemd.wait_for("READY=1")
    running.wait_for("runs two now")


@pytest.mark.usefixtures("faulty_engine")
@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", "labels.txt"),
        ("SIGSEGV", "the engine died in the trial .SIGSEGV.; continuing with the old model"),
    ],
)
def test_sighup_with_a_bad_bundle_changes_nothing(
    state, fault, message, start, make_bundle, systemd
):
    bundle = make_bundle("one")
    running = start(bundle, state=state)
    systemd.wait_for("READY=1")
    replace(bundle, make_bundle("two", fault))
    if not fault:
        (bundle / "labels.txt").write_text("odd\n")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(message)
    systemd.wait_for("READY=1")
    assert running.process.poll() is None
    assert not any("runs two now" in line for line in running.said)


def test_the_second_instance_exits_75_and_names_the_first(start, make_bundle, systemd):
    bundle = make_bundle("one")
    first = start(bundle)
    systemd.wait_for("READY=1")
    second = start(bundle)
    assert second.end()[0] == 75
    assert any(
        f"another instance is running (pid {first.process.pid}," in line for line in second.said
    )
    assert first.process.poll() is None


@pytest.mark.usefixtures("faulty_engine")
def test_outputs_that_are_no_probabilities_bring_the_old_model_back(start, make_bundle, systemd):
    bundle = make_bundle("one")
    running = start(bundle, more="trial_frames = 3")
    systemd.wait_for("READY=1")
    wait_until_committed(bundle.parent / "state")
    replace(bundle, make_bundle("two", "LATER-NAN"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("back to the previous model: of the new one, 5 of its outputs in a row")
    running.wait_for("runs one now")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("it is refused until it changes; continuing with the old model")


@pytest.mark.usefixtures("faulty_engine")
def test_a_model_that_crashes_the_service_three_times_is_left(start, make_bundle, systemd):
    bundle = make_bundle("one")
    running = start(bundle, more="trial_frames = 3")
    systemd.wait_for("READY=1")
    wait_until_committed(bundle.parent / "state")
    running.process.send_signal(signal.SIGTERM)
    assert running.end()[0] == 0
    # It passes its trial and dies on a later frame.
    replace(bundle, make_bundle("two", "LATER-SIGSEGV"))
    for _ in range(3):
        assert start(bundle).end()[0] == -signal.SIGSEGV
    last = start(bundle)
    last.wait_for("back to the previous model: of the new one, it crashed the service 3 times")
    systemd.received()
    systemd.wait_for("READY=1")
    assert last.process.poll() is None


def test_a_bundle_that_is_gone_leaves_the_kept_model(start, make_bundle, systemd):
    bundle = make_bundle("one")
    running = start(bundle)
    systemd.wait_for("READY=1")
    running.process.send_signal(signal.SIGTERM)
    running.end()
    shutil.rmtree(bundle)
    again = start(bundle)
    systemd.wait_for("READY=1")
    again.wait_for("continuing with the model that was kept")


@pytest.fixture
def add_module(tmp_path, monkeypatch):
    """Writes the module `hanging`, which the service can import."""

    def add(code: str) -> None:
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "hanging.py").write_text(code)
        paths = [str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    return add


def wait_for_pid(file: Path) -> int:
    end_s = time.monotonic() + HANG_S
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return int(file.read_text())


def wait_until_gone(pid: int) -> None:
    """Until a process has ended, though nobody may have asked for its exit code."""
    end_s = time.monotonic() + HANG_S
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end_s
        time.sleep(0.02)


def replace(bundle: Path, by: Path) -> None:
    shutil.rmtree(bundle)
    by.rename(bundle)


def wait_until_committed(state: Path) -> None:
    end_s = time.monotonic() + HANG_S
    while '"committed": true' not in (state / "models.json").read_text():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def wait_for_trial(running: Running) -> None:
    """Until the service has a child that tries a bundle."""
    end_s = time.monotonic() + HANG_S
    while True:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = re.search(r"PPid:\t(\d+)", (folder / "status").read_text())
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(parent[1]) == running.process.pid and b"service.trial" in command:
                # Until it has begun to listen to nobody but the kernel.
                time.sleep(1)
                return
        assert time.monotonic() < end_s
        assert running.process.poll() is None, running.said
        time.sleep(0.05)


def wait_until_frozen(systemd) -> None:
    """Until no ping has come for three times the watchdog's limit."""
    frozen = False
    while not frozen:
        systemd.received()
        time.sleep(1.5)
        frozen = not any("WATCHDOG=1" in message for message in systemd.received())
