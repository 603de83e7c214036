"""What can never run as a service is named before anything is installed."""

import grp
import os
import pwd
import re
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.service.impediments import find_impediments
from edgetl_runtime.service.unit import plan_installation
from edgetl_runtime.settings.file import load_settings

NOBODY = "nobody"


@pytest.fixture
def place(tiny, monkeypatch):
    """A folder that a service sees, with a bundle and a film; it is the current one."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder outside homes and /tmp")
    with tempfile.TemporaryDirectory(dir="/opt", prefix="edgetl-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(tiny, folder / "parts.bundle")
        (folder / "film.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST")
        monkeypatch.chdir(folder)
        yield folder


@pytest.fixture
def plan(place, tmp_path):
    """The installation that options make; by default one that can run."""

    def make(user=None, **options):
        values: dict[str, dict[str, object]] = {"model": {"bundle": "parts.bundle"}}
        for path, value in options.items():
            section, _, name = path.partition("__")
            values.setdefault(section, {})[name] = value
        settings = load_settings(None, values)
        return plan_installation("door", settings, user=user, root=tmp_path)

    return make


@pytest.fixture
def obstacles(plan):
    """What is wrong with options; where these tests run Python itself may be hidden."""
    always = set(find_impediments(plan()))

    def find(user=None, **options) -> str:
        return "\n".join(o for o in find_impediments(plan(user, **options)) if o not in always)

    return find


def test_what_can_run_has_no_obstacles_but_the_place_of_python(plan):
    ours = plan()
    for obstacle in find_impediments(ours):
        assert "python" in obstacle.lower() or "edgetl" in obstacle
        assert "parts.bundle" not in obstacle


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model__bundle": "gone.bundle"}, "gone.bundle does not exist"),
        ({"model__bundle": "film.avi"}, "film.avi"),
        ({"model__variant": "litert-int4"}, "it has: litert-int8"),
        ({"source__address": "-"}, "no standard input"),
        (
            {"source__address": "film.avi"},
            "film.avi ends, .*; add --loop, or use: edgetl-run camera",
        ),
        ({"source__address": "parts.bundle/golden"}, "golden ends"),
        ({"source__address": "gone.avi"}, "cannot open gone.avi"),
        ({"pace__max_frames": 5}, "--max-frames .* leave it out"),
        ({"source__address": "-", "pace__max_frames": 5}, "(?s)--max-frames.*standard input"),
        ({"output__jsonl": "/tmp/a.jsonl"}, "/tmp is private, so nothing else can read /tmp"),
        ({"output__csv": "/var/tmp/x/a.csv"}, "so nothing else can read /var/tmp/x"),
        ({"output__video": "/run/user/1000/a.avi"}, "nothing else can read"),
        ({"output__pictures": "/root/pictures"}, "so nothing else can read /root"),
        (
            {"output__jsonl": "/opt/gone/a.jsonl"},
            "the folder /opt/gone does not exist; create it, or",
        ),
        (
            {"output__jsonl": "/opt/a.jsonl"},
            "may not write to /opt; choose a user who may with --user",
        ),
        ({"collect__what": ["unsure"], "collect__folder": "/opt/gone"}, "/opt/gone does not exist"),
        ({"service__state_dir": "/opt/gone"}, "/opt/gone does not exist"),
        ({"service__lock": "/run/gone/lock"}, "/run/gone does not exist"),
        ({"output__callback": "actions_of_mine:react"}, "neither installed nor in the current"),
        ({"output__jsonl": "/opt"}, "/opt is a folder; give the name of a file"),
        ({"output__video": "answers.mkv"}, "answers.mkv does not end in .avi or .mp4"),
        ({"output__mqtt": "broker:1883"}, "mqtt: "),
        ({"output__post": "ftp://host"}, "post: "),
        ({"output__command": "sudo reboot"}, "cannot use sudo"),
        ({"output__command": "no-such-program-anywhere -x"}, "does not find the command"),
        ({"output__command": "./gone.sh"}, "gone.sh does not exist"),
        ({"output__command": "/root/notify.sh"}, "cannot see /root/notify.sh"),
        ({"output__jsonl": "/home/no-such-person/a.jsonl"}, "no such user: no-such-person"),
        ({"serve__host": ""}, "an empty --host: expected a name or an address"),
        ({"serve__host": "http://127.0.0.1"}, "without port or path; give 127.0.0.1"),
        ({"serve__host": "127.0.0.1:80"}, "without port or path"),
        ({"serve__host": "256.1.1.1"}, "cannot serve on 256.1.1.1"),
        (
            {"output__mqtt": "mqtts://broker", "output__mqtt_ca": "film.avi"},
            "--mqtt-ca: .*film.avi cannot be used .no certificate",
        ),
        (
            {"output__post": "http://host", "output__post_ca": "film.avi"},
            "--post-ca: only an encrypted connection uses it",
        ),
        (
            {"output__post": "https://host", "output__post_key": "film.avi"},
            "--post-key needs its certificate",
        ),
        *(
            ({"output__mqtt": "mqtt://broker", "output__mqtt_topic": topic}, "mqtt_topic: ")
            for topic in ("", "/", "a/#", "+", "$SYS", "home/")
        ),
        ({"user": "no-such-person"}, "no such user: no-such-person; choose one with --user"),
    ],
)
def test_what_can_never_run_is_named_with_a_remedy(options, said, obstacles):
    assert re.search(said, obstacles(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"output__jsonl": "a.jsonl", "output__csv": "deep/a.csv", "collect__what": ["unsure"]},
        {"source__address": "film.avi", "source__loop": True},
        {"source__address": "pattern"},
        {"source__address": "rtsp://camera/stream"},
        {"source__address": "/dev/video77"},
        {"output__command": 'logger "$EDGETL_LABEL"'},
        {"output__command": "echo x; (cd /; ls)"},
        {"output__callback": "json:dumps"},
        {"serve__port": 80},
        {"serve__host": "[::1]"},
        {"serve__host": "fe80::1%eth0"},
        {"serve__host": "board.local"},
        {"output__mqtt_topic": "a/#"},
    ],
)
def test_what_can_run_is_not_refused(options, obstacles):
    assert obstacles(**options) == ""


def test_a_remedy_is_one_command_whatever_a_folder_is_called(place, obstacles):
    closed = place / "a; touch $HOME"
    shutil.copytree(place / "parts.bundle", closed / "parts.bundle")
    closed.chmod(0o700)
    said = obstacles(model__bundle=str(closed / "parts.bundle"))
    assert f"allow it: sudo chmod a+rX '{closed}', or" in said


def test_an_empty_name_of_a_user_is_not_taken_for_none(plan, wording):
    with pytest.raises(OptionsError, match=wording):
        plan(user="")


def test_a_damaged_bundle_is_not_installed(place, obstacles):
    file = place / "parts.bundle" / "litert-int8.tflite"
    file.write_bytes(file.read_bytes()[::-1])
    assert "litert-int8.tflite is damaged" in obstacles()


@pytest.mark.parametrize("closed", ["parts.bundle", "parts.bundle/bundle.json", "."])
def test_what_the_services_user_may_not_read_is_named(closed, place, obstacles):
    (place / closed).chmod((place / closed).stat().st_mode & 0o700)
    said = obstacles()
    assert f"own user may not read {(place / closed).resolve()}; " in said
    # What is private is not for everybody.
    assert ("sudo chmod a+r" in said) is not closed.endswith(".json")


def test_the_folder_of_a_chosen_user_may_be_written(place, obstacles):
    folder = place / "answers"
    folder.mkdir(mode=0o755)
    path = str(folder / "a.jsonl")
    assert "may not write to" in obstacles(output__jsonl=path)
    assert f"the user {NOBODY} may not write to" in obstacles(NOBODY, output__jsonl=path)
    os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
    assert obstacles(NOBODY, output__jsonl=path) == ""
    folder.chmod(0o777)
    assert obstacles(output__jsonl=path) == ""


def test_the_unit_may_write_where_it_was_told_to(place, plan):
    installation = plan(output__jsonl=str(place / "a.jsonl"), service__lock="/run/edgetl/lock")
    assert f'\nReadWritePaths="-{place}"\n' in installation.unit_text
    assert '\nReadWritePaths="-/run/edgetl"\n' in installation.unit_text


def test_relative_paths_of_what_is_written_lead_into_the_state_folder(place, plan):
    placed = plan(output__jsonl="a.jsonl", service__lock="lock", output__video="x/a.avi").placed
    assert placed.output.jsonl == "/var/lib/edgetl/door/a.jsonl"
    assert placed.output.video == "/var/lib/edgetl/door/x/a.avi"
    assert placed.service.lock == "/var/lib/edgetl/door/lock"


def test_a_callback_in_the_current_folder_is_found_by_the_service(place, plan, obstacles):
    (place / "actions_of_mine.py").write_text("def react(answer): pass\n")
    assert obstacles(output__callback="actions_of_mine:react") == ""
    text = plan(output__callback="actions_of_mine:react").unit_text
    assert f"\nWorkingDirectory={place}\n" in text
    assert "neither installed" in obstacles(output__callback="actions_of_mine")


def test_a_folder_of_the_name_of_an_installed_module_is_not_taken_for_it(place, plan):
    (place / "json").mkdir()
    text = plan(output__callback="json:dumps").unit_text
    assert "\nWorkingDirectory=%S/edgetl/door\n" in text


def test_a_command_in_the_current_folder_is_found_by_the_service(place, plan, obstacles):
    script = place / "notify.sh"
    script.write_text("#!/bin/sh\n")
    assert "not executable" in obstacles(output__command="./notify.sh")
    script.chmod(0o755)
    assert obstacles(output__command="./notify.sh") == ""
    assert f"\nWorkingDirectory={place}\n" in plan(output__command="./notify.sh").unit_text


def test_outputs_in_a_home_are_written_by_its_owner(place, plan):
    text = plan(output__jsonl="/home/pi/answers/a.jsonl").unit_text
    assert "\nUser=pi\n" in text
    assert "\nProtectHome=read-only\n" in text
    assert '\nReadWritePaths="-/home/pi/answers"\n' in text


@pytest.mark.parametrize(("port", "right"), [(80, "CAP_NET_BIND_SERVICE"), (8080, ""), (0, "")])
def test_a_port_below_1024_is_allowed_and_nothing_else(port, right, plan):
    text = plan(serve__port=port).unit_text
    assert f"\nAmbientCapabilities={right}\n" in text
    assert f"\nCapabilityBoundingSet={right}\n" in text


def test_a_port_or_a_camera_of_another_service_is_not_taken(plan, obstacles):
    first = plan(serve__port=8123, source__address="/dev/null")
    first.settings_file.parent.mkdir(parents=True)
    (first.settings_file.parent / "gate.toml").write_text(first.settings_text)
    assert "the service gate already uses port 8123" in obstacles(serve__port=8123)
    assert "already uses the camera /dev/null" in obstacles(
        source__address="/dev/null", serve__port=1234
    )
    assert obstacles(serve__port=8124) == ""
    # An installation may be made again.
    first.settings_file.write_text(first.settings_text)
    assert "service door" not in obstacles(serve__port=8123)


@pytest.fixture
def device():
    """A device of another group than video; what opens it does not matter here."""
    path = Path(f"/dev/edgetl-test-{os.getpid()}")
    try:
        os.mknod(path, stat.S_IFCHR | 0o660, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no right to make a device")
    yield path
    path.unlink()


def test_the_group_of_a_camera_is_given_to_the_unit(device, plan, obstacles):
    os.chown(device, 0, 1)
    device.chmod(0o660)
    groups = f"video {grp.getgrgid(1).gr_name}"
    assert f"\nSupplementaryGroups={groups}\n" in plan(source__address=str(device)).unit_text
    assert obstacles(source__address=str(device)) == ""


def test_a_camera_that_no_group_may_use_is_named(device, obstacles):
    os.chown(device, 0, 0)
    device.chmod(0o600)
    assert f"may not use {device}" in obstacles(source__address=str(device))


def test_install_service_says_all_of_it_and_installs_nothing(edgetl_run, place):
    arguments = ("install-service", "gone.bundle", "--source", "-", "--name", "edgetl-test")
    done = edgetl_run(*arguments, cwd=place)
    assert done.returncode == 1
    assert "gone.bundle does not exist" in done.stderr
    assert "no standard input" in done.stderr
    assert "nothing was installed" in done.stderr
    assert not Path("/etc/edgetl/edgetl-test.toml").exists()
    shown = edgetl_run(*arguments, "--dry-run", cwd=place)
    assert shown.returncode == 1
    assert "no standard input" in shown.stderr


def test_the_port_above_an_encrypted_page_hands_out_its_authority(plan, obstacles):
    first = plan(serve__port=8123, serve__tls=True)
    first.settings_file.parent.mkdir(parents=True)
    (first.settings_file.parent / "gate.toml").write_text(first.settings_text)
    assert "the service gate already uses port 8124" in obstacles(serve__port=8124)
    assert "already uses" not in obstacles(serve__port=8125)
