"""The devices of the machine: one CPU, one GPU, or several GPUs in parallel."""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HALF_PRECISION = "mixed_float16"


@contextmanager
def training_devices(replicas: int | None = None) -> Iterator[str]:
    """Lets models that are built in this block train on all GPUs that TensorFlow sees.

    With GPUs, layers compute in float16 and keep their weights in float32 (Micikevicius et al.
    2018); with several, each takes a share of every batch and gradients are added up
    (`tf.distribute.MirroredStrategy`).

    Args:
        replicas: Use the first so many logical devices, GPUs or else CPUs; None: all GPUs.

    Yields:
        What is used, for people: `CPU`, `1 GPU`, `2 GPUs`.
    """
    import keras

    gpus = _logical_devices("GPU")
    chosen = gpus if replicas is None else (gpus or _logical_devices("CPU"))[:replicas]
    before = keras.config.dtype_policy()
    if gpus:
        keras.config.set_dtype_policy(HALF_PRECISION)
    try:
        with _mirrored(chosen):
            yield _describe(len(gpus), len(chosen))
    finally:
        keras.config.set_dtype_policy(before)
        gc.collect()


@contextmanager
def full_precision() -> Iterator[None]:
    """Models that are built in this block compute in float32, as files for devices must."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def one_device() -> Iterator[None]:
    """Leaves `training_devices` for this block: float32, and variables that are not mirrored.

    For all but fitting: LiteRT converts neither float16 arithmetic nor mirrored variables, weight
    decay is chosen by a loop of its own, and the finished model is for devices.
    """
    mirror = _mirrors.pop() if _mirrors else None
    if mirror:
        mirror.leave()
    try:
        with full_precision():
            yield
    finally:
        if mirror:
            mirror.enter()
            _mirrors.append(mirror)


def _logical_devices(kind: str) -> list[str]:
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices(kind)]


class _Mirror:
    """The scope of a strategy, which can be left for a while and entered again."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def enter(self) -> None:
        # A scope can be entered once only.
        self._scope = self._strategy.scope()
        self._scope.__enter__()

    def leave(self) -> None:
        self._scope.__exit__(None, None, None)


_mirrors: list[_Mirror] = []


@contextmanager
def _mirrored(devices: list[str]) -> Iterator[None]:
    if len(devices) < 2:
        yield
        return
    mirror = _Mirror(_strategy(tuple(devices)))
    mirror.enter()
    _mirrors.append(mirror)
    try:
        yield
    finally:
        _mirrors.pop().leave()


# TensorFlow numbers the sums across devices anew in each strategy, and takes two sums of one
# number for the same one: a second strategy fails as soon as its model has other shapes.
@functools.cache
def _strategy(devices: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def _describe(gpus: int, chosen: int) -> str:
    if not gpus:
        return "CPU" if chosen < 2 else f"{chosen} CPU devices"
    return "1 GPU" if chosen == 1 else f"{chosen} GPUs"
