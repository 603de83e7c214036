"""`edgetl phone --serve` says how a phone gets there, and ends cleanly."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

SERVE = """
import sys
from pathlib import Path
from edgetl import cli
from edgetl.commands import phone
import click

@click.command()
@click.option("--port", type=int)
@click.option("--http", "is_plain", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
def serve(port, is_plain, as_json):
    phone.serve_site(Path("site"), host="127.0.0.1", port=port, is_plain=is_plain, as_json=as_json)

cli.cli = serve
cli.main()
"""
PAGE = b"<!doctype html><title>site</title>"
Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts the server of a small site, as the command does once it has written one."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_bytes(PAGE)

    def start(*arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "config")},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", word: str) -> str:
    told = ""
    assert process.stdout
    for line in process.stdout:
        told += line
        if word in line:
            break
    return told


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_phone_is_told_where_to_go_and_ctrl_c_ends_it(serve, ending):
    process = serve("--port", 0)
    told = read_until(process, "--http")
    page = told.partition(": open ")[2].split()[0]
    site = told.partition("2. open ")[2].split()[0]
    with urllib.request.urlopen(f"{page}ca.crt", timeout=20) as response:
        authority = response.read()
    context = ssl.create_default_context(cadata=authority)
    with urllib.request.urlopen(site, context=context, timeout=20) as response:
        assert response.read() == PAGE
    # Under the name that `adb reverse` gives it, too.
    here = f"https://localhost:{site.rpartition(':')[2]}"
    with urllib.request.urlopen(here, context=context, timeout=20) as response:
        assert response.read() == PAGE
    process.send_signal(ending)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_adb_reverse_is_explained_for_the_address_without_encryption(serve):
    process = serve("--port", 0, "--http")
    told = read_until(process, "camera")
    url = told.removeprefix("open ").split()[0]
    port = url.rpartition(":")[2].strip("/")
    assert url == f"http://localhost:{port}/"
    assert f"adb reverse tcp:{port} tcp:{port}" in told
    with urllib.request.urlopen(url, timeout=20) as response:
        assert response.read() == PAGE


def test_json_is_one_object_and_no_code(serve):
    process = serve("--port", 0, "--json")
    record = json.loads(read_until(process, "}"))
    assert set(record) == {"urls", "trust_url", "fingerprint_sha256"}
    assert all(url.startswith("https://") for url in record["urls"])
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "")


def test_a_port_in_use_is_one_line_with_what_to_do(serve):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        out, told = serve("--port", taken.getsockname()[1]).communicate()
    assert out == ""
    assert told.count("\n") == 1
    assert "the port is in use; stop the other program or give another --port" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --out FOLDER to write the page, --serve to try it, or both"),
        (("--out", "site", "--port", "1"), "--port is for --serve"),
        (("--out", "site", "--http"), "--http is for --serve"),
        (("--serve", "--http", "--host", "0.0.0.0"), "leave --host out"),
        (("--serve", "--out", "site.zip"), "--serve needs a folder"),
        (("--serve", "--port", "70000"), "--port"),
    ],
)
def test_flags_that_contradict_each_other_are_named(edgetl, arguments, message):
    code, out, told = edgetl("phone", "some.bundle", *arguments)
    assert (code, out) == (2, "")
    assert message in told
