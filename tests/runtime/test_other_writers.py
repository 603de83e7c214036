"""A state folder that others may change holds models that others may have laid there."""

import os
import pwd

import pytest

from edgetl_runtime.system.obstacles import find_other_writer


@pytest.mark.parametrize(
    ("mode", "warns"),
    [(0o755, False), (0o700, False), (0o775, False), (0o777, True), (0o1777, True)],
)
def test_a_folder_that_everybody_may_write_to_is_named(mode, warns, tmp_path):
    folder = tmp_path / "my state"
    folder.mkdir()
    folder.chmod(mode)
    assert f"remedy: chmod o-w '{folder}'" in (said := find_other_writer(folder)) or not warns
    assert bool(said) is warns


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_named(tmp_path):
    os.chown(tmp_path, pwd.getpwnam("nobody").pw_uid, -1)
    assert f"{tmp_path} belongs to nobody, who could replace the model" in find_other_writer(
        tmp_path
    )


def test_a_folder_that_is_not_there_yet_is_nobodys(tmp_path):
    assert find_other_writer(tmp_path / "new") == ""


def test_serve_says_so_before_it_begins(edgetl_run, tiny, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    flags = ("--source", "pattern", "--max-frames", 1, "--port", 0, "--state-dir", folder)
    done = edgetl_run("serve", tiny, *flags)
    assert done.returncode == 0
    assert f"every user can write to the state folder {folder}" in done.stderr
