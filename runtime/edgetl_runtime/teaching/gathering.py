"""Frames for a lesson, from a source for some seconds, or from files."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import cv2

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.image.folders import list_inputs
from edgetl_runtime.image.frames import CapturedFrame, read_frames
from edgetl_runtime.pipeline.opening import open_camera
from edgetl_runtime.pipeline.view import View
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.teaching.frames import Collector, Take

Tell = Callable[[float, str], None]
Note = Callable[[str], None]


def watch_source(
    settings: Settings, bundle: Bundle, seconds: float, *, alike: bool, tell: Tell
) -> Take:
    """Takes the frames that a source delivers.

    Args:
        settings: Their sections `source` and `view`.
        bundle: The model's.
        seconds: How long a camera is watched, from its first frame on, or how much of a video;
            folders are read to their end.
        alike: Whether frames may look alike.
        tell: Is told of progress.

    Raises:
        CameraError: If the source is not there, or is lost.
        LessonError: If too few frames can be used.
    """
    collector = Collector(alike=alike)
    view = View.of(settings.view)
    tell(0.0, "opening the source")
    with closing(open_camera(settings.source.address, settings, bundle)) as camera:
        first_s: float | None = None
        for frame in camera:
            at_s = frame.captured_s if frame.position_s is None else frame.position_s
            first_s = at_s if first_s is None else first_s
            # The images of a folder have no time.
            is_timed = camera.live or frame.position_s is not None
            if is_timed and at_s - first_s >= seconds:
                break
            share = min(1.0, (at_s - first_s) / seconds) if is_timed else 0.0
            tell(share, f"watching: {collector.count} frames")
            _add(collector, bundle, view, frame)
    return collector.finish()


def read_files(
    paths: Sequence[Path], bundle: Bundle, *, alike: bool, tell: Tell, note: Note
) -> Take:
    """Takes images, those of folders, and frames of videos.

    Args:
        paths: Images, videos and folders.
        bundle: The model's.
        alike: Whether frames may look alike.
        tell: Is told of progress.
        note: Gets a sentence on what is not used.

    Raises:
        FrameError: If one cannot be read.
        LessonError: If too few frames can be used.
    """
    collector = Collector(alike=alike)
    files = [file for path in paths for file in _list_files(path, note)]
    for n, file in enumerate(files):
        tell(n / len(files), f"reading: {collector.count} frames")
        try:
            for frame in read_frames(file, note):
                _add(collector, bundle, View(), frame)
        except (FrameError, CameraError) as error:
            if file in paths:
                raise
            # One bad file of a folder must not cost the others.
            note(str(error))
    return collector.finish()


def _list_files(path: Path, note: Note) -> list[Path]:
    try:
        return list_inputs(path, note)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error


def _add(collector: Collector, bundle: Bundle, view: View, frame: CapturedFrame) -> None:
    try:
        seen = view.apply(frame.image)
        collector.add(seen, bundle.manifest.preprocessing.apply(seen))
    except cv2.error as error:
        raise FrameError(f"{frame.source}: frame {frame.index}: {error.err}") from error
