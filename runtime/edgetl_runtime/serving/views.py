"""The views of the page besides answers, without secrets."""

import msgspec

from edgetl_runtime.answers import AnswerRecord
from edgetl_runtime.pipeline.status import State, Status
from edgetl_runtime.text.masking import mask_text

_NO_LABEL: tuple[State, ...] = ("stale", "no_camera", "failed")


class StateView(msgspec.Struct, frozen=True):
    """The response of `/api/state`."""

    status: Status
    answer: AnswerRecord | None


def take_back(record: AnswerRecord, state: State) -> AnswerRecord:
    """Takes the label off an answer that the state belies: it was of a camera that is gone."""
    if state not in _NO_LABEL:
        return record
    return msgspec.structs.replace(record, label=None, stale=True)


def without_passwords(status: Status) -> Status:
    """Masks the addresses that reasons and errors quote."""
    replace = msgspec.structs.replace
    return replace(
        status,
        reason=mask_text(status.reason),
        feed=replace(status.feed, reason=mask_text(status.feed.reason)),
        outputs=tuple(replace(one, error=mask_text(one.error)) for one in status.outputs),
    )
