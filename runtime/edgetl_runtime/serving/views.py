"""What viewers are told: structs that become JSON."""

import msgspec

from edgetl_runtime.answer import Answer
from edgetl_runtime.masking import mask_text
from edgetl_runtime.pipeline.status import State, Status
from edgetl_runtime.prediction import Prediction

_TOP = 5
_NO_LABEL: tuple[State, ...] = ("stale", "no_camera", "failed")


class LabelScore(msgspec.Struct, frozen=True):
    """A label and its score, 0..1."""

    label: str
    score: float


class AnswerView(msgspec.Struct, frozen=True):
    """An answer without its picture; fields as in `Answer` and `Prediction`.

    Attributes:
        top: The best labels by smoothed score, best first.
    """

    index: int
    size_px: tuple[int, int]
    label: str | None
    score: float
    top: tuple[LabelScore, ...]
    stale: bool
    low_information: bool
    time_s: float
    preprocess_ms: float
    invoke_ms: float
    age_ms: float
    position_s: float | None
    file: str | None


class PredictionView(msgspec.Struct, frozen=True):
    """What `/api/classify` answers; fields as in `Prediction`."""

    label: str | None
    score: float
    rejected: bool
    reject_threshold: float
    top: tuple[LabelScore, ...]
    preprocess_ms: float
    invoke_ms: float


class StateView(msgspec.Struct, frozen=True):
    """What `/api/state` answers."""

    status: Status
    answer: AnswerView | None


def view_answer(answer: Answer) -> AnswerView:
    """Leaves the picture out and picks the best labels."""
    one = answer.prediction
    smoothed = msgspec.structs.replace(one, scores=answer.smoothed)
    return AnswerView(
        index=answer.index,
        size_px=answer.size_px,
        label=answer.label,
        score=float(answer.score),
        top=_top(smoothed),
        stale=answer.stale,
        low_information=answer.low_information,
        time_s=answer.time_s,
        preprocess_ms=one.preprocess_ms,
        invoke_ms=one.invoke_ms,
        age_ms=one.age_ms,
        position_s=answer.position_s,
        file=answer.file,
    )


def take_back(view: AnswerView, state: State) -> AnswerView:
    """Takes the label off an answer that the state belies: it was of a camera that is gone."""
    return msgspec.structs.replace(view, label=None, stale=True) if state in _NO_LABEL else view


def view_prediction(prediction: Prediction) -> PredictionView:
    """Picks the best labels."""
    return PredictionView(
        label=prediction.label,
        score=prediction.score,
        rejected=prediction.label is None,
        reject_threshold=prediction.reject_threshold,
        top=_top(prediction),
        preprocess_ms=prediction.preprocess_ms,
        invoke_ms=prediction.invoke_ms,
    )


def without_passwords(status: Status) -> Status:
    """Masks the addresses that reasons and errors quote."""
    replace = msgspec.structs.replace
    return replace(
        status,
        reason=mask_text(status.reason),
        feed=replace(status.feed, reason=mask_text(status.feed.reason)),
        outputs=tuple(replace(one, error=mask_text(one.error)) for one in status.outputs),
    )


def _top(prediction: Prediction) -> tuple[LabelScore, ...]:
    return tuple(LabelScore(label, score) for label, score in prediction.top(_TOP))
