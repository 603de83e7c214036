"""Latency: how long files take on this machine, in turn, so that its noise hits all alike."""

import time
from collections.abc import Sequence

import numpy as np

from edgetl_export.progress import track
from edgetl_export.quantize.model_files import ModelFile
from edgetl_runtime.image.preprocessing import Frame

# 13 * 4 = 52 samples a file.
_ROUNDS, _BURST = 13, 4
# Time for one file, s. Activations of 16 bits have no fast kernels: a few samples must do.
_LIMIT_S, _SLOW_LIMIT_S = 10.0, 2.0


def measure_latencies(files: Sequence[ModelFile], picture: Frame) -> list[float]:
    """The median duration of one invoke of each file on one thread, ms.

    Args:
        files: Each is loaded by the engine that the device uses.
        picture: uint8 (height, width, 3) RGB.

    Raises:
        EngineError: If an engine fails.
    """
    stopwatches = [_Stopwatch(file, picture) for file in files]
    for stopwatch in stopwatches:
        stopwatch.warm_up()
    for _ in track(range(_ROUNDS), "timing the files in turn", _ROUNDS):
        for stopwatch in stopwatches:
            stopwatch.sample()
    return [stopwatch.median_ms for stopwatch in stopwatches]


class _Stopwatch:
    """Times one file."""

    def __init__(self, file: ModelFile, picture: Frame) -> None:
        self._engine, self._picture = file.open(), picture
        slow = file.plan.recipe.precision == "int16x8"
        self._left_s = _SLOW_LIMIT_S if slow else _LIMIT_S
        self._samples_ms: list[float] = []

    @property
    def median_ms(self) -> float:
        return float(np.median(self._samples_ms))

    def warm_up(self) -> None:
        for _ in range(_BURST):
            if self._left_s > 0:
                self._invoke()

    def sample(self) -> None:
        """One burst; its first invoke finds the caches full of another file and does not count."""
        if self._left_s > 0:
            self._invoke()
        for _ in range(_BURST):
            if self._left_s > 0 or not self._samples_ms:
                self._samples_ms.append(self._invoke())

    def _invoke(self) -> float:
        start = time.perf_counter()
        self._engine.run(self._picture)
        taken_s = time.perf_counter() - start
        self._left_s -= taken_s
        return 1e3 * taken_s
