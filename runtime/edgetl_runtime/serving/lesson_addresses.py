"""The addresses under which the page teaches: `/api/lessons` and what is below."""

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgetl_runtime.errors import EdgetlError, LessonError, LockedError, OptionsError
from edgetl_runtime.serving.bodies import read_body, reply
from edgetl_runtime.serving.classroom import Classroom
from edgetl_runtime.serving.lesson_records import LessonsView, decode_order
from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.showing import show

_PATH: Final = "/api/lessons"
_MOST_BYTES: Final = 1_000_000
_KIND: Final = "application/json"
_NOT_HERE: Final = "nothing can be taught here: this page was not started by edgetl-run serve"


def list_lesson_routes(classroom: Classroom | None) -> list[Route]:
    """The routes; without a classroom they say that nothing can be taught.

    Args:
        classroom: Takes the lessons.
    """
    addresses = _LessonAddresses(classroom)
    return [
        Route(_PATH, addresses.show_or_begin, methods=["GET", "POST"]),
        Route(f"{_PATH}/running", addresses.stop, methods=["DELETE"]),
        Route(f"{_PATH}/last", addresses.undo, methods=["DELETE"]),
    ]


class _LessonAddresses:
    """The routes, by address."""

    def __init__(self, classroom: Classroom | None) -> None:
        self._classroom = classroom

    async def show_or_begin(self, request: Request) -> Response:
        """The lessons; a POST begins another one (202), and GET then tells how it goes."""
        if request.method != "POST":
            if self._classroom is None:
                return reply(LessonsView(_NOT_HERE))
            return await self._do(lambda classroom: None)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _KIND:
            found = show(kind) if kind else "none"
            raise HTTPException(415, f"send JSON with Content-Type: {_KIND}, found {found}")
        data = await read_body(request, _MOST_BYTES, "order")
        try:
            order = decode_order(data)
        except OptionsError as error:
            raise HTTPException(422, str(error)) from error
        return await self._do(lambda classroom: classroom.begin(order), 202)

    async def stop(self, request: Request) -> Response:
        return await self._do(Classroom.stop)

    async def undo(self, request: Request) -> Response:
        return await self._do(Classroom.undo)

    async def _do(self, what: Callable[[Classroom], None], status: int = 200) -> Response:
        """Does something, and tells the lessons."""
        if self._classroom is None:
            raise HTTPException(501, _NOT_HERE)
        work = partial(_work, self._classroom, what)
        return reply(await anyio.to_thread.run_sync(work, abandon_on_cancel=True), status)


def _work(classroom: Classroom, what: Callable[[Classroom], None]) -> object:
    try:
        what(classroom)
        return classroom.view()
    except LockedError as error:
        raise HTTPException(409, str(error)) from error
    except LessonError as error:
        raise HTTPException(422, str(error)) from error
    except EdgetlError as error:
        raise HTTPException(503, mask_text(str(error))) from error
