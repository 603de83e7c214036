"""What the pipeline says about a frame."""

import msgspec

from edgetl_runtime.prediction import Prediction, Scores
from edgetl_runtime.preprocessing import Frame


class Event(msgspec.Struct, frozen=True):
    """The stable label changed.

    Attributes:
        number: From 1, counted since the start.
        label: The new stable label, or None: nothing known is seen.
        previous: The one before.
        score: Smoothed score of the new label, 0..1; of the best one where the label is None.
        time_s: Seconds since 1970 on the wall clock; may jump, unlike all other times here.
    """

    number: int
    label: str | None
    previous: str | None
    score: float
    time_s: float


class Answer(msgspec.Struct, frozen=True, eq=False):
    """One frame's answer.

    Attributes:
        source: The camera, file or address.
        index: Number of the frame in its source; gaps are frames that were dropped.
        size_px: (width, height) of the frame as captured.
        prediction: Of this frame alone, with its times and age.
        smoothed: float32 (classes,), scores after smoothing, 0..1.
        label: The stable label, or None.
        score: Smoothed score of the stable label, 0..1; of the best one where the label is None.
        stale: The frame was too old when the answer was ready; label is None.
        low_information: The frame is nearly of one colour: covered, black or saturated.
        event: The change that this answer brought, or None.
        time_s: Seconds since 1970 on the wall clock.
        picture: uint8 (height, width, 3) BGR, the view as classified, or None if no output
            wanted it. Shared: whoever draws on it copies it first.
        position_s: Where in a video the frame is, seconds from its first one; None elsewhere.
        file: The file that the frame is from; None of a camera, stream or pipe.
    """

    source: str
    index: int
    size_px: tuple[int, int]
    prediction: Prediction
    smoothed: Scores
    label: str | None
    score: float
    stale: bool
    low_information: bool
    event: Event | None
    time_s: float
    picture: Frame | None = None
    position_s: float | None = None
    file: str | None = None
