import os
import signal
import threading
import zipfile
from pathlib import Path

import pytest

from edgetl_runtime.errors import StorageError
from edgetl_runtime.system import storage
from edgetl_runtime.system.storage import (
    check_replaceable,
    put_back,
    staged_file,
    staged_folder,
    write_file,
)

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edgetl_runtime.errors import StorageError
from edgetl_runtime.system.storage import staged_folder, write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""
WRITE = """
try:
    write_file(Path(sys.argv[1]), bytes(5000))
except StorageError as error:
    sys.exit(f"refused: {error}")
"""
FILL = """
try:
    with staged_folder(Path(sys.argv[1]), marker="mark", overwrite=True) as folder:
        (folder / "mark").write_bytes(bytes(5000))
except StorageError as error:
    sys.exit(f"refused: {error}")
"""
KILLED_WRITE = """
import os, sys
from pathlib import Path
from edgetl_runtime.system.storage import write_file
os.replace = lambda *names: os.kill(os.getpid(), 9)
write_file(Path(sys.argv[1]), b"new")
"""
KILLED_FOLDER = """
import os, sys
from pathlib import Path
from edgetl_runtime.system.storage import staged_folder
with staged_folder(Path(sys.argv[1]), marker="mark", overwrite=True) as folder:
    (folder / "mark").write_text("new")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def ours(tmp_path):
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "mark").write_text("old")
    (folder / "stale").touch()
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_others_may_read_a_written_file(tmp_path):
    write_file(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_reader_sees_the_old_or_the_new_file_never_a_part(tmp_path):
    path, states, done = tmp_path / "file", (b"a" * 300_000, b"b" * 300_000), threading.Event()
    write_file(path, states[0])
    seen = set()

    def read():
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        write_file(path, states[number % 2])
    done.set()
    reader.join()
    assert seen <= set(states)


def test_a_folder_that_does_not_exist_is_named(tmp_path, wording):
    with pytest.raises(StorageError, match=wording):
        write_file(tmp_path / "missing" / "file", b"new")


def test_a_folder_in_the_way_of_a_file_stays(tmp_path, ours, wording):
    with pytest.raises(StorageError, match=wording):
        write_file(ours, b"new")
    assert names(tmp_path) == ["ours"]
    assert names(ours) == ["mark", "stale"]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_temporary(tmp_path, run_python):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = run_python(FULL_DISK + WRITE, path)
    assert "refused: cannot write" in done.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_kill_before_the_rename_keeps_the_old_file(tmp_path, run_python):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert run_python(KILLED_WRITE, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_a_staged_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "new"
    with staged_folder(target, marker="mark") as folder:
        (folder / "mark").write_text("new")
        assert not target.exists()
    assert (target / "mark").read_text() == "new"
    assert names(tmp_path / "deep") == ["new"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(error, tmp_path):
    with pytest.raises(error), staged_folder(tmp_path / "new", marker="mark") as folder:
        (folder / "mark").write_text("new")
        raise error
    assert names(tmp_path) == []


def test_an_exception_keeps_the_folder_that_was_to_be_replaced(tmp_path, ours):
    with (
        pytest.raises(ZeroDivisionError),
        staged_folder(ours, marker="mark", overwrite=True) as folder,
    ):
        (folder / "mark").write_text("new")
        raise ZeroDivisionError
    assert (ours / "mark").read_text() == "old"
    assert names(tmp_path) == ["ours"]


def test_a_kill_leaves_the_target_untouched(ours, run_python):
    assert run_python(KILLED_FOLDER, ours).returncode == -signal.SIGKILL
    assert (ours / "mark").read_text() == "old"
    assert names(ours) == ["mark", "stale"]


def test_a_full_disk_leaves_the_target_untouched(tmp_path, ours, run_python):
    done = run_python(FULL_DISK + FILL, ours)
    assert "refused: cannot write" in done.stderr
    assert (ours / "mark").read_text() == "old"
    assert names(tmp_path) == ["ours"]


def test_overwrite_replaces_the_whole_folder(tmp_path, ours):
    with staged_folder(ours, marker="mark", overwrite=True) as folder:
        (folder / "mark").write_text("new")
    assert names(ours) == ["mark"]
    assert (ours / "mark").read_text() == "new"
    assert names(tmp_path) == ["ours"]


def test_an_existing_folder_is_refused_without_overwrite(ours, wording):
    with (
        pytest.raises(StorageError, match=wording),
        staged_folder(ours, marker="mark"),
    ):
        pytest.fail("the block ran")
    assert (ours / "mark").read_text() == "old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_never_replaced(overwrite, tmp_path, wording):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with (
        pytest.raises(StorageError, match=wording),
        staged_folder(tmp_path / "photos", marker="mark", overwrite=overwrite),
    ):
        pytest.fail("the block ran")
    assert names(tmp_path / "photos") == ["holiday.jpg"]


def test_a_foreign_folder_that_appears_meanwhile_is_not_replaced(tmp_path, wording):
    target = tmp_path / "new"
    with (
        pytest.raises(StorageError, match=wording),
        staged_folder(target, marker="mark") as folder,
    ):
        (folder / "mark").touch()
        target.mkdir()
        (target / "holiday.jpg").touch()
    assert names(target) == ["holiday.jpg"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "new").mkdir()
    with staged_folder(tmp_path / "new", marker="mark") as folder:
        (folder / "mark").touch()
    assert names(tmp_path / "new") == ["mark"]


def test_a_file_or_a_dangling_link_is_never_replaced(tmp_path, wording):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(StorageError, match=wording):
            check_replaceable(tmp_path / name, marker="mark", overwrite=True)


def test_a_file_that_fails_while_it_is_filled_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"old")
    with pytest.raises(ZeroDivisionError), staged_file(path) as aside:
        aside.write_bytes(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("member", "overwrite", "says"),
    [
        ("mark", True, None),
        ("mark", False, "add --overwrite"),
        ("folder/mark", True, "something else"),
    ],
)
def test_a_zip_of_our_folder_may_be_replaced_and_no_other(member, overwrite, says, tmp_path):
    path = tmp_path / "ours.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"")
    if says is None:
        check_replaceable(path, marker="mark", overwrite=overwrite)
        return
    with pytest.raises(StorageError, match=says):
        check_replaceable(path, marker="mark", overwrite=overwrite)


REPLACED_AND_KILLED = """
import os, signal, sys
from pathlib import Path
from edgetl_runtime.system import storage
from edgetl_runtime.system.storage import put_back, staged_folder

target = Path(sys.argv[1])
# What the exchange itself calls cannot be told apart by Python: ctypes.dlsym comes before it.
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.chmod", "shutil.rmtree", "ctypes.dlsym"}

def replace(kill_at):
    left = kill_at
    def count(event, arguments=()):
        nonlocal left
        if event in EVENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    with staged_folder(target, marker="mark", overwrite=True) as folder:
        (folder / "mark").write_text("new")
        sys.addaudithook(count)

if sys.argv[2] == "apart":
    storage._exchange_at_once = lambda one, other: False
outcomes = []
while True:
    os.system(f"rm -rf {target.parent}/.target* {target}; mkdir {target}")
    (target / "mark").write_text("old")
    pid = os.fork()
    if pid == 0:
        replace(len(outcomes) + 1)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    put_back(target)
    outcomes.append((target / "mark").read_text())
    if ended == 0:
        break
assert set(outcomes) == {"old", "new"}, outcomes
assert outcomes == sorted(outcomes, reverse=True), outcomes
"""


@pytest.mark.parametrize("how", ["at once", "apart"])
def test_a_kill_while_a_folder_is_replaced_leaves_the_old_one_or_the_new_one(
    how, tmp_path, run_python
):
    done = run_python(REPLACED_AND_KILLED, tmp_path / "target", how)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_the_umask_holds_for_what_is_written(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_file(tmp_path / "file", b"")
        write_file(tmp_path / "secret", b"", mode=0o600)
        with staged_folder(tmp_path / "folder", marker="mark"):
            pass
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "secret", "folder")]
    assert modes == [0o644 & ~umask, 0o600, 0o777 & ~umask]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_can_be_replaced_by_a_folder(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(storage, "_exchange_at_once", lambda one, other: False)
    target = tmp_path / "target"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("mark", "old")
    with staged_folder(target, marker="mark", overwrite=True) as folder:
        (folder / "mark").write_text("new")
    assert (target / "mark").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_what_only_its_owner_may_read_is_never_open_to_others(tmp_path, monkeypatch):
    modes, replace = [], os.replace
    target = tmp_path / "secret"

    def look(aside, name):
        modes.append(os.stat(aside).st_mode & 0o777)
        replace(aside, name)
        modes.append(os.stat(name).st_mode & 0o777)

    monkeypatch.setattr(os, "replace", look)
    write_file(target, b"one", mode=0o600)
    write_file(target, b"two", mode=0o600)
    assert modes == [0o600] * 4
    assert target.read_bytes() == b"two"


def test_what_was_left_beside_its_place_is_put_back_and_nothing_else(tmp_path):
    (tmp_path / ".ours.edgetl-old.x1" / "ours").mkdir(parents=True)
    (tmp_path / ".ours.edgetl-old.x1" / "ours" / "mark").write_text("old")
    (tmp_path / ".others.edgetl-old.x2" / "others").mkdir(parents=True)
    put_back(tmp_path / "ours")
    assert (tmp_path / "ours" / "mark").read_text() == "old"
    assert names(tmp_path) == [".others.edgetl-old.x2", "ours"]
    put_back(tmp_path / "others" / "deeper")
    put_back(tmp_path / "ours")
    assert names(tmp_path) == [".others.edgetl-old.x2", "ours"]


def test_what_can_never_be_written_is_refused_before_the_work(tmp_path, wording):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=wording):
        check_replaceable(tmp_path / "file" / "new", marker="mark", overwrite=False)


def test_what_was_replaced_does_not_come_back(tmp_path, ours):
    (tmp_path / ".ours.edgetl-old.x1" / "ours").mkdir(parents=True)
    (tmp_path / ".ours.old.20260101" / "ours").mkdir(parents=True)
    check_replaceable(ours, marker="mark", overwrite=True)
    assert names(tmp_path) == [".ours.old.20260101", "ours"]


def test_the_root_of_all_folders_is_no_target(wording):
    with pytest.raises(StorageError, match=wording):
        check_replaceable(Path("/"), marker="mark", overwrite=True)
