"""What `camera` and `serve` share: the parts joined, run, and taken apart."""

from typing import TYPE_CHECKING

from edgetl_runtime.commands.exits import EXIT_ERROR
from edgetl_runtime.commands.printing import tell, warn

if TYPE_CHECKING:
    from edgetl_runtime.pipeline.pipeline import Pipeline
    from edgetl_runtime.serving.server import PageServer
    from edgetl_runtime.settings.sections import Settings


def run_camera(settings: "Settings", page: "PageServer | None" = None) -> int:
    """Classifies until the source ends or a signal comes; returns the exit code.

    Args:
        settings: All options.
        page: Shows the answers, if given. The camera is then waited for, unless it is required
            at the start; without a page somebody sits there and is told.

    Raises:
        EdgetlError: If it cannot begin, or cannot go on.
    """
    from edgetl_runtime.service.running import Service

    with Service(settings, warn) as service:
        _tell_exposed(settings, page=page is not None)
        from edgetl_runtime.outputs.opening import open_outputs
        from edgetl_runtime.pipeline.opening import open_camera
        from edgetl_runtime.pipeline.pipeline import Pipeline
        from edgetl_runtime.service.telling import StateTeller

        classifier = service.open_classifier()
        gone: list[bool] = []

        def stop() -> None:
            gone.append(True)
            service.stop()

        feed = service.open_feed(
            lambda stop: open_camera(
                settings.source.address,
                settings,
                classifier.bundle,
                keep_trying=True,
                required=settings.source.required or page is None,
                stop=stop,
            )
        )
        outputs = open_outputs(
            settings,
            find_digest=lambda: pipeline.status().bundle_sha256,
            live=feed.live,
            find_fps=lambda: feed.status().fps,
            on_gone=stop,
            note=warn,
        )

        def note_progress() -> None:
            service.note_progress()
            teller.look()

        pipeline = Pipeline(
            classifier,
            feed,
            [*outputs, page.output] if page else outputs,
            settings,
            on_progress=note_progress,
            on_model_failure=service.on_model_failure,
        )
        teller = StateTeller(pipeline.status, warn)
        try:
            if page:
                tell(f"the page is at {page.start(pipeline)}{page.token_hint}")
            answered = service.run(pipeline)
        finally:
            if page:
                page.close()
        if gone:
            return EXIT_ERROR
        teller.sum_up(answered, feed.status())
        # The higher one is the signal's.
        return max(service.interruption, _tell_losses(pipeline, settings, is_file=feed.finite))


def _tell_losses(pipeline: "Pipeline", settings: "Settings", *, is_file: bool) -> int:
    # A camera goes on whatever is lost; a job with an end is there for what is written of it.
    has_end = is_file or settings.pace.max_frames is not None
    losses = pipeline.describe_losses() if has_end else []
    for loss in losses:
        warn(loss)
    return EXIT_ERROR if losses else 0


def _tell_exposed(settings: "Settings", *, page: bool) -> None:
    from edgetl_runtime.service.cleartext import find_exposed

    for sentence in find_exposed(settings, page=page):
        warn(sentence)
