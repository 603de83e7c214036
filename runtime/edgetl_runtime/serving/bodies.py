"""The body of a request, bounded in bytes and time; and JSON as the answer to one."""

import anyio
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

BODY_S = 20.0
_MEGABYTE = 1_000_000


async def read_body(request: Request, most_bytes: int, what: str = "image") -> bytes:
    """Reads a body.

    Args:
        request: The request.
        most_bytes: A larger body is refused.
        what: It should be, for messages.

    Raises:
        HTTPException: If it is too large, too slow, cut off or empty.
    """
    # What is left of the body is read and dropped, so that the sender gets to see the answer.
    megabytes = max(1, most_bytes // _MEGABYTE)
    too_large = HTTPException(413, f"an {what} over {megabytes} MB; make it smaller first")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise too_large
    data = bytearray()
    try:
        with anyio.fail_after(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > most_bytes:
                    raise too_large
    except TimeoutError as error:
        text = f"the {what} took longer than {BODY_S:.0f} s"
        raise HTTPException(408, text, {"connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(400, f"the {what} ended early") from error
    if not data:
        raise HTTPException(400, f"an empty body; send the bytes of an {what}")
    return bytes(data)


def reply(told: object, status: int = 200) -> Response:
    """JSON."""
    return Response(msgspec.json.encode(told), status, media_type="application/json")
