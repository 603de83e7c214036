"""The head: the dense layer that ends a network."""

import msgspec
import numpy as np
from numpy.typing import NDArray


class Head(msgspec.Struct, frozen=True, eq=False):
    """The last layer: logits are features @ kernel + bias.

    Attributes:
        kernel: float32 (features, outputs).
        bias: float32 (outputs,).
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def lower(self, first: int, offset: float) -> "Head":
        """The same head, with a number taken from the logits from one output on."""
        bias = self.bias.copy()
        bias[first:] -= offset
        return Head(self.kernel, bias)

    def mix(self, other: "Head", share: float) -> "Head":
        """A head between this one and another with as many outputs; 1 is the other."""
        kernel = self.kernel + np.float32(share) * (other.kernel - self.kernel)
        bias = self.bias + np.float32(share) * (other.bias - self.bias)
        return Head(kernel, bias)

    def widen(self, outputs: int) -> "Head":
        """The same head with more outputs, whose logits are the mean of the others."""
        more = outputs - self.bias.size
        kernel, bias = self.kernel.mean(axis=1), self.bias.mean()
        return Head(
            np.column_stack([self.kernel, *[kernel] * more]),
            np.append(self.bias, [bias] * more).astype(np.float32),
        )
