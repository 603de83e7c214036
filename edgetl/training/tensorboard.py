"""Figures of each epoch as event files, which TensorBoard shows.

TensorFlow writes such files itself, so that TensorBoard need not be installed to train.
"""

import time
from pathlib import Path

from edgetl_runtime.errors import StorageError

FOLDER = "tensorboard"


def write_event(folder: Path, stage: str, epoch: int, figures: dict[str, float]) -> None:
    """Adds an epoch's figures to a run's event files.

    Args:
        folder: Of the run.
        stage: Becomes the name of the curve's group.
        epoch: From 1.
        figures: Name -> value.

    Raises:
        StorageError: If the disk refuses.
    """
    import tensorflow as tf
    from tensorflow.core.framework.summary_pb2 import Summary
    from tensorflow.core.util.event_pb2 import Event

    target = folder / FOLDER / stage.replace(" ", "_")
    # One file an epoch: none is open while a crash may come, and a resumed run adds its own.
    path = target / f"events.out.tfevents.{epoch:06d}.edgetl"
    values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
    version = Event(wall_time=time.time(), file_version="brain.Event:2")
    event = Event(wall_time=time.time(), step=epoch, summary=Summary(value=values))
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(version.SerializeToString())
            writer.write(event.SerializeToString())
    except (OSError, tf.errors.OpError) as error:
        raise StorageError(
            f"cannot write {path}: {error}; free some space, or train without --tensorboard"
        ) from error
