"""A .keras or .h5 file or a SavedModel, which become a .tflite; all can run code and need trust."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgetl_export.graph.conversion import convert_to_tflite, freeze
from edgetl_export.load.keras_files import load
from edgetl_export.load.output_activation import OutputActivation
from edgetl_export.load.scaling import Scaling
from edgetl_export.load.source import Size, SourceModel, choose_size
from edgetl_export.load.statements import Statement
from edgetl_export.load.tflite_models import TfliteModel
from edgetl_export.quiet_stderr import divert_stderr
from edgetl_export.trained import ModelFormat
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores
from edgetl_runtime.text.quoting import quote_error

_BATCH = 32
_SIGNATURE = "serving_default"
Call = Callable[..., Any]


class TensorflowModel:
    """See `source.Foreign`; what it outputs is computed by TensorFlow itself, not by a copy."""

    is_coarse = False
    statements: tuple[Statement, ...] = ()
    words = ""

    def __init__(
        self, call: Call, shape: Sequence[int | None], scaling: Scaling, size_px: Size | None
    ) -> None:
        """Converts a function of one image.

        Args:
            call: From float32 (batch, height, width, 3) and `training` to scores.
            shape: Of its input; None where it is free.
            scaling: What it expects.
            size_px: Side of the input where that is free.

        Raises:
            ExportError: If it takes no RGB image, or TensorFlow cannot convert it.
        """
        self._call = call
        self.size = _read_size(shape, size_px)
        channels = shape[3] or 0
        self.scaling = scaling.fit_to(channels)
        self._single = shape[0] is not None
        self._converted = TfliteModel(_convert(call, (*self.size, channels)), scaling)
        self.outputs = self._converted.outputs
        self.activation = self._converted.activation
        self.form = ModelFormat("litert", self._converted.form.precision)

    def run(self, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run`."""
        return self.run_with(self.scaling, pictures)

    def run_with(self, scaling: Scaling, pictures: Sequence[Frame]) -> Scores:
        """See `Foreign.run_with`."""
        batch = 1 if self._single else _BATCH
        found = [
            np.asarray(self._call(scaling.apply(pictures[n : n + batch]), training=False))
            for n in range(0, len(pictures), batch)
        ]
        return np.concatenate(found).reshape(len(pictures), -1).astype(np.float32)

    def finish(self, added: OutputActivation) -> SourceModel:
        """See `Foreign.finish`."""
        return self._converted.finish(added)


def open_keras(
    file: Path, kind: Literal["keras", "h5"], scaling: Scaling, size_px: Size | None
) -> TensorflowModel:
    """Opens a .keras or .h5 file that is trusted; code of others inside (Lambda) is refused still.

    Raises:
        ExportError: If it is damaged, has layers that are not Keras' own, or more ends than two.
    """
    model = load(file, kind)
    inputs = model.inputs or []
    if len(inputs) > 1:
        names = ", ".join(one.name for one in inputs)
        raise ExportError(
            f"{file} has {len(inputs)} inputs ({names}), expected 1; save the image classifier only"
        )
    if not model.built or not inputs:
        raise ExportError(
            f"{file} is not a Keras model with one input; build it with an Input, and save it again"
        )
    if len(model.outputs) != 1:
        raise ExportError(
            f"{file} has {len(model.outputs)} outputs, expected 1; save it with the scores only: "
            "keras.Model(model.input, model.outputs[0]).save('scores.keras')"
        )
    return TensorflowModel(_Call(model), tuple(model.inputs[0].shape), scaling, size_px)


class _Call:
    """A model of Keras, which warns of images in another structure than it was saved with."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, image: Any, *, training: bool) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The structure of `inputs`")
            return self._model(image, training=training)


def open_saved_model(folder: Path, scaling: Scaling, size_px: Size | None) -> TensorflowModel:
    """Opens a trusted SavedModel with one signature of one input and one output.

    Raises:
        ExportError: If it is damaged, or has no such signature.
    """
    import tensorflow as tf

    try:
        with divert_stderr():
            loaded = tf.saved_model.load(str(folder))
    except (tf.errors.OpError, ValueError, OSError, LookupError, RuntimeError) as error:
        raise ExportError(f"TensorFlow cannot open {folder} ({quote_error(error)})") from error
    signature = loaded.signatures.get(_SIGNATURE)
    if signature is None:
        found = ", ".join(loaded.signatures) or "none"
        raise ExportError(
            f"{folder} has no signature {_SIGNATURE} (it has: {found}); export it again with "
            "model.export(FOLDER)"
        )
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    exit_, words = _choose_output(folder, outputs)
    if len(inputs) != 1:
        raise ExportError(
            f"{folder} has {len(inputs)} inputs ({', '.join(inputs)}), expected 1; export the "
            "classifier only"
        )
    ((name, spec),) = inputs.items()
    call = _Signature(loaded, signature, name, exit_)
    model = TensorflowModel(call, tuple(_read_shape(folder, spec)), scaling, size_px)
    model.words = words
    if spec.dtype.is_integer:
        model.statements = (Statement(f"its input of {spec.dtype.name}", (0.0, 255.0)),)
    return model


def _read_shape(folder: Path, spec: Any) -> list[int | None]:
    if not (spec.dtype.is_floating or spec.dtype.is_integer):
        raise ExportError(
            f"{folder} takes {spec.dtype.name}, such as the bytes of a file, expected the pixels "
            "of an image; export it with such a signature"
        )
    if spec.shape.rank is None:
        raise ExportError(
            f"{folder} does not state its input shape; export it with a signature of shape (None, "
            "height, width, 3)"
        )
    shape: list[int | None] = spec.shape.as_list()
    return shape


def _choose_output(folder: Path, outputs: Mapping[str, Any]) -> tuple[str, str]:
    """Which output is the scores: the only one of floats; and what is left out, for people."""
    floats = [name for name, spec in sorted(outputs.items()) if spec.dtype.is_floating]
    if len(floats) != 1:
        raise ExportError(
            f"{folder} has {len(outputs)} outputs ({', '.join(sorted(outputs))}), expected 1 of "
            "scores; export the classifier only"
        )
    others = sorted(name for name in outputs if name != floats[0])
    if not others:
        return floats[0], ""
    return floats[0], f"its output {floats[0]} is used as the scores, {', '.join(others)} left out"


class _Signature:
    """A signature of a SavedModel, called like a Keras model."""

    def __init__(self, loaded: Any, signature: Any, entry: str, exit_: str) -> None:
        # The variables live as long as the loaded object does.
        self._loaded = loaded
        self._signature, self._entry, self._exit = signature, entry, exit_
        self._dtype = signature.structured_input_signature[1][entry].dtype

    def __call__(self, image: Any, *, training: bool) -> Any:
        import tensorflow as tf

        # Float levels are whole numbers: none is changed on the way to integers.
        given = tf.cast(tf.convert_to_tensor(image), self._dtype)
        return tf.cast(self._signature(**{self._entry: given})[self._exit], tf.float32)


def _convert(call: Call, shape: tuple[int, int, int]) -> bytes:
    import tensorflow as tf

    try:
        with divert_stderr():
            frozen = freeze(call, (1, *shape))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ExportError(
            f"the model does not take images of {shape[1]}x{shape[0]} px ({quote_error(error)})"
        ) from error
    return convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))


def _read_size(shape: Sequence[int | None], size_px: Size | None) -> tuple[int, int]:
    shown = "(" + ", ".join("?" if one is None else str(one) for one in shape) + ")"
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise ExportError(
            f"the model takes {shown}, expected RGB images, (1, height, width, 3), or gray ones, "
            "(1, height, width, 1)"
        )
    if shape[0] not in (None, 1):
        raise ExportError(
            f"the model takes {shape[0]} images at once, {shown}; save it with a variable batch "
            "size"
        )
    return choose_size((shape[1], shape[2]), size_px)
