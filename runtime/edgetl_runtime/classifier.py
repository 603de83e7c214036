"""A bundle and an engine: frame in, prediction out."""

import threading
import time
from pathlib import Path

from edgetl_runtime.allotment import default_threads
from edgetl_runtime.bundle import Bundle, Variant
from edgetl_runtime.engine import Engine, open_engine
from edgetl_runtime.errors import ModelOutputError
from edgetl_runtime.prediction import Prediction, calibrate, check_probabilities
from edgetl_runtime.preprocessing import Frame


class Classifier:
    """Classifies frames with one variant of a bundle; threads may share it, and take turns.

    Attributes:
        bundle: The bundle.
        variant: The model file in use.
        engine: The engine that runs it.
    """

    def __init__(self, bundle: Bundle, variant: Variant, engine: Engine) -> None:
        """Joins parts that fit; `open` is the usual way."""
        self.bundle = bundle
        self.variant = variant
        self.engine = engine
        self._running = threading.Lock()

    @classmethod
    def open(
        cls,
        bundle: Bundle | str | Path,
        *,
        engine: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
    ) -> "Classifier":
        """Opens a bundle and loads one of its variants.

        Args:
            bundle: The folder or .zip that `edgetl export` wrote, or an opened bundle.
            engine: `litert` or `onnx`; by default the bundle's first variant decides.
            variant: The variant's name, such as `litert-int8`.
            threads: For the engine; by default the processors at hand, at most 4.

        Raises:
            BundleError: If the bundle is damaged or has no such variant.
            EngineError: If the engine is not installed or refuses the model.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle)
        chosen = bundle.variant(variant, engine=engine)
        model = bundle.read(chosen)
        tensors = (chosen.input, chosen.output)
        loaded = open_engine(chosen.engine, model, tensors, threads or default_threads())
        return cls(bundle, chosen, loaded)

    def __call__(self, frame: Frame, *, captured_s: float | None = None) -> Prediction:
        """Classifies one frame.

        Args:
            frame: uint8 (height, width, 3) BGR as OpenCV reads it, or (height, width) grey.
            captured_s: When the frame was captured, on the clock of `time.monotonic`;
                by default now.

        Raises:
            FrameError: If the frame has another dtype or shape.
            EngineError: If the engine fails.
            ModelOutputError: If it puts out what are no probabilities.
        """
        start = time.monotonic()
        pixels = self.prepare(frame)
        preprocess_ms = (time.monotonic() - start) * 1e3
        return self.infer(pixels, start if captured_s is None else captured_s, preprocess_ms)

    def prepare(self, frame: Frame) -> Frame:
        """The first half of a call: makes the model's input from a frame.

        Args:
            frame: As for a call.

        Returns:
            uint8 (height_px, width_px, 3) RGB, which shares no memory with the frame.

        Raises:
            FrameError: If the frame has another dtype or shape.
        """
        return self.bundle.manifest.preprocessing.apply(frame)

    def infer(self, pixels: Frame, captured_s: float, preprocess_ms: float) -> Prediction:
        """The second half of a call: runs the model.

        Args:
            pixels: What `prepare` returned.
            captured_s: When the frame was captured, on the clock of `time.monotonic`.
            preprocess_ms: How long `prepare` took, to be passed on.

        Raises:
            EngineError: If the engine fails.
            ModelOutputError: If it puts out what are no probabilities.
        """
        calibration = self.variant.calibration
        with self._running:
            start = time.monotonic()
            probabilities = self.engine.run(pixels)
            done = time.monotonic()
        if wrong := check_probabilities(probabilities):
            raise ModelOutputError(f"{self.variant.name} put out {wrong}; export it again")
        return Prediction(
            labels=self.bundle.manifest.labels,
            scores=calibrate(probabilities, calibration.temperature),
            reject_threshold=calibration.reject_threshold,
            captured_s=captured_s,
            answered_s=time.monotonic(),
            preprocess_ms=preprocess_ms,
            invoke_ms=(done - start) * 1e3,
        )
