"""A code in the terminal is what a phone's camera reads."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading

import cv2
import numpy as np
import pytest

from edgetl_runtime.serving.codes import Code, draw_svg, show_codes

URL = "https://board-in-the-hall.local:8080/?token=" + "aB3-" * 10 + "xyz"
CODES = (Code("1. Trust", "http://192.168.178.24:8081/"), Code("2. Open", URL))
# A pixel above and one below, as a terminal shows them.
HALVES = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}


@pytest.fixture
def show():
    """What a terminal of so many columns is sent."""

    def run(columns: int, encoding: str = "utf-8") -> str:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
        got = io.BytesIO()

        def read() -> None:
            while True:
                try:
                    got.write(os.read(master, 65_536))
                except OSError:
                    return

        reader = threading.Thread(target=read)
        reader.start()
        with open(slave, "w", encoding=encoding) as stream:
            show_codes(CODES, stream)
        reader.join()
        os.close(master)
        return got.getvalue().decode()

    return run


def photograph(shown: str) -> list[np.ndarray]:
    """The pictures of both codes: uint8, 8 px for each module."""
    first, *lines = [re.sub(r"\033\[[\d;]*m", "", line) for line in shown.splitlines()]
    assert first.split("  ")[0] == CODES[0].title
    start = len(lines[0].split()[0]) + 4
    columns = [slice(0, start - 4), slice(start, len(lines[0]))]
    return [draw([line[column] for line in lines if line[column].strip()]) for column in columns]


def draw(rows: list[str]) -> np.ndarray:
    halves = np.array([[HALVES[cell] for cell in row] for row in rows], np.uint8)
    modules = halves.transpose(0, 2, 1).reshape(-1, halves.shape[1])
    # The last row is half a row of blocks.
    return np.kron(modules[: halves.shape[1]] * 255, np.ones((8, 8), np.uint8))


def test_a_phone_reads_both_codes_off_the_terminal(show):
    pictures = photograph(show(80))
    read = [cv2.QRCodeDetector().detectAndDecode(picture)[0] for picture in pictures]
    assert read == [code.address for code in CODES]


@pytest.mark.parametrize(("columns", "encoding"), [(40, "utf-8"), (80, "ascii"), (80, "latin-1")])
def test_a_terminal_that_cannot_show_them_gets_nothing(show, columns, encoding):
    assert show(columns, encoding) == ""


def test_a_file_gets_nothing(tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        show_codes(CODES, stream)
    assert (tmp_path / "log").read_bytes() == b""


def test_the_picture_of_a_code_holds_no_script():
    picture = draw_svg(URL)
    assert picture.startswith(b"<svg ")
    assert b"script" not in picture
