"""Each event as JSON, by HTTP POST."""

import http.client
import os
from urllib.parse import SplitResult, urlsplit

from edgetl_runtime.answers import Answer, Recorder, encode_line
from edgetl_runtime.errors import OptionsError, OutputError, UndeliveredError
from edgetl_runtime.outputs.output import EventOutput
from edgetl_runtime.system.tls import Identity, explain
from edgetl_runtime.text.masking import mask

TOKEN = "EDGETL_POST_TOKEN"
_TIMEOUT_S = 5.0
_TOO_MANY_REQUESTS = 429
_REQUEST_TIMEOUT = 408
_IDENTITY = Identity("post")
_NO_RIGHT = f"is the environment variable {TOKEN} set, and correct?"
_HINTS = {
    401: _NO_RIGHT,
    403: _NO_RIGHT,
    404: "is the path of the address correct?",
    405: "does this address accept POST?",
}


class Post(EventOutput):
    """Posts each event; a server that is away or overloaded gets it later.

    What is sent is a record as in a JSON lines file. After a time-out an event may arrive twice:
    its boot id and number tell. Redirects are not followed, since the address was chosen by a
    person. With the environment variable EDGETL_POST_TOKEN it is sent as a bearer token.
    """

    name = "post"
    lossless = True

    def __init__(self, url: str, top: int, identity: Identity = _IDENTITY) -> None:
        """Sends nothing yet.

        Args:
            url: http or https.
            top: Labels to list.
            identity: Of an https connection.

        Raises:
            OptionsError: If the address is not valid.
        """
        self._url = parse_url(url)
        encrypted = self._url.scheme == "https"
        identity.check_use(encrypted=encrypted, address="https://")
        self._context = identity.make_context() if encrypted else None
        check_token(os.environ.get(TOKEN, ""))
        self._path = self._url.path or "/"
        self._path += f"?{self._url.query}" if self._url.query else ""
        self._recorder = Recorder(top)

    def write(self, answer: Answer) -> None:
        """Posts one event.

        Raises:
            UndeliveredError: If the server is away, slow or overloaded.
            OutputError: If it refuses the event.
        """
        try:
            status = self._send(encode_line(self._recorder.describe(answer)))
        except (OSError, http.client.HTTPException) as error:
            raise UndeliveredError(f"{self._where}: {explain(error, 'post')}") from error
        if status >= 500 or status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS):
            raise UndeliveredError(f"{self._where} answered with status {status}")
        if status >= 300:
            hint = _HINTS.get(status, "give the address that it redirects to")
            hint = f"; {hint}" if status < 400 or status in _HINTS else ""
            raise OutputError(f"{self._where} answered with status {status}{hint}")

    def _send(self, body: bytes) -> int:
        connection = self._connect()
        try:
            connection.request("POST", self._path, body, _make_headers())
            return connection.getresponse().status
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._context)

    @property
    def _where(self) -> str:
        return f"{self._url.scheme}://{self._url.netloc}"


def parse_url(url: str) -> SplitResult:
    """Checks the address to post to.

    Raises:
        OptionsError: With the address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # What a line of a request must not hold.
        usable = usable and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise OptionsError(
            f"post: expected an address such as http://host:8000/path, got {mask(url)}"
        )
    if parts.username is not None:
        raise OptionsError(
            f"post: a user name or password in the address is readable by others; put a token into "
            f"the environment variable {TOKEN}"
        )
    return parts


def check_token(token: str) -> None:
    """Refuses a token that no header can hold, before the first event would show it.

    Raises:
        OptionsError: Without the token.
    """
    if not (token.isascii() and token.isprintable()):
        raise OptionsError(
            f"post: the environment variable {TOKEN} contains a line break or another character "
            "that a header cannot contain; expected printable ASCII characters"
        )


def _make_headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "edgetl-run"}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    return headers
