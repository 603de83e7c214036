import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetl_runtime.errors import LockedError, ServiceError
from edgetl_runtime.service.lock import find_locks, hold_lock
from edgetl_runtime.settings.sections import ServiceSettings

HOLD = """
import sys
from pathlib import Path
from edgetl_runtime.service.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path/lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_instance_is_told_the_pid_of_the_first(tmp_path, holder):
    with (
        pytest.raises(LockedError, match=rf"another instance is running \(pid {holder.pid}, lock"),
        hold_lock(tmp_path / "lock"),
    ):
        pass


def test_a_lock_that_is_a_link_is_called_one_and_nothing_behind_it_is_touched(tmp_path, wording):
    other = tmp_path / "other"
    other.write_text("1\n")
    (tmp_path / "lock").symlink_to(other)
    with (
        pytest.raises(ServiceError, match=wording),
        hold_lock(tmp_path / "lock"),
    ):
        pass
    assert other.read_text() == "1\n"


def test_a_killed_instance_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    with hold_lock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_after_the_block(tmp_path):
    for _ in range(2):
        with hold_lock(tmp_path / "new" / "lock"):
            assert (tmp_path / "new" / "lock").read_text() == f"{os.getpid()}\n"


def test_a_child_of_the_holder_does_not_keep_the_lock(tmp_path):
    with hold_lock(tmp_path / "lock"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child, hold_lock(tmp_path / "lock"):
        assert child.poll() is None
        child.kill()


def test_a_state_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    said = "file is a file, not a folder"
    with pytest.raises(ServiceError, match=said), hold_lock(tmp_path / "file" / "lock"):
        pass


def test_a_lock_that_cannot_be_is_one_error(tmp_path, wording):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "lock", tmp_path):
        with pytest.raises(ServiceError, match=wording), hold_lock(path):
            pass


def test_the_lock_is_as_configured_or_in_the_state_folder(tmp_path):
    assert find_locks(ServiceSettings()) == []
    assert find_locks(ServiceSettings(state_dir="/a")) == [Path("/a/lock")]
    both = [Path("/b"), Path("/a/lock")]
    assert find_locks(ServiceSettings(state_dir="/a", lock="/b")) == both


def test_a_full_disk_does_not_keep_the_lock_from_holding(full_disk, wording):
    (full_disk / "filling").write_bytes(bytes(64 * 1024))
    lock = full_disk / "lock"
    with (
        hold_lock(lock),
        pytest.raises(LockedError, match=wording),
        hold_lock(lock),
    ):
        pass


def test_a_file_of_other_content_is_no_lock_and_stays(tmp_path, wording):
    (tmp_path / "notes.txt").write_text("12 things to do")
    with (
        pytest.raises(ServiceError, match=wording),
        hold_lock(tmp_path / "notes.txt"),
    ):
        pass
    assert (tmp_path / "notes.txt").read_text() == "12 things to do"


def test_a_named_pipe_is_no_lock(tmp_path, wording):
    os.mkfifo(tmp_path / "lock")
    with (
        pytest.raises(ServiceError, match=wording),
        hold_lock(tmp_path / "lock"),
    ):
        pass
