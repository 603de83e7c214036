"""Shares and points, as every message, table, page and card words them."""

import pytest

from edgetl_export.wording import percent, points, signed_points


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.873, 1, "87.3%"),
        (1.0, 0, "100%"),
        (0.9999, 0, ">99%"),
        (0.99996, 1, ">99.9%"),
        (0.0, 0, "0%"),
        (0.001, 0, "<1%"),
        (None, 1, "-"),
    ],
)
def test_all_and_none_are_said_of_all_and_none_only(
    share: float | None, digits: int, text: str
) -> None:
    assert percent(share, digits) == text


@pytest.mark.parametrize(
    ("share", "size", "signed"),
    [(0.006, "0.6", "+0.6"), (-0.04, "4", "-4.0"), (0.123, "12", "+12.3"), (0.0, "0.0", "+0.0")],
)
def test_points_are_hundredths(share: float, size: str, signed: str) -> None:
    assert (points(share), signed_points(share)) == (size, signed)
