"""Frames in, stable labels out: capture, preprocessing and inference overlap.

Three things run at once: the feed's own process captures, a thread prepares the next frame, and
the thread that called `run` runs the model.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgetl_runtime.answers import Answer, Event, make_event
from edgetl_runtime.capture.feed import FrameFeed
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EngineError, ModelOutputError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.outputs.worker import OutputWorker, close_all
from edgetl_runtime.pipeline.drift import Drift
from edgetl_runtime.pipeline.meter import Meter
from edgetl_runtime.pipeline.pace import Pace, find_age_limit
from edgetl_runtime.pipeline.preparation import TICK_S, Mark, Preparation, Prepared
from edgetl_runtime.pipeline.smoothing import Smoothed, Smoother
from edgetl_runtime.pipeline.status import Status, judge
from edgetl_runtime.pipeline.timed_cache import TimedCache
from edgetl_runtime.pipeline.view import View
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.board import read_health
from edgetl_runtime.system.clock import format_time

if TYPE_CHECKING:
    from edgetl_runtime.heatmaps.encoding import HeatMapRecord

_BOARD_EVERY_S = 5.0
_DRIFT_EVERY_S = 10.0
_CLOSE_S = 2.0
_FILE_CLOSE_S = 60.0


class Pipeline:
    """Classifies what a feed delivers and tells the outputs.

        pipeline = Pipeline(classifier, Camera("0"), outputs, settings)
        for answer in pipeline.answers():
            print(answer.label)

    A frame that cannot be prepared, or an output that fails, costs that one answer. Outputs of
    the model that are not probabilities give no label; so many in a row
    (`settings.service.model_failures`) end `run`, or call `on_model_failure` where that is given.

    Attributes:
        problem: One sentence on what is wrong around it, such as a reload that failed; set by
            whoever knows, shown in the status, empty if nothing is.
    """

    def __init__(
        self,
        classifier: Classifier,
        feed: FrameFeed,
        outputs: Sequence[Output] = (),
        settings: Settings | None = None,
        *,
        on_progress: Callable[[], None] = lambda: None,
        on_model_failure: Callable[[], None] | None = None,
    ) -> None:
        """Joins the parts; nothing runs yet.

        Args:
            classifier: The model.
            feed: Closed when `run` ends.
            outputs: Closed when `run` ends.
            settings: By default those of `Settings()`.
            on_progress: Called by the loop after each answer and at least twice a second while
                no frame comes; not called when the loop hangs.
            on_model_failure: Called when a model fails again and again, with `run` going on.

        Raises:
            OptionsError: If the view's region is not valid.
        """
        self.problem = ""
        self._settings = settings or Settings()
        self._classifier = classifier
        self._feed = feed
        self._preparation = Preparation(
            feed,
            View.of(self._settings.view),
            Pace(self._settings.pace),
            choose_classifier=lambda: self._classifier,
            wants_picture=self._wants_picture,
            on_bad_frame=lambda: self._meter.add_frame_failure(),
        )
        self._workers = [OutputWorker(output, live=feed.live) for output in outputs]
        self._smoother = Smoother(self._settings.smoothing)
        self._smoothed = classifier
        self._on_progress = on_progress
        self._on_model_failure = on_model_failure
        self._meter = Meter()
        self._stopping = threading.Event()
        self._stable: str | None = None
        self._events = 0
        self._last: Answer | None = None
        self._began_s = time.monotonic()
        self._drift = _start_drift(classifier)
        self._board = TimedCache(read_health, _BOARD_EVERY_S)
        self._drift_report = TimedCache(lambda: self._drift.report(), _DRIFT_EVERY_S)
        self._delivering = True
        self._looked_s = 0.0

    def run(self) -> int:
        """Answers frames until the source ends, `stop` is called or `max_frames` are answered.

        Returns:
            How many frames were answered.

        Raises:
            CameraError: If the source can never deliver.
            ModelOutputError: If the model fails repeatedly and there is no handler.
        """
        for _ in self.answers():
            pass
        return self._meter.read().counts.answered

    def answers(self) -> Generator[Answer, None, None]:
        """Like `run`, but yields each answer after passing it to the outputs.

        When a camera goes away, the last answer comes once more, stale and without its label.

        Raises:
            CameraError: As `run`.
            ModelOutputError: As `run`.
        """
        self._preparation.start()
        try:
            yield from self._answer_all()
        finally:
            # At the end of a file, what its outputs have not written yet is waited for.
            patient = not self._feed.live and not self._stopping.is_set()
            self._preparation.stop()
            self._preparation.join(timeout_s=2.0)
            self._feed.close()
            close_all(self._workers, _FILE_CLOSE_S if patient else _CLOSE_S)

    @property
    def classifier(self) -> Classifier:
        """The model in use."""
        return self._classifier

    def stop(self) -> None:
        """Ends `run` after the frame in hand; may be called from any thread or signal handler."""
        self._stopping.set()
        for worker in self._workers:
            worker.stop_waiting()
        self._preparation.stop()

    def describe_losses(self) -> list[str]:
        """Losses: answers that outputs accepted but did not write; call it after `run`."""
        return [loss for worker in self._workers if (loss := worker.describe_loss())]

    def swap(self, classifier: Classifier) -> None:
        """Takes another model into use between two frames; may be called from any thread."""
        self._classifier = classifier
        self._drift = _start_drift(classifier)
        self._meter.add_reload()

    def classify(self, picture: Frame) -> Prediction:
        """Classifies an image that is not from the feed, between two frames of it.

        Args:
            picture: uint8 (height, width, 3) BGR; the view does not apply.

        Raises:
            FrameError: If the image has another dtype or shape.
            EngineError: If the engine fails.
        """
        return self._classifier(picture)

    def draw_heat_map(self, picture: Frame, label: str | None = None) -> Frame:
        """Draws where the evidence for a class lies, without label and score.

        The model runs once more, on an engine of its own, beside the answers to frames.

        Args:
            picture: uint8 (height, width, 3) BGR, such as `Answer.picture`; the view does not
                apply.
            label: The class (default: the one with the highest score).

        Returns:
            uint8 (height, width, 3) BGR, a new array.

        Raises:
            BundleError: If the bundle is damaged.
            EngineError: If the model has no maps.
            OptionsError: If the model has no such class.
        """
        return self._classifier.explainer.draw(picture, label, caption=False)

    def explain(self, picture: Frame, label: str | None = None) -> "HeatMapRecord":
        """Says where the evidence for a class lies; the arguments are those of `draw_heat_map`.

        Raises:
            BundleError: If the bundle is damaged.
            EngineError: If the model has no maps.
            OptionsError: If the model has no such class.
        """
        from edgetl_runtime.heatmaps.encoding import record_heat_map

        explainer = self._classifier.explainer
        height, width = picture.shape[:2]
        heat = explainer.explain(picture, label)
        return record_heat_map(heat, explainer.preprocessing, width, height)

    def status(self) -> Status:
        """State, counters and times at this moment; may be called from any thread."""
        classifier = self._classifier
        reading = self._meter.read()
        feed = self._feed.status()
        outputs = tuple(worker.status() for worker in self._workers)
        board = self._board.get()
        problem = self.problem or classifier.fault
        state, reason = judge(
            reading, feed, outputs, board, self._settings, live=self._feed.live, problem=problem
        )
        counts = msgspec.structs.asdict(reading.counts)
        return Status(
            state=state,
            reason=reason,
            uptime_s=time.monotonic() - self._began_s,
            name=self._find_name(classifier),
            bundle=str(classifier.bundle.path),
            bundle_sha256=classifier.bundle.sha256,
            variant=classifier.variant.name,
            engine=classifier.engine.name,
            labels=classifier.classes,
            **counts,
            label=None if state in ("stale", "no_camera", "failed") else reading.label,
            score=reading.score,
            fps=reading.fps,
            preprocess_ms=reading.preprocess_ms,
            invoke_ms=reading.invoke_ms,
            age_ms=reading.age_ms,
            last_answer_age_s=reading.last_answer_age_s,
            low_information=reading.low_information,
            feed=feed,
            outputs=outputs,
            board=board,
            problem=problem,
            drift=self._drift_report.get(),
            recent_events=reading.recent_events,
            lessons=classifier.lessons,
            has_heat_maps=classifier.has_heat_maps,
        )

    def _find_name(self, classifier: Classifier) -> str:
        # A model store names its folders by hash, which tells nobody anything.
        path = self._settings.model.bundle or classifier.bundle.path
        return classifier.bundle.manifest.provenance.name or Path(path).name

    def _wants_picture(self) -> bool:
        # Each is asked, since asking may count.
        return any([worker.wants_picture() for worker in self._workers])

    def _answer_all(self) -> Iterator[Answer]:
        answered = 0
        limit = self._settings.pace.max_frames
        while not self._stopping.is_set() and (limit is None or answered < limit):
            prepared = self._preparation.next()
            if prepared is Mark.END:
                break
            answer = self._answer(prepared) if isinstance(prepared, Prepared) else None
            taken_back = self._watch_feed()
            self._on_progress()
            if answer:
                answered += 1
                yield answer
            if taken_back:
                yield taken_back

    def _answer(self, prepared: Prepared) -> Answer | None:
        try:
            prediction = prepared.classifier.infer(
                prepared.pixels, prepared.captured_s, prepared.preprocess_ms
            )
        except ModelOutputError as error:
            self._note_model_failure(error)
            return None
        except (EngineError, MemoryError):
            self._meter.add_frame_failure()
            return None
        if prepared.classifier is not self._smoothed:
            # Another model may know other labels.
            self._smoothed = prepared.classifier
            self._smoother.reset()
        answer = self._conclude(prepared, prediction)
        # Without its image, which would otherwise stay in memory until the next answer.
        self._last = msgspec.structs.replace(answer, picture=None)
        self._meter.add(answer)
        self._drift.add(prediction)
        self._publish(answer)
        return answer

    def _note_model_failure(self, error: ModelOutputError) -> None:
        self._smoother.reset()
        failures = self._meter.add_model_failure()
        if failures % self._settings.service.model_failures:
            return
        if self._on_model_failure is None:
            raise error
        self._on_model_failure()

    def _conclude(self, prepared: Prepared, prediction: Prediction) -> Answer:
        smoothed = self._smooth(prepared, prediction)
        if not self._delivering:
            self._delivering = self._is_delivering()
        too_old = prediction.age_ms > self._settings.pace.max_age_s * 1e3
        stale = self._feed.live and (too_old or not self._delivering)
        label = None if stale else smoothed.label
        return Answer(
            source=prepared.source,
            index=prepared.index,
            size_px=prepared.size_px,
            prediction=prediction,
            smoothed=smoothed.scores,
            label=label,
            score=smoothed.score,
            stale=stale,
            low_information=prepared.low_information,
            event=self._note_change(label, smoothed.score),
            time=format_time(time.time()),
            position_s=prepared.position_s,
            file=prepared.file,
            picture=prepared.picture,
        )

    def _smooth(self, prepared: Prepared, prediction: Prediction) -> Smoothed:
        if prepared.position_s is not None:
            # A video is read faster than it plays: its frames are as far apart as when it was
            # taken.
            return self._smoother.update(prediction, prepared.position_s, is_video=True)
        if self._feed.live:
            return self._smoother.update(prediction, prepared.captured_s)
        fps = self._feed.status().fps
        if fps:
            return self._smoother.update(prediction, prepared.index / fps)
        # Images of a folder have nothing to do with one another.
        return Smoothed(prediction.label, prediction.score, prediction.scores)

    def _note_change(self, label: str | None, score: float) -> Event | None:
        if label == self._stable:
            return None
        self._events += 1
        event = make_event(self._events, label, self._stable, score)
        self._stable = label
        return event

    def _watch_feed(self) -> Answer | None:
        """Twice a second: without frames, what was seen before is not what is seen now."""
        now_s = time.monotonic()
        if not self._feed.live or now_s - self._looked_s < TICK_S:
            return None
        self._looked_s = now_s
        self._delivering = self._is_delivering()
        return None if self._delivering and not self._is_overdue(now_s) else self._take_back()

    def _is_delivering(self) -> bool:
        return self._feed.status().state in ("delivering", "ended")

    def _is_overdue(self, now_s: float) -> bool:
        limit_s = find_age_limit(self._settings.pace)
        return self._last is not None and now_s - self._last.prediction.captured_s > limit_s

    def _take_back(self) -> Answer | None:
        """The last answer without its label, if it had one that nobody took back yet."""
        self._smoother.reset()
        event = self._note_change(None, 0.0)
        self._meter.add_absence(event)
        if event is None or self._last is None:
            return None
        answer = msgspec.structs.replace(
            self._last, label=None, score=0.0, stale=True, event=event, time=event.time
        )
        self._publish(answer)
        return answer

    def _publish(self, answer: Answer) -> None:
        for worker in self._workers:
            worker.publish(answer)


def _start_drift(classifier: Classifier) -> Drift:
    return Drift(classifier.variant.metrics)
