"""Figures of each epoch as event files, which TensorBoard shows.

TensorFlow writes such files itself, so that TensorBoard need not be installed to train.
"""

import time
from pathlib import Path

FOLDER = "tensorboard"


def write_event(folder: Path, stage: str, epoch: int, figures: dict[str, float]) -> None:
    """Adds an epoch's figures to a run's event files.

    Args:
        folder: Of the run.
        stage: Becomes the name of the curve's group.
        epoch: From 1.
        figures: Name -> value.

    Raises:
        OSError: If the disk refuses.
    """
    import tensorflow as tf
    from tensorflow.core.framework.summary_pb2 import Summary
    from tensorflow.core.util.event_pb2 import Event

    target = folder / FOLDER / stage.replace(" ", "_")
    target.mkdir(parents=True, exist_ok=True)
    # One file an epoch: none is open while a crash may come, and a resumed run adds its own.
    path = target / f"events.out.tfevents.{epoch:06d}.edgetl"
    values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        event = Event(wall_time=time.time(), step=epoch, summary=Summary(value=values))
        writer.write(event.SerializeToString())
