import json
import sys

import pytest

from edgetl_runtime.settings.file import load_settings
from edgetl_runtime.settings.sections import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_config_prints_a_file_that_changes_nothing(edgetl_run, tmp_path):
    done = edgetl_run("config")
    assert done.returncode == 0
    (tmp_path / "edgetl.toml").write_text(done.stdout)
    assert load_settings(tmp_path / "edgetl.toml") == Settings()


def test_config_prints_what_flags_set(edgetl_run):
    done = edgetl_run("config", "--every", "3", "--mqtt", "mqtt://broker")
    assert tomllib.loads(done.stdout)["pace"] == {"every": 3}
    assert tomllib.loads(done.stdout)["output"] == {"mqtt": "mqtt://broker"}


def test_a_settings_file_with_a_mistake_is_refused_without_a_traceback(edgetl_run, tmp_path):
    (tmp_path / "edgetl.toml").write_text("[source]\nfpss = 3\n")
    done = edgetl_run("serve", "--config", tmp_path / "edgetl.toml")
    assert done.returncode == 1
    assert "source.fpss is unknown; did you mean source.fps?" in done.stderr


def test_doctor_tells_what_it_found(edgetl_run, tiny):
    done = edgetl_run("doctor", tiny, "--port", "0", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["bundle"]["verdict"] == "ok"
    failed = [name for name, check in checks.items() if check["verdict"] == "failed"]
    assert done.returncode == (3 if failed else 0)


def test_doctor_says_what_to_do(edgetl_run, tiny_copy):
    (tiny_copy / "labels.txt").write_text("odd")
    done = edgetl_run("doctor", tiny_copy, "--port", "0")
    assert done.returncode == 3
    assert f"-> try: edgetl-run verify {tiny_copy}" in done.stdout


def test_install_service_shows_what_it_would_write(edgetl_run, tiny):
    done = edgetl_run("install-service", tiny, "--name", "door", "--dry-run", "--source", "0")
    # Where Python lies in root's home, nothing could be installed.
    assert done.returncode == ("a service cannot see" in done.stderr)
    assert "# /etc/systemd/system/edgetl-door.service\n" in done.stdout
    assert "\nType=notify\n" in done.stdout
    assert f'\nbundle = "{tiny}"\n' in done.stdout


def test_a_service_that_is_not_there_cannot_be_removed(edgetl_run):
    done = edgetl_run("install-service", "--uninstall", "--name", "no-such-service")
    assert done.returncode == 1
    assert "no-such-service" in done.stderr


SECRETS = [
    ("--token", "geheimes-zeichen"),
    ("--source", "rtsp://pi:geheim@camera/stream"),
    ("--source", "http://camera/v.cgi?user=pi&pwd=geheim"),
    ("--mqtt", "mqtt://pi:geheim@broker"),
]


@pytest.mark.parametrize("flags", SECRETS)
@pytest.mark.parametrize(("mode", "warns"), [(0o644, True), (0o600, False)])
def test_a_settings_file_with_a_secret_that_everybody_may_read_is_a_warning(
    flags, mode, warns, edgetl_run, tmp_path
):
    file = tmp_path / "my edgetl.toml"
    with file.open("w") as out:
        file.chmod(mode)
        made = edgetl_run("config", *flags, stdout=out)
    assert ("every user can read" in made.stderr) is warns
    read = edgetl_run("serve", "no.bundle", "--config", file)
    assert (f"every user can read {file}" in read.stderr) is warns
    assert (f"remedy: chmod 600 '{file}'" in read.stderr) is warns
    assert "geheim" not in made.stderr + read.stderr


@pytest.mark.parametrize(
    "flags", [(), ("--source", "rtsp://camera/cam?channel=1"), ("--mqtt", "mqtt://pi@broker")]
)
def test_a_settings_file_without_a_secret_may_be_read(flags, edgetl_run, tmp_path):
    with (tmp_path / "edgetl.toml").open("w") as out:
        assert edgetl_run("config", *flags, stdout=out).stderr == ""
