"""A page on a free port, fed by the test, and plain sockets to ask it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.outputs.output import OutputStatus
from edgetl_runtime.pipeline.drift import DriftReport
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.settings.sections import ServeSettings
from edgetl_runtime.system.board import Health
from edgetl_runtime.system.percentiles import Percentiles

LABELS = ("bolt", "gear", "washer")
PICTURE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
TIME = "2026-05-28T20:26:40.250Z"
STATUS = Status(
    state="ok",
    reason="",
    uptime_s=12.5,
    name="parts.bundle",
    bundle="/models/parts.bundle",
    bundle_sha256="ab" * 32,
    variant="litert-int8",
    engine="ai-edge-litert 2.3.0",
    labels=LABELS,
    answered=1234,
    withheld=1,
    rejected=2,
    model_failures=3,
    frame_failures=4,
    events=5,
    reloads=6,
    label="gear",
    score=0.75,
    fps=29.5,
    preprocess_ms=Percentiles(1.0, 2.0, 2.5, 3.0, 1.0),
    invoke_ms=Percentiles(4.0, 5.0, 5.5, 6.0, 4.0),
    age_ms=Percentiles(7.0, 8.0, 8.5, 9.0, 7.0),
    last_answer_age_s=0.1,
    low_information=False,
    feed=FeedStatus(
        *("delivering", "", (320, 240), 30.0, 1300, 66, {"truncated": 7}, 8, {"extra bytes": 12})
    ),
    outputs=(OutputStatus("mqtt", 9, 10, 11, "the broker is away"),),
    board=Health(51.5, False),
    drift=DriftReport(0, 0, {}, None, None, None, None, None, None, None, (), ()),
    problem="",
    recent_events=(Event(1, "gear", None, 0.75, TIME),),
)


class FakeBoard:
    """Satisfies `Classifying`: says what the test wants."""

    def __init__(self) -> None:
        self.now = STATUS
        self.seen: list[np.ndarray] = []
        self.on_classify: Callable[[], object] = lambda: None

    def status(self) -> Status:
        return self.now

    def classify(self, picture: np.ndarray) -> Prediction:
        self.on_classify()
        self.seen.append(picture)
        return predict((0.1, 0.7, 0.2))


def predict(scores: tuple[float, ...], labels: tuple[str, ...] = LABELS) -> Prediction:
    now = time.monotonic()
    return Prediction(labels, np.array(scores, np.float32), 0.5, now - 0.02, now, 1.5, 4.5)


class Page:
    """A served page: `publish` feeds it as a pipeline does, the rest asks it over sockets."""

    def __init__(self, settings: ServeSettings, board: FakeBoard, learner: object = None) -> None:
        self.board = board
        self.server = PageServer(settings)
        self.output = self.server.output
        self.url = self.server.start(board, learner)
        self.host, _, port = self.url.split("/")[2].rpartition(":")
        self.port = int(port)
        self.token = settings.token or self.url.partition("?token=")[2]
        self.answered = 0

    def answer(self, **changes: object) -> Answer:
        self.answered += 1
        plain = Answer(
            *("camera", self.answered, (320, 240), predict((0.1, 0.7, 0.2))),
            np.array((0.2, 0.65, 0.15), np.float32),
            *("gear", 0.65, False, False, None, TIME, None),
        )
        return msgspec.structs.replace(plain, **changes)

    def publish(self, **changes: object) -> bool:
        """As a pipeline and an output's worker do it; True if the answer carried a picture."""
        wanted = self.output.wants_picture()
        answer = self.answer(**({"picture": PICTURE if wanted else None} | changes))
        if self.output.accepts(answer):
            self.output.write(answer)
        return wanted

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> http.client.HTTPResponse:
        """One request on a connection of its own; the answer is read whole.

        Without the token if `anonymous`.
        """
        shown = {} if anonymous else {"Authorization": f"Bearer {self.token}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, shown | (headers or {}))
            response = connection.getresponse()
            response.data = response.read()
            return response

    def ask_json(self, path: str, **options: object) -> dict:
        return json.loads(self.ask(path, **options).data)

    def connect(self, request: bytes = b"", receive_bytes: int | None = None) -> socket.socket:
        """A raw connection on which `request` was sent."""
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(request)
        return connection

    def stream(self, path: str, receive_bytes: int | None = None) -> socket.socket:
        """A raw connection that asked for a stream."""
        return self.connect(self.head("GET", path) + b"\r\n", receive_bytes)

    def head(self, method: str, path: str) -> bytes:
        """The first lines of a request that shows the token; more headers may follow."""
        shown = f"Host: localhost\r\nAuthorization: Bearer {self.token}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{shown}".encode()


def count_page_threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("page")


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def serve(board: FakeBoard, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Page]]:
    """Starts pages; none of them may have failed, or left a thread, when the test is over."""
    pages: list[Page] = []
    before = count_page_threads()

    def start(*, learner: object = None, **settings: object) -> Page:
        pages.append(
            Page(ServeSettings(**{"port": 0, "page_fps": 50.0} | settings), board, learner)
        )
        return pages[-1]

    yield start
    for page in pages:
        page.server.close()
        page.output.close()
    assert count_page_threads() == before
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def serve_long(module_board: FakeBoard) -> Iterator[Callable[..., Page]]:
    """Starts pages that all tests of a module share."""
    pages: list[Page] = []

    def start(**settings: object) -> Page:
        pages.append(Page(ServeSettings(**{"port": 0} | settings), module_board))
        return pages[-1]

    yield start
    for page in pages:
        page.server.close()
        page.output.close()


@pytest.fixture(scope="module")
def module_board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def page(serve: Callable[..., Page]) -> Page:
    return serve()


@pytest.fixture
def feeding(page: Page) -> Iterator[list[float]]:
    """Publishes 200 answers a second; gives how long each took, in seconds."""
    took: list[float] = []
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.005):
            start_s = time.perf_counter()
            page.publish()
            took.append(time.perf_counter() - start_s)

    thread = threading.Thread(target=feed)
    thread.start()
    yield took
    stop.set()
    thread.join()


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return cv2.imencode(".jpg", PICTURE)[1].tobytes()
