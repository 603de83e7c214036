"""A camera that can be left alone: whatever happens to it is a state, not a crash."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import NamedTuple

import msgspec
import numpy as np

from edgetl_runtime.capture.address import SourcePlan, find_stable_id, plan_source
from edgetl_runtime.capture.backoff import Backoff
from edgetl_runtime.capture.feed import FeedState, FeedStatus
from edgetl_runtime.capture.process import CaptureProcess
from edgetl_runtime.capture.slot import SlotFrame
from edgetl_runtime.capture.source import Granted
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.settings.sections import SourceSettings
from edgetl_runtime.text.wording import count_noun

_DEFAULTS = SourceSettings()
_CLOSE_TIMEOUT_S = 0.9
_STEADY_S = 10.0
_PAUSE_S = 1.0
_GLANCE_S = 0.1
# Cameras that lock an account after five or seven wrong passwords forget them within this time.
_REFUSED_S = 1800.0


class Camera:
    """A camera, stream, file or pipe, read by a process of its own.

        with Camera("0") as camera:
            for frame in camera: ...

    The process may hang or die: it is then killed and started again, from within `take`. Of a
    camera or stream only the newest frame is kept, so that a slow model sees a young one.

    Attributes:
        source: The address, without passwords.
        live: Only the newest frame counts.
        finite: A file or folder, whose answers somebody wants all of, also where it is played.
    """

    def __init__(
        self,
        address: str,
        settings: SourceSettings = _DEFAULTS,
        *,
        input_px: tuple[int, int] | None = None,
        keep_trying: bool = False,
        required: bool = False,
        stop: threading.Event | None = None,
        _plan: SourcePlan | None = None,
        _backoff: Backoff | None = None,
    ) -> None:
        """Opens the source.

        Args:
            address: As in `SourceSettings.address`, which is not looked at.
            settings: Everything else.
            input_px: (width, height) of the model's input. If given, a JPEG is decoded at half,
                a quarter or an eighth of its size where that still is twice as large.
            keep_trying: A camera that is absent or gets lost is waited for, instead of raising
                an error. The constructor then returns before the camera is open.
            required: With `keep_trying`: it must be there at the start.
            stop: Once it is set, a source that is not open yet is given up at once.
            _plan: Another source; for tests.
            _backoff: Another pace of reopening; for tests.

        Raises:
            CameraError: If the source is not there or delivers nothing that can be read.
        """
        self._plan = _plan or plan_source(address, settings, input_px)
        self.source = self._plan.source
        self.live = self._plan.live
        self.finite = self._plan.finite
        self._settings = settings
        # What cannot be opened again is lost for good.
        self._keep_trying = keep_trying and self._plan.reopens and not required
        self._backoff = _backoff or Backoff()
        self._given_up = stop or threading.Event()
        self._stable_id = self._plan.device and find_stable_id(self._plan.device)
        self._process: CaptureProcess | None = None
        self._state: FeedState = "opening"
        self._reason = ""
        self._granted: Granted | None = None
        self._past = _Counters(notes=self._plan.notes)
        self._openings = 0
        self._opened_s = 0.0
        self._retry_s = 0.0
        self._frozen_at: object = None
        self._start()
        self._status = self._describe()
        if required or not keep_trying:
            try:
                self._wait_until_open()
            except BaseException:
                self.close()
                raise
        self._keep_trying = keep_trying and self._plan.reopens

    def __enter__(self) -> "Camera":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the camera."""
        self.close()

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Yields the newest frame each time, as a copy to keep; ends when a file ends.

        Raises:
            CameraError: If a camera is lost, unless it shall keep trying.
        """
        while self._state != "ended":
            frame = self.take(_PAUSE_S)
            if frame is not None:
                yield msgspec.structs.replace(frame, image=frame.image.copy())

    def take(self, timeout_s: float) -> CapturedFrame | None:
        """The newest frame that was not taken yet, or None if none came in time.

        Its pixels are read only, and stay valid until the next `take` or `close`. While a camera
        is lost, this is also what opens it again, so it must be called again and again.

        Raises:
            CameraError: If a file holds no frame, or a camera is lost and shall not be tried
                again.
        """
        give_up_s = time.monotonic() + timeout_s
        while self._state != "ended":
            try:
                frame = self._try_take(give_up_s)
            finally:
                self._status = self._describe()
            if frame is not None or time.monotonic() >= give_up_s:
                return frame
        return None

    def status(self) -> FeedStatus:
        """How the camera was at the end of the last `take`; may be called from any thread."""
        return self._status

    @property
    def pid(self) -> int | None:
        """The number of the capture process; None while there is none."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Releases the source within two seconds; a second call does nothing."""
        # Standard input, which may be silent for ever, has nothing to give back.
        self._stop(0.0 if self._plan.patient else _CLOSE_TIMEOUT_S)
        self._state, self._reason = "ended", "closed"
        self._status = self._describe()

    def _wait_until_open(self) -> None:
        while self._openings == 0 and self._process is not None and not self._process.ended:
            self._process.hear(min(_GLANCE_S, self._next_look_s() - time.monotonic()))
            self._follow(self._process)
            if self._given_up.is_set():
                # What hangs while it opens holds nothing that it could give back.
                self._stop()
                raise CameraError(f"{self.source} was stopped before it was open")
            if self._openings == 0:
                self._judge(self._process)

    def _try_take(self, give_up_s: float) -> CapturedFrame | None:
        if self._process is None:
            self._start_when_due(give_up_s)
            return None
        frame = self._process.take()
        wait_s = 0.0 if frame else min(give_up_s, self._next_look_s()) - time.monotonic()
        self._process.hear(wait_s)
        frame = frame or self._process.take()
        self._follow(self._process)
        if frame:
            return self._deliver(frame)
        self._judge(self._process)
        return None

    def _start_when_due(self, give_up_s: float) -> None:
        time.sleep(max(0.0, min(self._retry_s, give_up_s) - time.monotonic()))
        if time.monotonic() >= self._retry_s:
            self._start()

    def _start(self) -> None:
        options = self._plan.options | {
            "module": self._plan.module,
            "live": self.live,
            "first_number": self._past.delivered + sum(self._past.bad.values()),
            "frozen_after_s": self._settings.frozen_after_s if self._plan.freezes else 0,
            "frozen_fingerprint": self._frozen_at,
        }
        if self._stable_id and os.path.lexists(self._stable_id):
            options["address"] = self._stable_id
        self._opened_s = 0.0
        try:
            self._process = CaptureProcess(self._plan, options)
        except CameraError as error:
            self._lose(str(error))

    def _stop(self, timeout_s: float = 0.0) -> None:
        if self._process is not None:
            self._past = self._count()
            self._process.close(timeout_s)
            self._process = None

    def _deadline_s(self) -> float:
        assert self._process is not None
        settings = self._settings
        timeout_s = settings.read_timeout_s if self._process.opened else settings.open_timeout_s
        return self._process.heard_s + timeout_s

    def _next_look_s(self) -> float:
        """When to wake without news; what may be silent for ever is not looked at all the time."""
        deadline_s, now_s = self._deadline_s(), time.monotonic()
        return now_s + _PAUSE_S if self._plan.patient and deadline_s <= now_s else deadline_s

    def _follow(self, process: CaptureProcess) -> None:
        """Takes over what the process told."""
        if process.opened and not self._opened_s:
            self._opened_s = time.monotonic()
            self._openings += 1
            self._granted = process.opened
            self._stable_id = self._stable_id or (
                self._plan.device and find_stable_id(self._plan.device)
            )

    def _deliver(self, frame: SlotFrame) -> CapturedFrame:
        if time.monotonic() - self._opened_s > _STEADY_S:
            self._backoff.reset()
        granted = self._granted or Granted()
        self._granted = Granted(granted.size_px or (frame.width, frame.height), granted.fps)
        self._watch_stillness()
        pixels = np.frombuffer(frame.pixels, np.uint8).reshape(frame.height, frame.width, 3)
        return CapturedFrame(
            pixels,
            self.source,
            frame.number,
            frame.captured_ns / 1e9,
            frame.position_s,
            frame.file,
            frame.worked_ns / 1e6,
        )

    def _watch_stillness(self) -> None:
        assert self._process is not None
        still = self._process.still
        was_frozen, self._frozen_at = self._frozen_at is not None, still
        if still is None:
            self._state, self._reason = "delivering", ""
            return
        self._state, self._reason = "frozen", "it delivers the same frame over and over"
        if not was_frozen:
            # Opening it again may wake it, and if it does not, doing so once more will not either.
            self._stop()
            self._start()

    def _judge(self, process: CaptureProcess) -> None:
        """Decides what it means that no frame came."""
        if process.ended:
            self._stop()
            self._state = "ended"
            if not self._past.delivered:
                notes = self._past.notes[len(self._plan.notes) :]
                why = " ".join(notes) or "is it cut or damaged?"
                raise CameraError(f"{self._name} has no frames; {why}")
        elif process.failure is not None:
            self._lose(process.failure, _REFUSED_S if process.refused else 0.0)
        elif time.monotonic() >= self._deadline_s():
            settings = self._settings
            if not process.opened and self._plan.patient:
                return
            if not process.opened:
                self._lose(f"it did not open within {settings.open_timeout_s:g} s")
            elif self._plan.patient:
                self._state, self._reason = "lost", f"no frame for {settings.read_timeout_s:g} s"
            else:
                self._lose(f"it delivered no frames for {settings.read_timeout_s:g} s")

    def _lose(self, reason: str, pause_s: float = 0.0) -> None:
        """Gives the camera up for now; it is opened again after `pause_s` at the earliest."""
        self._stop()
        self._reason = reason
        if not self._keep_trying:
            self._state = "ended"
            raise CameraError(f"{self._what_failed()}: {reason}")
        self._state = "lost"
        if pause_s:
            self._reason += (
                f"; it is tried again in {pause_s / 60:.0f} min, so that the account is not locked"
            )
        self._retry_s = time.monotonic() + max(pause_s, self._backoff.next_s())

    @property
    def _name(self) -> str:
        return "standard input" if self.source == "-" else self.source

    def _what_failed(self) -> str:
        name = self._name
        if not self._openings:
            return f"cannot open {name}"
        if not self._past.delivered:
            return f"{name} delivered no frames"
        return f"{name} stopped delivering after {count_noun(self._past.delivered, 'frame')}"

    def _count(self) -> "_Counters":
        if self._process is None:
            return self._past
        delivered, dropped = self._process.counters()
        return _Counters(
            self._past.delivered + delivered,
            self._past.dropped + dropped,
            Counter(self._past.bad) + self._process.counts["bad"],
            Counter(self._past.odd) + self._process.counts["odd"],
            tuple(dict.fromkeys(self._past.notes + self._process.notes)),
            self._past.worked_ns + self._process.worked_ns(),
        )

    def _describe(self) -> FeedStatus:
        counters = self._count()
        size_px, fps, _ = self._granted or Granted()
        return FeedStatus(
            state=self._state,
            reason=self._reason,
            size_px=size_px,
            fps=fps,
            delivered=counters.delivered,
            dropped=counters.dropped,
            bad=dict(counters.bad),
            notes=counters.notes,
            reconnects=max(0, self._openings - 1),
            odd=dict(counters.odd),
            worked_s=counters.worked_ns / 1e9,
        )


class _Counters(NamedTuple):
    delivered: int = 0
    dropped: int = 0
    bad: Mapping[str, int] = MappingProxyType({})
    odd: Mapping[str, int] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    worked_ns: int = 0
