"""The classifier: a bundle and an engine."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.opening import open_variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import Engine
from edgetl_runtime.errors import ModelOutputError, OptionsError
from edgetl_runtime.image.loading import Color, Image, load_image
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Prediction, calibrate, check_probabilities
from edgetl_runtime.system.allotment import default_threads

if TYPE_CHECKING:
    from edgetl_runtime.heatmaps.explainer import Explainer
    from edgetl_runtime.heatmaps.heat_map import HeatMap
    from edgetl_runtime.learning.learned import Learned


class Classifier:
    """Classifies images with one variant of a bundle. Threads may share it; they take turns.

    Attributes:
        bundle: The bundle.
        variant: The variant in use.
        engine: The engine that runs it.
        learned: The head that answers instead of the file's own, where something was learned.
        fault: Why what was learned is not used; empty unless it is damaged or does not fit.
        has_features: Whether predictions carry the features that they were made from.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        engine: Engine,
        learned: "Learned | None" = None,
        fault: str = "",
        *,
        has_features: bool = False,
    ) -> None:
        """Combines an opened bundle, variant and engine; use `open`."""
        self.bundle = bundle
        self.variant = variant
        self.engine = engine
        self.learned = learned
        self.fault = fault
        self.has_features = has_features
        self._running = threading.Lock()
        self._explainer: Explainer | None = None
        self._opening = threading.Lock()

    @classmethod
    def open(
        cls,
        bundle: Bundle | str | Path,
        *,
        engine: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
        overlay: bool | str | Path = True,
        features: bool = False,
    ) -> "Classifier":
        """Opens a bundle and loads one of its variants.

        Args:
            bundle: Folder or .zip that `edgetl export` wrote, or an opened bundle.
            engine: `litert` or `onnx` (default: that of the bundle's first variant).
            variant: Name of the variant, such as `litert-int8` (default: the first).
            threads: Threads of the engine (default: the available processors, at most 4).
            overlay: Whether to use what was learned for the bundle, which lies beside it; or the
                path of the bundle beside which it lies, where `bundle` is a copy. What was learned
                is left out where it is damaged or does not fit; `fault` then says why.
            features: Have predictions carry their features, where the file can put them out.

        Raises:
            BundleError: If the bundle is damaged or has no such variant.
            EngineError: If the engine is not installed or refuses the model.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle)
        chosen = bundle.variant(variant, engine=engine)
        threads = threads or default_threads()
        fault = ""
        if overlay is not False:
            # Here, since few bundles have learned anything.
            from edgetl_runtime.learning.applying import open_learned

            beside = bundle.path if overlay is True else Path(overlay)
            found, fault = open_learned(bundle, chosen, beside, threads)
            if found is not None:
                return cls(bundle, chosen, *found, has_features=features)
        shown = features and chosen.hidden is not None
        loaded = open_variant(bundle, chosen, threads, "features" if shown else None)
        return cls(bundle, chosen, loaded, fault=fault, has_features=shown)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the scores, in their order; where something was learned, with that."""
        return self.learned.labels if self.learned else self.bundle.manifest.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        """What there may be an answer of: the classes of the file, and what was taught."""
        return tuple(one for n, one in enumerate(self.labels) if n != self.unknown)

    @property
    def lessons(self) -> int:
        """How many lessons the head was fitted with; 0 where nothing was learned."""
        return self.learned.lessons if self.learned else 0

    @property
    def has_heat_maps(self) -> bool:
        """Whether `explain` can be used."""
        hidden = self.variant.hidden
        return self.variant.memory is not None and hidden is not None and bool(hidden.maps)

    @property
    def unknown(self) -> int | None:
        """Index of the unknown one among them; None if there is none."""
        return self.learned.unknown if self.learned else self.bundle.manifest.unknown

    def __call__(
        self, image: Image, *, color: Color = "bgr", captured_s: float | None = None
    ) -> Prediction:
        """Classifies one image.

        Args:
            image: An array, uint8 (height, width, 3) or (height, width) gray, values 0..255, any
                size; the path of an image file; or a Pillow image.
            color: Order of an array's channels: `bgr` as OpenCV reads them, or `rgb` as Pillow,
                picamera2 and most others do.
            captured_s: When the image was captured, on the clock of `time.monotonic`,
                in seconds (default: now).

        Raises:
            FrameError: If the file cannot be read, or the array has another dtype or shape.
            EngineError: If the engine fails.
            ModelOutputError: If the model's output is not a probability distribution.
        """
        begin = time.monotonic()
        frame = load_image(image, color=color)
        start = time.monotonic()
        pixels = self.prepare(frame)
        preprocess_ms = (time.monotonic() - start) * 1e3
        return self.infer(pixels, begin if captured_s is None else captured_s, preprocess_ms)

    def classify_batch(self, images: Iterable[Image], *, color: Color = "bgr") -> list[Prediction]:
        """Classifies several images, one after the other.

        Args:
            images: Each as for a call, such as `Path("photos").glob("*.jpg")`.
            color: As for a call.

        Returns:
            One prediction for each image, in their order.

        Raises:
            OptionsError: If it is a single path.
            FrameError: If one of them cannot be read; the message names the file.
            EngineError: If the engine fails.
            ModelOutputError: If the model's output is not a probability distribution.
        """
        if isinstance(images, str | os.PathLike):
            raise OptionsError(f"expected several images, got the path {images}")
        return [self(image, color=color) for image in images]

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

    def explain(self, image: Image, label: str | None = None, *, color: Color = "bgr") -> "HeatMap":
        """Computes where in an image the evidence for a class lies.

        The first call opens a second engine, whose feature maps are outputs, too: MobileNetV2 0.35
        to EfficientNetV2-B0 in int8 took 7 to 28 MiB more for it, in float32 12 to 92. Each call
        runs the model once more, in 1.0 to 1.2 times the time of a prediction
        (`benchmarks/explaining.py`).

        Args:
            image: As for a call.
            label: The class, of the file or taught (default: the one with the highest score,
                even where the image is rejected).
            color: As for a call.

        Returns:
            A heat map; `explainer.draw` draws it over the image.

        Raises:
            BundleError: If the bundle is damaged.
            FrameError: If the file cannot be read, or the array has another dtype or shape.
            EngineError: If the file has no maps: it does not end in pooled maps and one dense
                layer, or it was exported before there were any.
            OptionsError: If the model has no such class.
        """
        return self.explainer.explain(load_image(image, color=color), label)

    @property
    def explainer(self) -> "Explainer":
        """What `explain` uses; opened on first use, with an engine of its own.

        Raises:
            BundleError: As `explain`.
            EngineError: As `explain`.
        """
        with self._opening:
            if self._explainer is None:
                self._explainer = self._open_explainer()
        return self._explainer

    def _open_explainer(self) -> "Explainer":
        # Few programs ask for it; the others do not wait for its modules.
        from edgetl_runtime.heatmaps.opening import open_explainer

        explainer = open_explainer(self.bundle, self.variant, self.engine.threads)
        learned, temperature = self.learned, self.variant.calibration.temperature
        if learned is None:
            return explainer
        return explainer.replace_head(
            learned.head, self.classes, lambda seen: learned.score(seen, temperature)
        )

    def infer(self, pixels: Frame, captured_s: float, preprocess_ms: float) -> Prediction:
        """The second half of a call: runs the model.

        Args:
            pixels: What `prepare` returned.
            captured_s: When the frame was captured, on the clock of `time.monotonic`.
            preprocess_ms: How long `prepare` took, to be passed on.

        Raises:
            EngineError: If the engine fails.
            ModelOutputError: If the model's output is not a probability distribution.
        """
        calibration = self.variant.calibration
        with self._running:
            start = time.monotonic()
            looks = self.learned or self.has_features
            seen = self.engine.look(pixels) if looks else None
            probabilities = seen.scores if seen else self.engine.run(pixels)
            done = time.monotonic()
        if wrong := check_probabilities(probabilities):
            raise ModelOutputError(f"{self.variant.name} returned {wrong}; export it again")
        if self.learned and seen:
            scores = self.learned.score(seen, calibration.temperature)
        else:
            scores = calibrate(probabilities, calibration.temperature)
        return Prediction(
            labels=self.labels,
            scores=scores,
            reject_threshold=calibration.reject_threshold,
            captured_s=captured_s,
            answered_s=time.monotonic(),
            preprocess_ms=preprocess_ms,
            invoke_ms=(done - start) * 1e3,
            unknown=self.unknown,
            features=seen.features if seen and self.has_features else None,
        )
