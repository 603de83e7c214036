"""The page's addresses."""

from functools import partial
from importlib.resources import files

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgetl_runtime.answers import AnswerRecord, Recorder, answer_alone
from edgetl_runtime.errors import EdgetlError, FrameError, OptionsError
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.serving.access import HEALTH_PATH, Access, Guard
from edgetl_runtime.serving.bodies import read_body, reply
from edgetl_runtime.serving.classifying import Classifying
from edgetl_runtime.serving.classroom import Classroom
from edgetl_runtime.serving.explaining import Explaining
from edgetl_runtime.serving.feed import TOP, PageFeed
from edgetl_runtime.serving.lesson_addresses import list_lesson_routes
from edgetl_runtime.serving.metrics import build_registry, scrape
from edgetl_runtime.serving.streams import (
    AnswerStream,
    PictureStream,
    StreamLimit,
    next_picture,
)
from edgetl_runtime.serving.uploads import KINDS, TooManyPixelsError, decode_upload
from edgetl_runtime.serving.views import StateView, without_passwords
from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.showing import show

_MEGABYTE = 1_000_000
_SNAPSHOT_S = 3.0
# Each holds an image in memory and competes with the camera for the engine.
_MAX_UPLOADS = 2
# All but one of them wait.
_MAX_ASKERS = 8
# Where an uploaded image is from, in its record.
_UPLOAD = "upload"
_HEALTHY = ("ok", "degraded")
_NO_ADDRESS = (
    "no such address; a proxy that serves the page below a path must strip that path "
    "(nginx: location /camera/ { proxy_pass http://127.0.0.1:8080/; })"
)
_WRONG_KIND = (
    "send the bytes of the image as the body, not as a form, with the header Content-Type: "
    f"{' or '.join(KINDS)}"
)
_NO_MAPS = (
    "this model has no heat maps: they need a file that ends in pooled feature maps, one dense "
    "layer and a softmax, exported by this version; export it again with: edgetl export"
)
_NO_METHOD = "this address does not accept the method {}"
_PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
    "/elements.js": ("elements.js", "text/javascript"),
    "/teach.js": ("teach.js", "text/javascript"),
    "/why.js": ("why.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def build_app(
    classifying: Classifying,
    feed: PageFeed,
    access: Access,
    *,
    max_picture_mb: int,
    classroom: Classroom | None = None,
) -> Starlette:
    """Joins page, state, streams, classification and lessons behind the rules of access."""
    addresses = _Addresses(classifying, feed, access, max_picture_mb * _MEGABYTE)
    routes = [Route(path, partial(_send_file, *_read_file(*file))) for path, file in _PAGE.items()]
    routes += [
        Route(HEALTH_PATH, addresses.health),
        Route("/metrics", addresses.metrics),
        Route("/api/state", addresses.state),
        Route("/api/classify", addresses.classify, methods=["POST"]),
        Route("/api/heat-map", addresses.heat_map),
        *list_lesson_routes(classroom),
        Route("/stream.mjpg", addresses.pictures),
        Route("/events", addresses.answers),
        Route("/snapshot.jpg", addresses.snapshot),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _explain},
    )
    # That would lead to an address made of the Host header, without a proxy's path.
    app.router.redirect_slashes = False
    return app


class _Addresses:
    """The routes, by address."""

    def __init__(
        self, classifying: Classifying, feed: PageFeed, access: Access, max_bytes: int
    ) -> None:
        self._classifying = classifying
        self._feed = feed
        self._access = access
        self._max_bytes = max_bytes
        self._registry = build_registry(self._status, lambda: feed.watching)
        self._recorder = Recorder(TOP)
        self._limit = StreamLimit()
        self._explaining = Explaining(classifying, feed)
        self._uploads = self._askers = 0

    async def health(self, request: Request) -> Response:
        """200 while answers can be trusted, 503 while not."""
        status = self._status()
        told: dict[str, str | int] = {"state": status.state}
        if self._access.knows(request):
            told |= {"reason": status.reason, "lessons": status.lessons}
        return JSONResponse(told, 200 if status.state in _HEALTHY else 503)

    async def metrics(self, request: Request) -> Response:
        data, kind = scrape(self._registry, request.headers.get("accept", ""))
        return Response(data, headers={"content-type": kind})

    async def state(self, request: Request) -> Response:
        status = self._status()
        return reply(StateView(status, self._feed.answer(status.state)))

    async def pictures(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response()
        return PictureStream(self._feed, self._limit)

    async def answers(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response()
        return AnswerStream(self._feed, self._status, self._limit)

    async def snapshot(self, request: Request) -> Response:
        picture = await next_picture(self._feed, _SNAPSHOT_S)
        if picture is None:
            raise HTTPException(503, "no frame arrived; is the camera connected?")
        return Response(picture.jpeg, media_type="image/jpeg")

    async def classify(self, request: Request) -> Response:
        """Classifies the JPEG or PNG that is the request's body."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in KINDS:
            raise HTTPException(415, f"{_WRONG_KIND}, found {show(kind) if kind else 'none'}")
        if self._uploads >= _MAX_UPLOADS:
            raise HTTPException(503, "busy with other images; try again")
        self._uploads += 1
        try:
            data = await read_body(request, self._max_bytes)
            # Abandoned when the server closes: an engine that hangs must not keep it open.
            answer = anyio.to_thread.run_sync(self._classify, data, abandon_on_cancel=True)
            return reply(await answer)
        finally:
            self._uploads -= 1

    async def heat_map(self, request: Request) -> Response:
        """Where in the newest frame the evidence for a class lies."""
        if not self._status().has_heat_maps:
            raise HTTPException(501, _NO_MAPS)
        if self._askers >= _MAX_ASKERS:
            raise HTTPException(503, "busy with other heat maps; try again")
        self._askers += 1
        try:
            label = request.query_params.get("label")
            told = anyio.to_thread.run_sync(self._explain, label, abandon_on_cancel=True)
            return Response(await told, media_type="application/json")
        finally:
            self._askers -= 1

    def _explain(self, label: str | None) -> bytes:
        try:
            return self._explaining.explain(label)
        except OptionsError as error:
            raise HTTPException(422, str(error)) from error
        except EdgetlError as error:
            raise HTTPException(503, mask_text(str(error))) from error

    def _classify(self, data: bytes) -> AnswerRecord:
        try:
            picture = decode_upload(data)
            prediction = self._classifying.classify(picture)
            frame = CapturedFrame(picture, _UPLOAD, 0, prediction.captured_s)
            return self._recorder.describe(answer_alone(frame, prediction))
        except TooManyPixelsError as error:
            raise HTTPException(413, str(error)) from error
        except FrameError as error:
            raise HTTPException(422, str(error)) from error
        except EdgetlError as error:
            raise HTTPException(503, mask_text(str(error))) from error

    def _status(self) -> Status:
        return without_passwords(self._classifying.status())


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = _NO_ADDRESS if error.status_code == 404 else error.detail
    if error.status_code == 405:
        takes = sorted((error.headers or {}).get("Allow", "").split(", "))
        told = f"{_NO_METHOD.format(show(request.method))}; use {' or '.join(takes)}"
    return JSONResponse({"error": told}, error.status_code, error.headers)


def _read_file(name: str, kind: str) -> tuple[bytes, str]:
    return files("edgetl_runtime.serving").joinpath("page", name).read_bytes(), kind


async def _send_file(data: bytes, kind: str, request: Request) -> Response:
    return Response(data, media_type=kind)
