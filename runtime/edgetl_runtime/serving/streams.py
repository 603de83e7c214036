"""Streams to a viewer: the live view and the answers."""

import time
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.serving.feed import PageFeed, Picture

MAX_STREAMS = 32
# A new viewer is not shown an older image, which would look live.
FRESH_S = 3.0
_BOUNDARY = b"frame"
_STATE_PERIOD_S = 1.0
_RECONNECT_MS = 2000


class StreamLimit:
    """How many streams there may be at once; used in the event loop only."""

    def __init__(self, count: int = MAX_STREAMS) -> None:
        """All are free."""
        self.free = count


class LimitedResponse(StreamingResponse):
    """A stream that counts while it runs; beyond the limit it is a 503."""

    def __init__(self, parts: AsyncIterator[bytes], media_type: str, limit: StreamLimit) -> None:
        """Takes nothing yet."""
        super().__init__(parts, media_type=media_type, headers={"x-accel-buffering": "no"})
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams until the viewer or the server leaves."""
        if self._limit.free == 0:
            busy = JSONResponse({"error": "too many viewers; close another page first"}, 503)
            await busy(scope, receive, send)
            return
        self._limit.free -= 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._limit.free += 1


class PictureStream(LimitedResponse):
    """Motion JPEG: the newest image again and again."""

    def __init__(self, feed: PageFeed, limit: StreamLimit) -> None:
        """Takes nothing yet."""
        media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"
        super().__init__(_picture_parts(feed), media_type, limit)
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams; images are made only while this runs."""
        with self._feed.watched():
            await super().__call__(scope, receive, send)


class AnswerStream(LimitedResponse):
    """Server-sent events: `history` once, `state` each second, `answer` and `event` as they come.

    A state comes without labels and events. The states are also the heartbeat by which a page
    notices that the board is gone.
    """

    def __init__(self, feed: PageFeed, status: Callable[[], Status], limit: StreamLimit) -> None:
        """Takes nothing yet."""
        super().__init__(_answer_parts(feed, status), "text/event-stream", limit)


async def next_picture(feed: PageFeed, timeout_s: float) -> Picture | None:
    """The newest image, made for this asker if nobody else watches; None if none comes."""
    deadline_s = time.monotonic() + timeout_s
    with feed.watched():
        while (picture := feed.picture(1.0)) is None and not feed.notifier.closed:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            await feed.notifier.wait(left_s)
    return picture


async def _picture_parts(feed: PageFeed) -> AsyncIterator[bytes]:
    # A browser shows a part when it has seen the boundary behind it.
    yield b"--" + _BOUNDARY + b"\r\n"
    shown = 0
    while not feed.notifier.closed:
        picture = feed.picture(FRESH_S)
        if picture is not None and picture.number != shown:
            shown = picture.number
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
            yield head.encode() + picture.jpeg + b"\r\n--" + _BOUNDARY + b"\r\n"
        else:
            await feed.notifier.wait(_STATE_PERIOD_S)


async def _answer_parts(feed: PageFeed, status: Callable[[], Status]) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % _RECONNECT_MS
    now_s = time.monotonic()
    replace = msgspec.structs.replace
    ages = [replace(one, answered_s=one.answered_s - now_s) for one in feed.history()]
    yield _event("history", msgspec.json.encode(ages))
    state_due_s, told_answer, told_event = 0.0, b"", 0
    while not feed.notifier.closed:
        now = status()
        if time.monotonic() >= state_due_s:
            state_due_s = time.monotonic() + _STATE_PERIOD_S
            yield _event("state", msgspec.json.encode(replace(now, labels=(), recent_events=())))
        for event in feed.events_after(told_event):
            told_event = event.number
            yield _event("event", msgspec.json.encode(event))
        answer = feed.message(now.state)
        if answer != told_answer:
            told_answer = answer
            yield _event("answer", answer)
        else:
            await feed.notifier.wait(state_due_s - time.monotonic())


def _event(name: str, data: bytes) -> bytes:
    # JSON has no line breaks of its own, so that it fits into one field.
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
