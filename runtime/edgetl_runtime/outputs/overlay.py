"""The answer drawn into its image: label, bars, age."""

import cv2
import numpy as np

from edgetl_runtime.answers import Answer
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.outputs.phrases import show_label
from edgetl_runtime.outputs.text_overlay import Color, Pen
from edgetl_runtime.prediction import rank

_WHITE: Color = (255, 255, 255)
_SOFT: Color = (200, 200, 200)
_GREEN: Color = (120, 200, 80)
_GREY: Color = (150, 150, 150)
_AMBER: Color = (60, 180, 250)
_TRACK: Color = (85, 85, 85)
_SHADE = 0.32
# Text is this share of the image's height, and readable on the smallest.
_TEXT_SHARE, _LEAST_TEXT_PX = 1 / 24, 11
_LEAST_SIDE_PX = 64
_WIDEST = 26


def draw_answer(picture: Frame, answer: Answer, top: int = 3) -> Frame:
    """Draws label, score, bars of the best labels and age of the frame, or its place in a video.

    Args:
        picture: uint8 (height, width, 3) BGR; is not changed. One of less than 64 px a side is
            copied as it is, since no text fits.
        answer: What is drawn.
        top: Labels with bars; as many as fit.

    Returns:
        uint8 (height, width, 3) BGR, a new array.
    """
    drawn = np.array(picture, order="C")
    height, width = drawn.shape[:2]
    if min(height, width) < _LEAST_SIDE_PX:
        return drawn
    text_px = max(_LEAST_TEXT_PX, round(min(height, width * 3 / 4) * _TEXT_SHARE))
    _draw_panel(drawn, answer, top, text_px)
    _draw_age(drawn, answer, text_px)
    return drawn


def _draw_panel(drawn: Frame, answer: Answer, top: int, text_px: int) -> None:
    """At the bottom left, so that what is in the middle stays in sight."""
    height, width = drawn.shape[:2]
    margin, row_px, title_px = text_px // 2, round(text_px * 1.5), round(text_px * 1.6)
    panel_px = min(width - 2 * margin, _WIDEST * text_px)
    rows = min(top, max(0, (height // 2 - 2 * title_px) // row_px))
    tall_px = title_px + row_px * rows + 2 * margin
    left, start = margin, height - margin - tall_px
    _shade(drawn, left, start, panel_px, tall_px)
    inner = panel_px - 2 * margin
    base = start + round(0.8 * margin) + title_px
    _draw_title(drawn, answer, (left + margin, base - title_px // 5), inner, title_px)
    best = rank(answer.prediction.labels, answer.smoothed, rows)
    for n, (label, score) in enumerate(best, start=1):
        chosen = label == answer.label
        _draw_row(drawn, label, score, (left + margin, base + row_px * n), inner, text_px, chosen)


def _draw_title(
    drawn: Frame, answer: Answer, place: tuple[int, int], width_px: int, size_px: int
) -> None:
    pen = Pen(size_px, bold=True)
    if answer.stale:
        pen.draw(drawn, pen.fit("frame too old", width_px), place, _AMBER)
        return
    if answer.label is None:
        pen.draw(drawn, pen.fit("unknown", width_px), place, _SOFT)
        return
    score = f"{answer.score:.0%}"
    room = pen.measure(f" {score}")
    text = pen.fit(show_label(answer.label), width_px - room)
    pen.draw(drawn, text, place, _WHITE)
    pen.draw(drawn, score, (place[0] + width_px - pen.measure(score), place[1]), _GREEN)


def _draw_row(
    drawn: Frame,
    label: str,
    score: float,
    place: tuple[int, int],
    width_px: int,
    text_px: int,
    chosen: bool,
) -> None:
    """`label ▬▬▬▬▬── 93 %`, with its base line at `place`."""
    pen = Pen(text_px)
    left, base = place
    names_px, shares_px = round(width_px * 0.45), pen.measure("100%") + text_px // 3
    pen.draw(drawn, pen.fit(show_label(label), names_px - text_px // 2), (left, base), _WHITE)
    share = f"{score:.0%}"
    pen.draw(drawn, share, (left + width_px - pen.measure(share), base), _SOFT)
    bar_left, bar_right = left + names_px, left + width_px - shares_px
    top, bottom = base - round(text_px * 0.6), base - round(text_px * 0.1)
    cv2.rectangle(drawn, (bar_left, top), (bar_right, bottom), _TRACK, -1)
    filled = bar_left + round((bar_right - bar_left) * min(1.0, max(0.0, score)))
    if filled > bar_left:
        color = _GREEN if chosen else _GREY
        cv2.rectangle(drawn, (bar_left, top), (filled, bottom), color, -1)


def _draw_age(drawn: Frame, answer: Answer, text_px: int) -> None:
    pen = Pen(text_px)
    text = f"{answer.prediction.age_ms:.0f} ms old"
    if answer.position_s is not None:
        text = f"{answer.position_s:.2f} s"
    width_px, margin = pen.measure(text), text_px // 2
    left = drawn.shape[1] - width_px - 3 * margin
    _shade(drawn, left, margin, width_px + 2 * margin, text_px + margin)
    color = _AMBER if answer.stale else _SOFT
    pen.draw(drawn, text, (left + margin, margin + round(text_px * 1.05)), color)


def _shade(drawn: Frame, left: int, top: int, width: int, height: int) -> None:
    left, top = max(0, left), max(0, top)
    part = drawn[top : top + height, left : left + width]
    part[:] = cv2.convertScaleAbs(part, alpha=_SHADE, beta=10)
