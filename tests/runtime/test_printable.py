import pytest

from edgetl_runtime.printable import LIMIT, make_printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grüner Apfel 🍏", "grüner Apfel 🍏"),
        ("a\\b 'c'", "a\\b 'c'"),
        ("one\ntwo", "one\\ntwo"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("gear\u202egnirps", "gear\\u202egnirps"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_what_moves_a_cursor_or_forges_a_line_is_escaped(text, expected):
    assert make_printable(text) == expected


def test_text_does_not_go_on_for_ever():
    assert len(make_printable("x" * 10**6)) < LIMIT + 10
