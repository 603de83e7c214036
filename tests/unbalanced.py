"""Networks that say the same as others, but quantize badly."""

from typing import Any


def unbalance_channels(model: Any) -> None:
    """Makes one channel a thousand times larger after a layer.

    It is as much smaller in the kernel of the next one, so that one step of 8 bits for the whole
    layer leaves nothing of the others.

    Args:
        model: Keras model of the test backbone, with the layers block2_bn and block3_conv.
    """
    norm, conv = model.get_layer("block2_bn"), model.get_layer("block3_conv")
    gamma, beta, *statistics = norm.get_weights()
    (kernel,) = conv.get_weights()
    gamma[0], beta[0], kernel[:, :, 0] = gamma[0] * 1000, beta[0] * 1000, kernel[:, :, 0] / 1000
    norm.set_weights([gamma, beta, *statistics])
    conv.set_weights([kernel])
