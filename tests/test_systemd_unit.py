"""The unit file against the real systemd-analyze, and the engines under what it forbids."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgetl_runtime.errors import OptionsError, ServiceError
from edgetl_runtime.service.unit import install, plan_installation, quote, uninstall
from edgetl_runtime.settings.file import load_settings
from edgetl_runtime.settings.sections import CollectSettings, Settings

# 0 is locked in, 10 is root without limits; systemd calls up to 2 "safe" or "OK".
MOST_EXPOSURE = 2.0
NO_WRITE_AND_EXECUTE = """
import ctypes, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
import mmap
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit(78)
except PermissionError:
    pass
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.bundle.golden_frames import verify
result = verify(Bundle.open(sys.argv[1]))
print(result.failures, result.skipped)
"""


def settings_of(*paths: str) -> Settings:
    return load_settings(None, {"model": {"bundle": paths[0]}, "source": {"address": paths[1]}})


@pytest.fixture
def unit(tmp_path) -> Path:
    """A unit with odd paths, where systemd-analyze can read it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    settings = load_settings(
        None,
        {
            "model": {"bundle": str(tmp_path / "a b%c$d.bundle")},
            "output": {"jsonl": str(tmp_path / "odd % folder" / "answers.jsonl")},
        },
    )
    installation = plan_installation("door", settings, root=tmp_path)
    install(installation)
    return installation.unit_file


def test_systemd_finds_nothing_wrong_with_the_unit(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "edgetl" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_systemd_finds_nothing_wrong_with_a_unit_that_may_do_more(tmp_path, monkeypatch):
    """A port below 1024, outputs in a home, and a callback in an odd folder."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    folder = tmp_path / "a b%c$d"
    folder.mkdir()
    (folder / "actions_of_mine.py").touch()
    monkeypatch.chdir(folder)
    values = {
        "output": {"jsonl": "/home/root/a b/a.jsonl", "callback": "actions_of_mine:react"},
        "serve": {"port": 80},
    }
    installation = plan_installation("door", load_settings(None, values), root=tmp_path)
    install(installation)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installation.unit_file],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "edgetl" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_unit_leaves_little_exposed(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)[1])
    assert exposure < MOST_EXPOSURE, done.stdout


def test_the_engines_run_where_no_memory_is_both_writable_and_executable():
    """MemoryDenyWriteExecute=yes of the unit, by the kernel's own switch (Linux 6.3)."""
    tiny = Path(__file__).parent / "data" / "tiny.bundle"
    done = subprocess.run(
        [sys.executable, "-c", NO_WRITE_AND_EXECUTE, tiny],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("the kernel has no PR_SET_MDWE")
    assert (done.returncode, done.stdout) == (0, "[] []\n"), done.stderr


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("/a b/c", '"/a b/c"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "x\\y"', '"say \\"x\\\\y\\""'),
        (";", '";"'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(text, quoted):
    assert quote(text) == quoted


def test_the_settings_of_a_service_are_absolute_and_for_root_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.avi").touch()
    settings = load_settings(
        None,
        {
            "model": {"bundle": "parts.bundle"},
            "source": {"address": "video.avi"},
            "output": {"jsonl": "answers.jsonl"},
            "serve": {"token": "0123456789abcdef"},
        },
    )
    installation = plan_installation("door", settings, root=tmp_path)
    install(installation)
    assert installation.settings_file.stat().st_mode & 0o777 == 0o600
    found = load_settings(installation.settings_file)
    assert found.model.bundle == str(tmp_path / "parts.bundle")
    assert found.source.address == str(tmp_path / "video.avi")
    assert found.output.jsonl == "/var/lib/edgetl/door/answers.jsonl"
    assert found.collect.folder == "/var/lib/edgetl/door/collected"
    assert found.service.state_dir == "/var/lib/edgetl/door"


def test_several_services_live_side_by_side(tmp_path, wording):
    one, two = (plan_installation(n, Settings(), root=tmp_path) for n in ("door", "gate"))
    install(one)
    install(two)
    files = [one.unit_file, one.settings_file, one.secrets_file]
    assert sorted(uninstall("door", root=tmp_path)) == sorted(files)
    assert two.unit_file.exists()
    with pytest.raises(ServiceError, match=wording):
        uninstall("door", root=tmp_path)


@pytest.mark.parametrize("name", ["", "Door", "a b", "../x", "a\n", "-a", "a" * 40])
def test_odd_names_are_refused(name, wording):
    with pytest.raises(OptionsError, match=wording):
        plan_installation(name, Settings())


def test_the_owner_of_a_home_runs_what_lies_in_it():
    text = plan_installation("door", settings_of("/home/pi/parts.bundle", "0")).unit_text
    assert "\nUser=pi\n" in text
    assert "\nProtectHome=read-only\n" in text


def test_what_a_service_cannot_see_is_named():
    # Python itself may be hidden where these tests run.
    assert "/tmp/a.bundle" in plan_installation("door", settings_of("/tmp/a.bundle", "0")).hidden
    assert "/opt/a.bundle" not in plan_installation("d", settings_of("/opt/a.bundle", "0")).hidden


def test_settings_that_somebody_changed_are_not_replaced(tmp_path, wording):
    first = plan_installation("door", settings_of("/opt/a.bundle", "0"), root=tmp_path)
    install(first)
    install(first)
    other = plan_installation("door", settings_of("/opt/a.bundle", "1"), root=tmp_path)
    with pytest.raises(ServiceError, match=wording):
        install(other)
    assert first.settings_file.read_text() == first.settings_text
    other.settings_file.write_bytes("# für die Tür\n".encode("iso8859-1"))
    with pytest.raises(ServiceError, match=wording):
        install(other)
    install(other, overwrite=True)
    assert first.settings_file.read_text() == other.settings_text


def test_an_existing_user_can_be_chosen(wording):
    text = plan_installation("door", Settings(), user="pi").unit_text
    assert "\nUser=pi\n" in text
    assert "DynamicUser" not in text
    with pytest.raises(OptionsError, match=wording):
        plan_installation("door", Settings(), user="pi\nExecStart=x")


BREAK = "/x\nExecStartPre=+/bin/true\n#"


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("output", "jsonl", f"{BREAK}/y"),
        ("output", "csv", f"{BREAK}/y"),
        ("collect", "folder", BREAK),
        ("service", "state_dir", BREAK),
        ("model", "bundle", f"/home{BREAK}/parts.bundle"),
        ("source", "address", f"/home{BREAK}/film.avi"),
    ],
)
def test_settings_made_in_python_cannot_add_a_line_to_the_unit(section, name, value):
    found = Settings(collect=CollectSettings(what=("unsure",)))
    part = msgspec.structs.replace(getattr(found, section), **{name: value})
    with pytest.raises(OptionsError):
        plan_installation("door", msgspec.structs.replace(found, **{section: part}))


def test_settings_are_for_root_only(tmp_path):
    planned = plan_installation("door", settings_of("/opt/a.bundle", "0"), root=tmp_path)
    install(planned)
    assert planned.settings_file.stat().st_mode & 0o777 == 0o600
    assert planned.unit_file.stat().st_mode & 0o777 == 0o644


def test_passwords_are_for_root_only_and_outlive_another_installation(tmp_path):
    planned = plan_installation("door", settings_of("/opt/a.bundle", "0"), root=tmp_path)
    install(planned)
    assert planned.secrets_file.stat().st_mode & 0o777 == 0o600
    assert f"\nEnvironmentFile=-/etc/edgetl/{planned.secrets_file.name}\n" in planned.unit_text
    planned.secrets_file.write_text("EDGETL_MQTT_PASSWORD=geheim\n")
    install(planned, overwrite=True)
    assert planned.secrets_file.read_text() == "EDGETL_MQTT_PASSWORD=geheim\n"
    assert planned.secrets_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_no_secret_is_readable_for_others_at_any_moment(tmp_path, umask):
    """Looked at before and after each step that changes a name, and whatever the umask."""
    seen = set()

    def look(event, arguments):
        if event in ("os.rename", "os.chmod", "open", "os.remove") and watching:
            for file in (tmp_path / "etc/edgetl").glob("*"):
                seen.add((file.suffix, os.lstat(file).st_mode & 0o077))

    watching = True
    sys.addaudithook(look)
    before = os.umask(umask)
    try:
        for _ in range(2):
            planned = plan_installation("door", settings_of("/opt/a", "0"), root=tmp_path)
            install(planned, overwrite=True)
            look("open", ())
    finally:
        watching = False
        os.umask(before)
    assert {suffix for suffix, _ in seen} >= {".toml", ".env"}
    assert {mode for _, mode in seen} == {0}
