"""A bundle and an engine: frame in, prediction out."""

import time
from pathlib import Path

import numpy as np

from edgetl_runtime.bundle import Bundle, Variant
from edgetl_runtime.engine import Engine, default_threads, open_engine
from edgetl_runtime.errors import EngineError
from edgetl_runtime.prediction import Prediction, calibrate
from edgetl_runtime.preprocessing import Frame


class Classifier:
    """Classifies frames with one variant of a bundle.

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
            EngineError: If the engine fails or puts out numbers that are none.
        """
        manifest, calibration = self.bundle.manifest, self.variant.calibration
        start = time.monotonic()
        pixels = manifest.preprocessing.apply(frame)
        ready = time.monotonic()
        probabilities = self.engine.run(pixels)
        done = time.monotonic()
        if not np.isfinite(probabilities).all():
            raise EngineError(f"{self.variant.name} put out NaN or infinity; export it again")
        return Prediction(
            labels=manifest.labels,
            scores=calibrate(probabilities, calibration.temperature),
            reject_threshold=calibration.reject_threshold,
            captured_s=start if captured_s is None else captured_s,
            answered_s=time.monotonic(),
            preprocess_ms=(ready - start) * 1e3,
            invoke_ms=(done - ready) * 1e3,
        )
