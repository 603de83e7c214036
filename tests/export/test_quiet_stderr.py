"""Native code is silenced while all is well, and heard when something fails."""

import os

import pytest

from edgetl_export.quiet_stderr import divert_stderr


def test_native_output_of_a_good_block_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with divert_stderr():
        os.write(2, b"no GPU here\n")
    assert capfd.readouterr().err == ""


def test_native_output_of_a_failed_block_is_shown(
    capfd: pytest.CaptureFixture[str], wording: str
) -> None:
    with pytest.raises(RuntimeError, match=wording):
        _complain_and_fail()
    assert capfd.readouterr().err == "op not supported\n"


def _complain_and_fail() -> None:
    with divert_stderr():
        os.write(2, b"op not supported\n")
        raise RuntimeError("boom")


def test_native_output_of_an_interrupted_block_is_dropped(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt), divert_stderr():
        os.write(2, b"no GPU here\n")
        raise KeyboardInterrupt
    assert capfd.readouterr().err == ""


def test_stderr_works_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with divert_stderr():
        pass
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with divert_stderr():
            pass
    assert len(os.listdir("/dev/fd")) == before
