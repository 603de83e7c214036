"""`watch`: labels from a camera in one call."""

from collections.abc import Iterator
from pathlib import Path

from edgetl_runtime.answers import Answer
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.pipeline.opening import open_camera
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.settings.sections import Settings


def watch(
    bundle: str | Path, source: str = "0", settings: Settings | None = None
) -> Iterator[Answer]:
    """Yields an answer for each frame that a source delivers.

        for answer in watch("parts.bundle", "/dev/video0"):
            print(answer.label)

    Args:
        bundle: Folder or .zip that `edgetl export` wrote.
        source: A camera, stream, video, folder, `-` or `pattern`; see `SourceSettings.address`.
        settings: Settings of engine, view, pace and smoothing; those of bundle, address and
            outputs are ignored.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the engine is missing or fails.
        CameraError: If the source cannot deliver, or a camera is lost.
    """
    settings = settings or Settings()
    model = settings.model
    classifier = Classifier.open(
        bundle, engine=model.engine, variant=model.variant, threads=model.threads
    )
    feed = open_camera(source, settings, classifier.bundle)
    yield from Pipeline(classifier, feed, settings=settings).answers()
