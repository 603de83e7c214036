"""Lessons of the page, in JSON."""

from typing import Annotated, Final

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.learning.overlay_format import Kind, Lesson
from edgetl_runtime.options.choices import Choices
from edgetl_runtime.teaching.lesson import LessonReport
from edgetl_runtime.text.showing import show

_EXAMPLE: Final = '{"kind": "teach", "label": "bolt"}'


class LessonOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants to teach, in JSON.

    Attributes:
        kind: `teach`, a thing; or `scene`, the place.
        label: What is before the camera; null: nothing that is known, of a scene only.
        seconds: For how long frames are taken (default: 5 for a thing, 60 for the place).
    """

    kind: Kind
    label: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=1, le=600)] | None = None


class LessonProgress(msgspec.Struct, frozen=True):
    """How far a lesson is, in JSON.

    Attributes:
        kind: `scene` or `teach`.
        label: What is before the camera; null: nothing that is known.
        doing: `watching` while frames are taken, then what is done with them.
        frames: How many can be used so far.
        left_s: For how long frames are still taken, seconds.
        seconds: For how long they are taken in all.
    """

    kind: Kind
    label: str | None
    doing: str
    frames: int
    left_s: float
    seconds: float


class LessonView(msgspec.Struct, frozen=True):
    """A lesson that is kept, in JSON; see `Lesson`."""

    number: int
    kind: Kind
    label: str | None
    created_utc: str
    frames: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of the last lesson, in JSON.

    Attributes:
        number: Counts lessons since startup, also those that were refused.
        error: Why there is no report, one sentence; empty if there is one.
        report: The report, also of a lesson that was refused.
    """

    number: int
    error: str
    report: LessonReport | None = None


class LessonsView(msgspec.Struct, frozen=True):
    """The response of `/api/lessons`, in JSON.

    Attributes:
        impossible: Why nothing can be taught, one sentence; empty if something can.
        labels: The classes of the file, and what was taught.
        lessons: Those that are kept, oldest first.
        running: The lesson that is being taken, or null.
        outcome: Of the last lesson since startup; null before one is over, and while another one
            is being taken.
    """

    impossible: str
    labels: tuple[str, ...] = ()
    lessons: tuple[LessonView, ...] = ()
    running: LessonProgress | None = None
    outcome: Outcome | None = None


def decode_order(data: bytes) -> LessonOrder:
    """Reads an order.

    Args:
        data: JSON.

    Raises:
        OptionsError: Naming the field, what is allowed in it and what was found.
    """
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise OptionsError(f"expected JSON such as {_EXAMPLE} ({error})") from error
    if not isinstance(fields, dict):
        found = "null" if fields is None else show(fields)
        raise OptionsError(f"expected an object such as {_EXAMPLE}, found {found}")
    if fields.get("kind") is None:
        raise OptionsError(f"kind: expected scene or teach, found none; send such as {_EXAMPLE}")
    choices = Choices(LessonOrder, LessonOrder("teach"))
    choices.add_tables(fields)
    return choices.make()


def list_lessons(lessons: tuple[Lesson, ...]) -> tuple[LessonView, ...]:
    """The lessons of an overlay."""
    return tuple(
        LessonView(one.number, one.kind, one.label, one.created_utc, one.frames) for one in lessons
    )
