"""Why an RTSP camera could not be opened, of which FFmpeg says nothing.

The camera is asked to describe its stream (RFC 2326, section 10.2), as FFmpeg does.
"""

import email.parser
import http.client
import re
import socket
import urllib.request
from urllib.parse import urlsplit

from edgetl_runtime.capture.login import Login
from edgetl_runtime.errors import CameraError
from edgetl_runtime.system.tls import explain
from edgetl_runtime.text.credentials import split_credentials

_PORT = 554
_MOST_BYTES = 16_384
_STATUS = re.compile(rb"RTSP/1\.\d (\d{3} ?[^\r\n]*)\r\n")
_UNKNOWN = "it does not answer, refuses the connection, or sends no video"
_ADVICE = {
    "403": "this user may not view it, or too many wrong passwords have locked the account",
    "404": "the camera has no such path; its manual lists that of its stream",
    "453": "its network is busy",
    "454": "it has too many viewers; close others",
    "503": "it is busy; close other viewers",
}


def explain_failure(address: str, timeout_s: float) -> CameraError:
    """The reason that the camera gives when asked again.

    Args:
        address: That FFmpeg could not open; may hold name and password.
        timeout_s: Of each wait.
    """
    url, user, password = split_credentials(address)
    login = Login(url, user, password)
    try:
        told, headers = _describe(url, "", timeout_s)
        if told.startswith("401") and user is not None:
            request = urllib.request.Request(url, method="DESCRIBE")
            request.selector = url
            if answer := login.answer(request, headers.get_all("WWW-Authenticate", [])):
                login.tries += 1
                told, headers = _describe(url, answer, timeout_s)
    except (OSError, ValueError) as error:
        return CameraError(explain(error, "source"))
    if told.startswith("401"):
        return login.explain(told)
    if told.startswith("200"):
        return CameraError("it answers, but sends no readable video")
    advice = _ADVICE.get(told[:3], "")
    return CameraError(f"it says {told}{advice and '; '}{advice}" if told else _UNKNOWN)


def _describe(url: str, answer: str, timeout_s: float) -> tuple[str, http.client.HTTPMessage]:
    """Status such as `200 OK`, empty where none came; and the fields of the answer."""
    place = urlsplit(url)
    fields = ["CSeq: 1", "Accept: application/sdp", *([f"Authorization: {answer}"] * bool(answer))]
    lines = [f"DESCRIBE {url} RTSP/1.0", *fields, "", ""]
    with socket.create_connection((place.hostname or "", place.port or _PORT), timeout_s) as server:
        server.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES:
            if not (data := server.recv(4096)):
                break
            head += data
    found = _STATUS.match(head)
    told = found[1].decode("latin-1").strip() if found else ""
    text = head[found.end() if found else 0 :].partition(b"\r\n\r\n")[0].decode("latin-1")
    parser = email.parser.Parser(_class=http.client.HTTPMessage)
    return told, parser.parsestr(text, headersonly=True)
