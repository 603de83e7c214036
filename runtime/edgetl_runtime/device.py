"""A device: camera, model, outputs and web page, wired from the settings.

    settings = Settings(
        model=ModelSettings(bundle="parts.bundle"),
        output=OutputSettings(jsonl="answers.jsonl"),
    )
    Device(settings).run()

Light to import: signals are watched before numpy and OpenCV are loaded.
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetl_runtime.service.running import Service
from edgetl_runtime.settings.sections import Settings

if TYPE_CHECKING:
    from edgetl_runtime.capture.camera import Camera
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.outputs.diverse import Known
    from edgetl_runtime.outputs.opening import DrawHeatMap
    from edgetl_runtime.pipeline.pipeline import Pipeline
    from edgetl_runtime.service.state_log import StateLog
    from edgetl_runtime.serving.server import PageServer

Say = Callable[[str], None]
_log = logging.getLogger(__name__)
_EXIT_ERROR = 1


class Device:
    """Owns camera, pipeline, outputs and page, from the first frame to the last answer.

    Attributes:
        settings: All options.
        classifier: The model at startup.
        camera: The source of frames.
        pipeline: Turns frames into answers and passes them to the outputs.
    """

    classifier: "Classifier"
    camera: "Camera"
    pipeline: "Pipeline"

    def __init__(
        self,
        settings: Settings,
        *,
        page: "PageServer | None" = None,
        warn: Say = _log.warning,
        tell: Say = _log.info,
    ) -> None:
        """Opens nothing; `run` does.

        Args:
            settings: All options.
            page: Web page that shows the answers. With a page, `run` waits for a missing camera
                unless it is required; without one, it raises.
            warn: Called with each warning, one sentence; from any thread.
            tell: Called with the address of the page, including its token if that may be shown.
        """
        self.settings = settings
        self._page = page
        self._warn, self._tell = warn, tell
        self._service = Service(settings, warn)
        self._state_log: StateLog | None = None
        self._has_reader = True

    def run(self) -> int:
        """Classifies until the source ends or a signal arrives.

        Returns:
            The exit code: 0; 1 if an output lost answers; 130 or 143 if a signal ended a file or
            folder early.

        Raises:
            EdgetlError: If it cannot start, or cannot continue.
        """
        with self._service:
            self._warn_of_clear_text()
            self.classifier = self._service.open_classifier()
            self.camera = self._service.open_feed(self._open_camera)
            self.pipeline = self._open_pipeline()
            self._state_log = self._open_state_log()
            try:
                self._open_page()
                answered = self._service.run(self.pipeline)
            finally:
                self._close_page()
            if not self._has_reader:
                return _EXIT_ERROR
            self._state_log.sum_up(answered, self.camera.status())
            # The higher one is the signal's.
            return max(self._service.interruption, self._warn_of_losses())

    def stop(self) -> None:
        """Ends `run` after the frame in hand; may be called from any thread."""
        self._service.stop()

    def _open_camera(self, stop: threading.Event) -> "Camera":
        from edgetl_runtime.pipeline.opening import open_camera

        source = self.settings.source
        return open_camera(
            source.address,
            self.settings,
            self.classifier.bundle,
            keep_trying=True,
            required=source.required or self._page is None,
            stop=stop,
        )

    def _open_pipeline(self) -> "Pipeline":
        from edgetl_runtime.outputs.opening import open_outputs
        from edgetl_runtime.pipeline.pipeline import Pipeline

        outputs = open_outputs(
            self.settings,
            find_digest=self._find_digest,
            find_known=self._find_known,
            live=self.camera.live,
            find_fps=self._find_fps,
            draw_heat_map=self._find_heat_map(),
            on_gone=self._note_reader_gone,
            note=self._warn,
        )
        return Pipeline(
            self.classifier,
            self.camera,
            [*outputs, self._page.output] if self._page else outputs,
            self.settings,
            on_progress=self._note_progress,
            on_model_failure=self._service.on_model_failure,
        )

    def _find_heat_map(self) -> "DrawHeatMap | None":
        if not (self.settings.output.video and self.settings.output.video_heat_map):
            return None
        # That the model has none is said before the first frame.
        _ = self.classifier.explainer
        return lambda picture, label: self.pipeline.draw_heat_map(picture, label)

    def _open_state_log(self) -> "StateLog":
        from edgetl_runtime.service.state_log import StateLog

        return StateLog(self.pipeline.status, self._warn)

    def _open_page(self) -> None:
        if self._page:
            address = self._page.start(self.pipeline, self._service)
            self._tell(f"the page is at {address}{self._page.token_hint}")
            if self._page.trust_hint:
                self._tell(self._page.trust_hint)

    def _close_page(self) -> None:
        if self._page:
            self._page.close()

    def _find_digest(self) -> str:
        return self.pipeline.classifier.bundle.sha256

    def _find_known(self) -> "Known":
        from edgetl_runtime.outputs.diverse import Known

        classifier = self.pipeline.classifier
        return Known.of(classifier.bundle, classifier.variant)

    def _find_fps(self) -> float | None:
        return self.camera.status().fps

    def _note_progress(self) -> None:
        self._service.note_progress()
        if self._state_log:
            self._state_log.update()

    def _note_reader_gone(self) -> None:
        """Stops when standard output has no reader any more, as after `| head`."""
        self._has_reader = False
        self.stop()

    def _warn_of_losses(self) -> int:
        # A camera goes on whatever is lost; a job with an end is there for what is written of it.
        has_end = self.camera.finite or self.settings.pace.max_frames is not None
        losses = self.pipeline.describe_losses() if has_end else []
        for loss in losses:
            self._warn(loss)
        return _EXIT_ERROR if losses else 0

    def _warn_of_clear_text(self) -> None:
        from edgetl_runtime.service.cleartext import find_exposed

        for sentence in find_exposed(self.settings, page=self._page is not None):
            self._warn(sentence)
