"""The service around a pipeline: lock, signals, systemd, model store, reload.

    with Service(settings, warn) as service:
        pipeline = Pipeline(
            service.open_classifier(), feed, outputs, settings,
            on_progress=service.note_progress,
            on_model_failure=service.on_model_failure,
        )
        service.run(pipeline)

Light to import: signals are watched before numpy and OpenCV are loaded.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgetl_runtime.errors import (
    BundleError,
    CameraError,
    EngineError,
    OptionsError,
    ServiceError,
    StorageError,
)
from edgetl_runtime.service.lessons import LessonWatch
from edgetl_runtime.service.lock import find_locks, hold_lock
from edgetl_runtime.service.notify import Notifier
from edgetl_runtime.service.reload import Reloader
from edgetl_runtime.service.signals import SignalWatch
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.obstacles import find_other_writer
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl_runtime.answers import Answer
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.capture.camera import Camera
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.pipeline.pipeline import Pipeline
    from edgetl_runtime.service.models import ModelStore


class Service:
    """One run of the service; see the module."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        """Prepares; nothing is held before the block is entered.

        Args:
            settings: All options.
            warn: Tells a person one sentence; may be called from any thread.
        """
        self._settings = settings
        self._warn = warn
        self._notifier = Notifier()
        self._held = ExitStack()
        self._signals = SignalWatch(self.stop, self.reload, self._describe)
        self._stop = threading.Event()
        self._ending = threading.Lock()
        self._has_begun = False
        self._store: ModelStore | None = None
        self._pipeline: Pipeline | None = None
        self._reloader: Reloader | None = None
        self._lessons = LessonWatch(settings.model.bundle)
        self._running = ""
        # Of the start; a reload that succeeds ends it.
        self._problem = ""
        self._good = 0
        self._is_ready = False

    def __enter__(self) -> "Service":
        """Takes the lock and the signals.

        Raises:
            LockedError: If another instance holds the lock.
            ServiceError: If the lock cannot be opened.
        """
        if (folder := self._settings.service.state_dir) and (said := find_other_writer(folder)):
            self._warn(said)
        with ExitStack() as held:
            for lock in find_locks(self._settings.service):
                held.enter_context(hold_lock(lock))
            held.enter_context(self._signals)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Gives everything back; a model that did not fail is not blamed for the end."""
        try:
            if not isinstance(error, EngineError | MemoryError):
                self._note_end()
        finally:
            self._held.close()

    @property
    def interruption(self) -> int:
        """The exit code after a signal: 0 of a camera, which has no other end, and 0 without one.

        Of a file that was not read to its end it is 130 for Ctrl-C, 143 for SIGTERM.
        """
        caught = self._signals.caught
        return 128 + caught if caught and self._settings.source.reads_to_an_end else 0

    @property
    def problem(self) -> str:
        """Why the last reload failed, one sentence; empty if none did."""
        return self._reloader.problem if self._reloader else ""

    @property
    def on_model_failure(self) -> Callable[[], None] | None:
        """The handler for a model that fails repeatedly; None if no other one is kept."""
        return self._request_revert if self._settings.service.state_dir else None

    def open_classifier(self) -> "Classifier":
        """The model to begin with: the configured one, or what the store trusts more.

        Raises:
            OptionsError: If there is neither a bundle nor a store.
            BundleError: If the bundle is damaged or does not work, and there is no other.
            EngineError: If the engine is not installed or refuses the model.
            ServiceError: If the bundle could not be tried, and there is no other.
            StorageError: If the state folder cannot be used.
            SystemExit: If a signal came meanwhile: there is nothing to take down yet.
        """
        import cv2

        # Preprocessing takes a fraction of a millisecond: waking more threads would cost more.
        cv2.setNumThreads(1)
        try:
            classifier = self._load(self._choose())
        except ServiceError:
            # What was stopped in its trial is not a failure.
            if not self._stop.is_set():
                raise
        if self._stop.is_set():
            raise SystemExit(self.interruption)
        if classifier.lessons:
            from edgetl_runtime.learning.place import describe_lessons

            self._warn(describe_lessons(classifier.lessons))
        return classifier

    def open_feed(self, open_camera: "Callable[[threading.Event], Camera]") -> "Camera":
        """The source of frames.

        Args:
            open_camera: Gives up as soon as the event is set.

        Raises:
            CameraError: If the source is not there.
            SystemExit: If a signal came meanwhile: there is nothing to take down yet.
        """
        try:
            return open_camera(self._stop)
        except CameraError:
            # What was stopped while it opened is not a failure.
            if not self._stop.is_set():
                raise
            raise SystemExit(self.interruption) from None

    def run(self, pipeline: "Pipeline") -> int:
        """Runs the pipeline until its source ends or a signal comes.

        Returns:
            How many answers there were, without stale ones.

        Raises:
            EdgetlError: What `Pipeline.answers` raises.
        """
        self._pipeline = pipeline
        pipeline.problem = self._problem
        self._reloader = Reloader(
            self._take,
            on_begin=self._note_reloading,
            on_end=self._note_reloaded,
            look=self._find_change,
        )
        answered = 0
        try:
            if self._stop.is_set():
                pipeline.stop()
            for answer in pipeline.answers():
                self._note_answer(answer)
                answered += not answer.stale
            return answered
        finally:
            self._stop.set()
            self._notifier.stopping()
            self._reloader.close()

    def stop(self) -> None:
        """Ends the run after the frame in hand, as SIGTERM does.

        An end that was asked for is never the model's fault, even if something then hangs until
        the process is ended.
        """
        self._stop.set()
        self._notifier.stopping()
        if self._pipeline:
            self._pipeline.stop()
        # Aside: a disk that hangs must not keep the signals' thread from its deadline.
        threading.Thread(target=self._note_end, name="end", daemon=True).start()

    def reload(self) -> None:
        """Reads the bundle again and takes it into use if it works, as SIGHUP does."""
        if self._reloader:
            self._reloader.request(self._load_again)

    @property
    def classifier(self) -> "Classifier":
        """The model in use.

        Raises:
            ServiceError: Before `run`.
        """
        if self._pipeline is None:
            raise ServiceError("the service does not run yet; try again in a moment")
        return self._pipeline.classifier

    def find_place(self) -> Path:
        """The bundle beside which lessons for the model in use are kept.

        Raises:
            ServiceError: Before `run`.
        """
        return self._lessons.find_place(self.classifier.bundle)

    def relearn(self) -> None:
        """Takes what was learned since into use; answers go on meanwhile."""
        if self._reloader:
            self._reloader.request(self._load_learned)

    def note_progress(self) -> None:
        """The loop went round: the watchdog is told, when it is time."""
        self._notifier.ping()

    def _note_answer(self, answer: "Answer") -> None:
        """A frame was classified: the service is ready, and the model has proved itself a bit."""
        if not self._is_ready:
            self._is_ready = True
            self._notifier.ready()
        self._good += not answer.stale
        if self._store and self._good == self._settings.service.trial_frames:
            self._good += 1
            self._keep_going(partial(self._store.commit, self._running))

    def _choose(self) -> "Bundle":
        from edgetl_runtime.bundle.reader import Bundle

        store = self._open_store()
        if store is None:
            return Bundle.open(self._bundle_path())
        if self._settings.model.bundle:
            try:
                store.install(self._settings.model.bundle)
            except (BundleError, ServiceError, StorageError) as error:
                if store.record.current is None:
                    raise
                self._problem = f"{error}; continuing with the model that was kept"
                self._warn(self._problem)
        reason = self._keep_going(store.begin)
        self._has_begun = True
        if reason:
            self._problem = f"back to the previous model: of the new one, {reason}"
            self._warn(self._problem)
        return store.open()

    def _open_store(self) -> "ModelStore | None":
        from edgetl_runtime.service.models import ModelStore
        from edgetl_runtime.service.trial import try_bundle

        folder = self._settings.service.state_dir
        if folder and self._store is None:
            try_out = partial(try_bundle, stop=self._stop)
            self._store = ModelStore(Path(folder), self._settings.model, try_out=try_out)
        return self._store

    def _bundle_path(self) -> str:
        if not self._settings.model.bundle:
            raise OptionsError("which bundle? Give BUNDLE, or model.bundle in the settings file")
        return self._settings.model.bundle

    def _load(self, bundle: "Bundle", *, keeps_old: bool = False) -> "Classifier":
        """Opens a model with its lessons.

        Args:
            bundle: The bundle.
            keeps_old: Raise if the lessons cannot be used, instead of answering without them.
        """
        from edgetl_runtime.classifier import Classifier

        model = self._settings.model
        wants_features = "diverse" in self._settings.collect.what
        self._lessons.note_reading(bundle)
        classifier = Classifier.open(
            bundle,
            engine=model.engine,
            variant=model.variant,
            threads=model.threads,
            # A store keeps copies, and people teach what they installed.
            overlay=self._lessons.find_place(bundle),
            features=wants_features,
        )
        if keeps_old and classifier.fault:
            from edgetl_runtime.learning.applying import LEFT_OUT

            reason = classifier.fault.removeprefix(LEFT_OUT)
            raise BundleError(
                f"answers go on as before; the lessons cannot be read again: {reason}"
            )
        for said in (classifier.fault, self._lessons.find_left_out(bundle)):
            if said:
                self._warn(said)
        if wants_features and not classifier.has_features:
            self._warn(
                f"no frames will be kept as diverse: {classifier.variant.name} of {bundle.path} "
                "does not put out features; export the bundle again with: edgetl export"
            )
        self._running = bundle.sha256
        self._lessons.note_used(whole=not classifier.fault)
        return classifier

    def _load_again(self) -> "Classifier | None":
        """The configured bundle, tried in a child process; None if it runs already."""
        from edgetl_runtime.bundle.reader import Bundle
        from edgetl_runtime.service.trial import TrialOrder, try_bundle

        path = self._bundle_path()
        if self._store:
            bundle = self._store.install(path)
        else:
            bundle = Bundle.open(path)
            model = self._settings.model
            order = TrialOrder(path, model.engine, model.variant, model.threads)
            trial = try_bundle(order, stop=self._stop)
            if trial.verdict != "good":
                raise ServiceError(f"{path} failed its trial: {trial.reason}")
        is_same = bundle.sha256 == self._running
        if is_same and self._lessons.is_used(bundle):
            self._warn(f"{path} is already running")
            return None
        return self._load(bundle, keeps_old=is_same)

    def _load_learned(self) -> "Classifier | None":
        """The model in use, which was tried before, with the lessons that there are now.

        None if they are in use already. Damaged ones take no answers away: the old ones stay.
        """
        bundle = self.classifier.bundle
        if self._lessons.is_used(bundle):
            self._lessons.note_reading(bundle)
            return None
        return self._load(bundle, keeps_old=True)

    def _find_change(self) -> "Callable[[], Classifier | None] | None":
        """A job, if another program has taught the model in use, or undone a lesson."""
        if self._settings.source.reads_to_an_end:
            # One model answers a file, from the first frame to the last.
            return None
        has_changed = self._lessons.has_changed(self.classifier.bundle)
        return self._load_learned if has_changed else None

    def _load_previous(self) -> "Classifier | None":
        """The model before, after this one's outputs were unusable."""
        count = self._settings.service.model_failures
        reason = f"{count} of its outputs in a row were not probabilities"
        if self._store is None or not self._store.revert(self._running, reason):
            raise ServiceError(
                f"of the model, {reason}, and there is no previous one to go back to"
            )
        self._warn(f"back to the previous model: of the new one, {reason}")
        return self._load(self._store.open())

    def _take(self, classifier: "Classifier") -> None:
        if self._pipeline:
            self._pipeline.swap(classifier)
        self._good = 0
        name = classifier.bundle.manifest.provenance.name or classifier.bundle.path
        learned = f", with {count_noun(classifier.lessons, 'lesson')}" if classifier.lessons else ""
        self._warn(f"runs {name} now{learned}")

    def _request_revert(self) -> None:
        if self._reloader:
            self._reloader.request(self._load_previous)

    def _note_reloading(self) -> None:
        # Before the first frame systemd still waits for READY=1, which must not come early.
        if self._is_ready:
            self._notifier.reloading()

    def _note_reloaded(self, problem: str) -> None:
        if self._pipeline:
            self._pipeline.problem = problem
        if problem and not self._stop.is_set():
            self._warn(f"{problem}; continuing with the old model")
            self._notifier.describe(problem)
        if self._is_ready:
            self._notifier.ready()

    def _describe(self) -> None:
        if self._pipeline and self._notifier.is_heard:
            status = self._pipeline.status()
            what = status.reason or f"{status.fps:.1f} answers/s, label {status.label}"
            self._notifier.describe(f"{status.state}: {what}")

    def _note_end(self) -> None:
        with self._ending:
            has_begun, self._has_begun = self._has_begun, False
            if has_begun and self._store:
                self._keep_going(self._store.end)

    def _keep_going(self, note: Callable[[], str | None]) -> str | None:
        """A disk that cannot be written is no reason to give no answers."""
        try:
            return note()
        except StorageError as error:
            self._warn(str(error))
            return None
