"""Opens the camera for a model and a view."""

import math
import threading

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.pipeline.view import View
from edgetl_runtime.settings.sections import Settings


def open_camera(
    address: str,
    settings: Settings,
    bundle: Bundle,
    *,
    keep_trying: bool = False,
    required: bool = False,
    stop: threading.Event | None = None,
) -> Camera:
    """Opens a source; JPEGs are decoded no larger than the model needs of the view.

    Args:
        address: As in `SourceSettings.address`.
        settings: Their sections `source` and `view`.
        bundle: The model's.
        keep_trying: See `Camera`.
        required: See `Camera`.
        stop: See `Camera`.

    Raises:
        CameraError: If the source is not there and not waited for, or can never be there.
        OptionsError: If the view's region is not valid.
    """
    preprocessing = bundle.manifest.preprocessing
    _, _, width, height = View.of(settings.view).region
    input_px = (
        math.ceil(preprocessing.width_px / width),
        math.ceil(preprocessing.height_px / height),
    )
    if settings.view.rotate in (90, 270):
        input_px = (max(input_px), max(input_px))
    return Camera(
        address,
        settings.source,
        input_px=input_px,
        keep_trying=keep_trying,
        required=required,
        stop=stop,
    )
