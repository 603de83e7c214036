"""Every option of the device, once: the command line and the TOML file fill the same structs.

A file has one table for each struct below, and `edgetl-run` has one flag for each field:

    [source]
    address = "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam-video-index0"
    size = "1280x720"

    [smoothing]
    method = "majority"
"""

import re
from typing import Annotated, ClassVar, Literal

import msgspec


def names_file(address: str) -> bool:
    """Whether a source's address can only be the path of a file, a folder or a device."""
    return not re.fullmatch(r"\d+|.*://.*|-|picamera(:\d)?|pattern", address, re.DOTALL)


Size = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}\Z",
        description="WIDTHxHEIGHT in pixels, such as 640x480",
    ),
]
Region = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(0|1|0?\.\d+)(,(0|1|0?\.\d+|1\.0)){3}\Z",
        description="LEFT,TOP,WIDTH,HEIGHT as shares of the frame, 0..1, such as 0.25,0,0.5,1",
    ),
]
Location = Annotated[
    str,
    msgspec.Meta(min_length=1, description="the path of a file or folder", extra={"path": True}),
]
"""In a settings file, relative to that file."""
TOKEN_LENGTH = 16
"""At least, in characters."""
Token = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[!-~]{{{TOKEN_LENGTH},}}\Z",
        description=f"{TOKEN_LENGTH} or more letters, digits and signs of ASCII, without spaces",
        extra={"secret": True},
    ),
]
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z",
        description="up to 63 letters a-z and A-Z, digits, dots, - and _, such as door",
    ),
]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Threads = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Collected = Literal["unsure", "rejected", "sampled"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class ModelSettings(_Section, frozen=True):
    """`[model]`: which file runs, and how.

    Attributes:
        bundle: The folder or .zip that `edgetl export` wrote.
        engine: The engine that runs the model; by default the bundle's first variant decides.
        variant: Name of the model file, such as `litert-int8`; by default the first.
        threads: Threads of the engine; by default the processors at hand (affinity and CPU quota
            count), at most 4.
    """

    bundle: Location = ""
    engine: Literal["litert", "onnx"] | None = None
    variant: str | None = None
    threads: Threads | None = None


class SourceSettings(_Section, frozen=True):
    """`[source]`: where frames come from.

    Attributes:
        address: A camera's number (`0`), its device or stable id (`/dev/v4l/by-id/...`),
            `picamera`, a URL (rtsp, http, https), a video, a picture or a folder of them, `-` for
            standard input, or `pattern` for a drawn test pattern.
        size: Size to ask a camera for; of raw frames and of the test pattern, their size.
        fps: Frames a second to ask a camera for, and of the test pattern.
        format: Format of frames on standard input; raw ones need a size.
        stride: Bytes from one row of a raw frame to the next, where rows are padded.
        realtime: Play a video at its own speed and skip frames when late, as a camera would.
        loop: Begin a video or folder again when it ends.
        required: Exit when the camera is absent at the start, instead of waiting for it; `camera`
            always does.
        open_timeout_s: Until a camera must be open.
        read_timeout_s: Until a camera must have delivered the next frame.
        frozen_after_s: After so long of frames equal in every bit, a camera counts as frozen;
            0 switches the check off.
        ca: File (PEM) of the CA to trust in place of the system's, for an https address.
        cert: File (PEM) of this board's own certificate, where the camera demands one.
        key: File (PEM) of its key, if it is not in cert.
    """

    address: Annotated[str, msgspec.Meta(min_length=1, extra={"path": names_file})] = "0"
    size: Size | None = None
    fps: Rate | None = None
    format: Literal["mjpeg", "bgr24", "rgb24", "gray8", "yuv420p"] = "mjpeg"
    stride: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    realtime: bool = False
    loop: bool = False
    required: bool = False
    open_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 5.0
    frozen_after_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 10.0
    ca: Location | None = None
    cert: Location | None = None
    key: Location | None = None

    @property
    def reads_to_an_end(self) -> bool:
        """Whether frames come from a file or folder that is read once."""
        device = self.address.startswith("/dev/")
        return names_file(self.address) and not device and not self.loop


class ViewSettings(_Section, frozen=True):
    """`[view]`: what of a frame is looked at; first the region, then rotation, then mirror.

    Attributes:
        region: LEFT,TOP,WIDTH,HEIGHT as shares of the frame.
        rotate: Degrees clockwise.
        mirror: Swap left and right.
    """

    region: Region | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    mirror: bool = False


class PaceSettings(_Section, frozen=True):
    """`[pace]`: which frames are answered.

    Attributes:
        every: Only each n-th frame that the source delivers.
        max_fps: At most so many answers a second.
        max_frames: Stop after so many answers.
        max_age_s: A frame older than this when its answer is ready gets no label.
    """

    every: Count = 1
    max_fps: Rate | None = None
    max_frames: Count | None = None
    max_age_s: Seconds = 2.0


class SmoothingSettings(_Section, frozen=True):
    """`[smoothing]`: how answers to single frames become a label that does not flicker.

    Attributes:
        method: `average` of scores, `majority` of labels, or `none`.
        half_life_s: Of the exponential average: after so long a score has lost half its weight.
        frames: The majority is counted over so many frames.
        hold: A new label must lead for so many frames in a row before it becomes the stable one; a
            video's first one comes at once.
    """

    method: Literal["none", "average", "majority"] = "average"
    half_life_s: Seconds = 0.2
    frames: Count = 7
    hold: Count = 3


class OutputSettings(_Section, frozen=True):
    """`[output]`: where answers go; any number at once.

    Attributes:
        terminal: `line` for each answer, `event` for changes only, `json`, or `none`; by default
            `line` for `camera` and `event` for `serve`.
        top: Labels to list.
        jsonl: File that gets a line of JSON for each answer; one that is there is added to.
        csv: File that gets a row for each answer; one that is there is added to or, where its
            columns are others, set aside as FILE.1.
        file_quota_mb: Size at which jsonl and csv files of a camera are rotated; one older file
            is kept. Of `pictures`, the oldest go when the folder would exceed it.
        video: New video with the answers drawn into it; where there is such a file, it gets a
            number, and its name is said at the end.
        pictures: Folder that gets a picture with the answer drawn into it for each event.
        name: Of this camera among others, for MQTT, Home Assistant and its service; by default the
            host's, and `camera` for a service.
        mqtt: Broker, such as `mqtt://user@host:1883` or `mqtts://host`; a password comes from
            the environment variable EDGETL_MQTT_PASSWORD.
        mqtt_topic: Below which states and events are published.
        mqtt_discovery: Announce the camera to Home Assistant.
        mqtt_ca: File (PEM) of the CA to trust in place of the system's, for `mqtts://`.
        mqtt_cert: File (PEM) of this board's own certificate, where the broker demands one.
        mqtt_key: File (PEM) of its key, if it is not in mqtt_cert.
        post: URL that gets each event as JSON.
        post_ca: As mqtt_ca, for an https URL.
        post_cert: As mqtt_cert.
        post_key: As mqtt_key.
        command: Shell command that runs on each event, told through EDGETL_* variables.
        callback: `module:function` of Python that is called with each answer.
        only_events: jsonl and csv get events only.
        csv_mark: Begin the csv with a byte order mark, without which Excel misreads letters such
            as ä.
    """

    terminal: Literal["line", "event", "json", "none"] | None = None
    top: Count = 3
    jsonl: Location | None = None
    csv: Location | None = None
    file_quota_mb: Count = 64
    video: Location | None = None
    pictures: Location | None = None
    name: Name | None = None
    mqtt: str | None = None
    mqtt_topic: str = "edgetl"
    mqtt_discovery: bool = True
    mqtt_ca: Location | None = None
    mqtt_cert: Location | None = None
    mqtt_key: Location | None = None
    post: str | None = None
    post_ca: Location | None = None
    post_cert: Location | None = None
    post_key: Location | None = None
    command: str | None = None
    callback: str | None = None
    only_events: bool = False
    csv_mark: bool = False


class CollectSettings(_Section, frozen=True):
    """`[collect]`: frames kept in a folder, to be labelled and trained on.

    Attributes:
        what: Kinds of frames: `unsure`, `rejected`, `sampled`.
        folder: Where they are kept.
        quota_mb: The oldest go when the folder would exceed this.
        unsure_below: A frame whose best two scores are closer than this is unsure.
        every_s: Least time between two kept frames of a kind.
    """

    what: tuple[Collected, ...] = ()
    folder: Location = "collected"
    quota_mb: Count = 256
    unsure_below: Share = 0.3
    every_s: Seconds = 5.0


class ServeSettings(_Section, frozen=True):
    """`[serve]`: the page.

    Attributes:
        host: Address to listen on; by default only this machine can reach it.
        port: 0 takes a free one.
        token: That whoever opens the page, and each program, must show; by default made at the
            first start and kept in the state folder or, without one, made at each start.
        page_fps: Pictures a second of the live picture.
        max_picture_mb: Largest picture that `/api/classify` takes.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    token: Token | None = None
    page_fps: Rate = 10.0
    max_picture_mb: Count = 10


class ServiceSettings(_Section, frozen=True):
    """`[service]`: how it lives for months.

    Attributes:
        state_dir: Folder of verified models and the record of which one runs; by default nothing
            is kept.
        lock: File that at most one instance holds; by default there is none.
        trial_frames: A new bundle is trusted after so many good answers.
        model_failures: So many unusable outputs in a row end the trust in a bundle.
    """

    state_dir: Location | None = None
    lock: Location | None = None
    trial_frames: Count = 100
    model_failures: Count = 5


class Settings(_Section, frozen=True):
    """All options; see each section."""

    # Where a field's name alone would say too little beside the flags of other sections.
    FLAGS: ClassVar = {
        "source.address": "source",
        "source.required": "require-camera",
        "source.ca": "source-ca",
        "source.cert": "source-cert",
        "source.key": "source-key",
        "smoothing.method": "smoothing",
        "smoothing.frames": "smoothing-frames",
        "collect.what": "collect",
        "collect.folder": "collect-folder",
        "collect.quota_mb": "collect-quota-mb",
        "collect.every_s": "collect-every-s",
    }
    EXAMPLES: ClassVar = {
        "model.bundle": "parts.bundle",
        "model.engine": "litert",
        "model.variant": "litert-int8",
        "model.threads": 2,
        "source.size": "1280x720",
        "source.fps": 30.0,
        "source.ca": "ca.pem",
        "source.cert": "board.pem",
        "source.key": "board.key",
        "source.stride": 1344,
        "view.region": "0.25,0,0.5,1",
        "pace.max_fps": 5.0,
        "pace.max_frames": 1000,
        "output.terminal": "event",
        "output.jsonl": "answers.jsonl",
        "output.csv": "answers.csv",
        "output.video": "answers.avi",
        "output.pictures": "events",
        "output.name": "door",
        "output.mqtt": "mqtt://user@broker:1883",
        "output.mqtt_ca": "ca.pem",
        "output.mqtt_cert": "board.pem",
        "output.mqtt_key": "board.key",
        "output.post_ca": "ca.pem",
        "output.post_cert": "board.pem",
        "output.post_key": "board.key",
        "output.post": "http://collector:8000/events",
        "output.command": 'logger "$EDGETL_LABEL"',
        "output.callback": "actions:react",
        "serve.token": "at-least-16-characters",
        "service.state_dir": "/var/lib/edgetl",
        "service.lock": "/run/edgetl/lock",
    }

    model: ModelSettings = ModelSettings()
    source: SourceSettings = SourceSettings()
    view: ViewSettings = ViewSettings()
    pace: PaceSettings = PaceSettings()
    smoothing: SmoothingSettings = SmoothingSettings()
    output: OutputSettings = OutputSettings()
    collect: CollectSettings = CollectSettings()
    serve: ServeSettings = ServeSettings()
    service: ServiceSettings = ServiceSettings()
