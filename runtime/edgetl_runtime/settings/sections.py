"""All options of the device: the command line and the TOML file fill the same structs.

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
        description="LEFT,TOP,WIDTH,HEIGHT as fractions of the frame, 0..1, such as 0.25,0,0.5,1",
    ),
]
Location = Annotated[
    str,
    msgspec.Meta(min_length=1, description="the path of a file or folder", extra={"path": True}),
]
"""A path; in a settings file, relative to that file."""
Written = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        description="the path of a file or folder",
        extra={"path": True, "written": True},
    ),
]
"""A `Location` that is written: for a service, relative to its state folder."""
TOKEN_LENGTH = 16
"""Minimum number of characters."""
Token = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[!-~]{{{TOKEN_LENGTH},}}\Z",
        description=f"{TOKEN_LENGTH} or more printable ASCII characters, without spaces",
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
Collected = Literal["unsure", "rejected", "diverse", "sampled"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class ModelSettings(_Section, frozen=True):
    """`[model]`: which model runs, and how.

    Attributes:
        bundle: Folder or .zip that `edgetl export` wrote.
        engine: Engine that runs the model (default: that of the bundle's first variant).
        variant: Variant to run, such as `litert-int8` (default: the bundle's first).
        threads: Number of threads of the engine (default: the available processors, within
            affinity and CPU quota, at most 4).
    """

    bundle: Location = ""
    engine: Literal["litert", "onnx"] | None = None
    variant: str | None = None
    threads: Threads | None = None


class SourceSettings(_Section, frozen=True):
    """`[source]`: where frames come from.

    Attributes:
        address: A camera's number (`0`), its device or stable id (`/dev/v4l/by-id/...`),
            `picamera`, a URL (rtsp, http, https), a video, an image or a folder of images, `-`
            for standard input, or `pattern` for a test pattern.
        size: Frame size to request from a camera; for raw frames and the test pattern, their
            size.
        fps: Frame rate to request from a camera; for the test pattern, its frame rate.
        format: Format of frames on standard input; raw formats need a size.
        stride: Bytes per row of a raw frame, where rows are padded.
        realtime: Play a video at its own speed and drop frames when late, as a camera would.
        loop: Start over at the end of a video or folder.
        required: Exit if the camera is absent at startup, instead of waiting for it; `camera`
            always does.
        open_timeout_s: Timeout for opening a camera, in seconds.
        read_timeout_s: Timeout for the next frame of a camera, in seconds.
        frozen_after_s: Seconds of identical frames after which a camera counts as frozen; 0
            disables the check.
        ca: CA certificate (PEM) to trust for an https address (default: those of the system).
        cert: Client certificate (PEM) of this board, if the camera requires one.
        key: Private key (PEM) of the client certificate, if it is not in the same file.
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
    """`[view]`: which part of a frame is classified: first the region, then rotation, then mirror.

    Attributes:
        region: Region to crop: LEFT,TOP,WIDTH,HEIGHT as fractions of the frame (default: the
            whole frame).
        rotate: Rotation in degrees, clockwise.
        mirror: Swap left and right.
    """

    region: Region | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    mirror: bool = False


class PaceSettings(_Section, frozen=True):
    """`[pace]`: which frames are answered.

    Attributes:
        every: Classify only every N-th frame of the source.
        max_fps: Maximum number of answers per second (default: no limit).
        max_frames: Stop after this many answers (default: never).
        max_age_s: Maximum age of a frame when its answer is ready, in seconds; older ones get no
            label.
    """

    every: Count = 1
    max_fps: Rate | None = None
    max_frames: Count | None = None
    max_age_s: Seconds = 2.0


class SmoothingSettings(_Section, frozen=True):
    """`[smoothing]`: how the answers to single frames become a stable label.

    Attributes:
        method: Smoothing method: `average` of the scores, `majority` of the labels, or `none`.
        half_life_s: Half-life of the exponential average, in seconds.
        frames: Number of frames that the majority is taken over.
        hold: Number of consecutive frames that a new label must lead before it becomes the stable
            one; the first label of a video is stable at once.
    """

    method: Literal["none", "average", "majority"] = "average"
    half_life_s: Seconds = 0.2
    frames: Count = 7
    hold: Count = 3


class OutputSettings(_Section, frozen=True):
    """`[output]`: where answers go; outputs can be combined.

    Attributes:
        terminal: What to print: a `line` per answer, an `event` per change, `json`, or `none`
            (default: `line` for `camera`, `event` for `serve`).
        top: Number of labels to list.
        jsonl: File or named pipe to append a line of JSON to for each answer.
        csv: File to append a row to for each answer; an existing file with other columns is
            renamed to FILE.1.
        file_quota_mb: Size in MB at which the jsonl and csv files of a camera are rotated; one
            older file is kept. In `pictures`, the oldest images beyond it are deleted.
        video: Video file to write with the answers drawn into it; if the file exists, a number is
            appended to the name, and the name is printed at the end.
        video_heat_map: Draw into the video where the evidence for the label lies; the model runs
            once more for each frame.
        pictures: Folder for an image of each event, with the answer drawn into it.
        name: Name of this camera for MQTT, Home Assistant and its service (default: the host's
            name, or `camera` for a service).
        mqtt: MQTT broker, such as `mqtt://user@host:1883` or `mqtts://host`; the password is read
            from the environment variable EDGETL_MQTT_PASSWORD.
        mqtt_topic: Topic prefix for states and events.
        mqtt_discovery: Announce the camera to Home Assistant.
        mqtt_ca: CA certificate (PEM) to trust for `mqtts://` (default: those of the system).
        mqtt_cert: Client certificate (PEM) of this board, if the broker requires one.
        mqtt_key: Private key (PEM) of the client certificate, if it is not in the same file.
        post: URL to post each event to, as JSON.
        post_ca: CA certificate (PEM) to trust for an https URL (default: those of the system).
        post_cert: Client certificate (PEM) of this board, if the server requires one.
        post_key: Private key (PEM) of the client certificate, if it is not in the same file.
        command: Shell command to run on each event, which it finds in EDGETL_* variables.
        callback: Python function to call with each answer, as `module:function`.
        only_events: Write only events to jsonl and csv.
        csv_mark: Begin the csv with a byte order mark, without which Excel misreads letters such
            as ä.
    """

    terminal: Literal["line", "event", "json", "none"] | None = None
    top: Count = 3
    jsonl: Written | None = None
    csv: Written | None = None
    file_quota_mb: Count = 64
    video: Written | None = None
    video_heat_map: bool = False
    pictures: Written | None = None
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
    """`[collect]`: frames to keep in a folder, for labelling and training.

    Attributes:
        what: Kinds of frames to keep: `unsure`, `rejected`, `diverse` (unlike the training photos
            and one another, unsure ones above all), `sampled` (default: none).
        folder: Folder to keep them in.
        quota_mb: Maximum size of the folder in MB; the oldest frames beyond it are deleted, of
            diverse ones those that are most like others, or least unsure.
        unsure_below: Difference between the two best scores below which a frame is unsure.
        every_s: Minimum time between two kept frames of the same kind, in seconds; in a video its
            own time, however fast it is read. Photos of a folder follow from none, and none waits.
    """

    what: tuple[Collected, ...] = ()
    folder: Written = "collected"
    quota_mb: Count = 256
    unsure_below: Share = 0.3
    every_s: Seconds = 5.0


class ServeSettings(_Section, frozen=True):
    """`[serve]`: the web page.

    Attributes:
        host: Address to listen on; 127.0.0.1 is reachable from this machine only, 0.0.0.0 from
            the network.
        port: Port to listen on; 0 takes a free one.
        token: Token that browsers and programs must send (default: generated at the first start
            and kept in the state folder; without one, generated at each start).
        tls: Serve over HTTPS with an authority of this machine, which a second page, over plain
            HTTP on the next free port, hands out to phones.
        page_fps: Frame rate of the live view.
        max_picture_mb: Maximum size of an image that `/api/classify` accepts, in MB.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    token: Token | None = None
    tls: bool = False
    page_fps: Rate = 10.0
    max_picture_mb: Count = 10


class ServiceSettings(_Section, frozen=True):
    """`[service]`: how it runs unattended.

    Attributes:
        state_dir: Folder for verified models and the record of the one that runs (default:
            nothing is kept).
        lock: Lock file that allows one instance only (default: none).
        trial_frames: Number of good answers after which a new bundle is trusted.
        model_failures: Number of consecutive unusable outputs after which a bundle is no longer
            trusted.
    """

    state_dir: Written | None = None
    lock: Written | None = None
    trial_frames: Count = 100
    model_failures: Count = 5


class Settings(_Section, frozen=True):
    """All options; see each section."""

    # Where the field's name alone would be ambiguous among the flags of all sections.
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
