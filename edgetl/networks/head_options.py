"""The options of a head; apart from `head`, so that a command's help needs no numpy."""

from typing import Annotated, Literal

import msgspec

Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Units = Annotated[int, msgspec.Meta(ge=1, le=65_536)]


class HeadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The classifier on top of the features.

    Attributes:
        kind: Head: linear, or mlp, a multi-layer perceptron.
        hidden: Units of each hidden layer of an mlp, such as 256,64 (default: 128).
        activation: Activation of the hidden layers.
        dropout: Dropout rate, on the features and the hidden layers.
        batch_norm: Batch normalization after each hidden layer.
        output: Output activation: softmax, or sigmoid for two classes: one unit, the probability
            of the second class. The exported file has two scores either way.
    """

    kind: Literal["linear", "mlp"] = "linear"
    hidden: tuple[Units, ...] = ()
    activation: Literal["relu", "tanh", "gelu", "swish", "sigmoid"] = "relu"
    dropout: Fraction = 0.0
    batch_norm: bool = False
    output: Literal["softmax", "sigmoid"] = "softmax"
