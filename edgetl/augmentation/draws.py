"""The random choices of one view: each augmentation draws from a stream of its own."""

import zlib

import numpy as np

from edgetl.augmentation.strengths import Augmentation


class Draws:
    """Draws that follow from the photo, the view's number and the augmentation's name alone.

    Switching one augmentation on, off or stronger therefore leaves the others as they were.
    """

    def __init__(self, augmentation: Augmentation, sha256: str, number: int) -> None:
        """Names the view.

        Args:
            augmentation: The strengths.
            sha256: Hash of the photo's bytes, hexadecimal.
            number: Which view, from 0.
        """
        self._augmentation = augmentation
        self._seed = [int(sha256[:16], 16), number]

    def stream(self, name: str) -> np.random.Generator:
        """The random numbers of one augmentation, from their start."""
        return np.random.default_rng([*self._seed, zlib.crc32(name.encode())])

    def strength(self, name: str) -> float:
        """The strength, 0 if it is off."""
        return float(getattr(self._augmentation, name))

    def pair(self, name: str) -> tuple[float, float]:
        """Two numbers, each evenly from -strength to strength."""
        strength = self.strength(name)
        if not strength:
            return 0.0, 0.0
        first, second = strength * self.stream(name).uniform(-1, 1, 2)
        return float(first), float(second)

    def spread(self, name: str) -> float:
        """A number evenly from -strength to strength."""
        return self.pair(name)[0]

    def factor(self, name: str) -> float:
        """A factor from 1/(1 + strength) to 1 + strength, as often below 1 as above."""
        strength = self.strength(name)
        return (1 + strength) ** (self.spread(name) / strength) if strength else 1.0

    def amount(self, name: str) -> float:
        """A number evenly from 0 to strength."""
        strength = self.strength(name)
        return strength * self.stream(name).random() if strength else 0.0

    def happens(self, name: str) -> bool:
        """True with the probability that the strength is."""
        strength = self.strength(name)
        return bool(strength) and self.stream(name).random() < strength
