import pytest

from edgetl_runtime.text.printable import LIMIT, keep_on_line, make_printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grüner Apfel 🍏", "grüner Apfel 🍏"),
        ("a\\b 'c'", "a\\b 'c'"),
        ("one\ntwo", "one\\ntwo"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("gear\u202egnirps", "gear\\u202egnirps"),
        ("\udcff.png", "\\xff.png"),
        ("می\u200cشود 👩\u200d🔧", "می\u200cشود 👩\u200d🔧"),
    ],
)
def test_what_moves_a_cursor_or_forges_a_line_is_escaped(text, expected):
    assert make_printable(text) == expected


def test_text_does_not_go_on_for_ever():
    assert len(make_printable("x" * 10**6)) < LIMIT + 10


@pytest.mark.parametrize("text", ["می\u200cشود", "👩\u200d🔧", "gear, nut", "a\u00adb", "x" * 5000])
def test_what_joins_letters_stays_in_files(text):
    assert keep_on_line(text) == text


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\x85"])
def test_what_ends_a_line_is_escaped_in_files(end):
    assert keep_on_line(f"a{end}b").isprintable()
