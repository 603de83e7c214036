"""Phrases about an answer, for people."""

from edgetl_runtime.answers import Answer
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.text.printable import make_printable


def show_place(answer: Answer) -> str:
    """The origin of a frame: `0#211`, `film.mp4#48 (1.60 s)`, `photos/10.jpg`."""
    if answer.position_s is not None:
        place = f"{answer.file or answer.source}#{answer.index} ({answer.position_s:.2f} s)"
    else:
        place = answer.file or f"{answer.source}#{answer.index}"
    return make_printable(place)


def show_label(label: str | None) -> str:
    """A label for people: never empty, and without control characters, whatever a bundle says."""
    if label is None:
        return "(unknown)"
    return make_printable(label)


def show_prediction(prediction: Prediction, top: int) -> str:
    """`gear 93%  [nut 5%, bolt 1%]`; a rejected frame's best score stands with its label."""
    best = [f"{show_label(label)} {score:.0%}" for label, score in prediction.top(top)]
    if prediction.label is None:
        return f"{show_label(None)}  [{', '.join(best)}]"
    return f"{best[0]}  [{', '.join(best[1:])}]"
