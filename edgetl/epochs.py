"""Keras's epochs, shown like any other long work."""

from typing import Any

from edgetl_export.progress import Track


def tracking_callback(track: Track, description: str, epochs: int) -> Any:
    """A Keras callback that moves a progress bar by one each epoch."""
    import keras

    steps = iter(track(range(epochs), description, epochs))
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: next(steps),
        on_train_end=lambda logs: next(steps, None),
    )
