"""Class activation maps: the logit of a class, divided among the places of the frame.

Where global average pooling and one dense layer end a network, the logit of class k is

    bias_k + sum over channels c of kernel_ck * mean over cells of map_c
  = bias_k + mean over cells of (sum over channels c of kernel_ck * map_c(cell)).

The inner sum is the heat map. It needs no gradients and loses nothing: its mean and the bias are
the logit (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization").
"""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import EngineError

Cells = NDArray[np.float32]
Maps = Sequence[NDArray[np.float32]]
# Both were chosen on validation photos, of contrasts 0 to 1 and blurs of half a cell to one
# (`benchmarks/explaining.py` then takes test photos). At full contrast the earlier maps, which see
# edges more than things, lead astray: with MobileNetV2 1.0 the hottest cell is then in the right
# one of two photos 83 times in 100, against 90; with MobileNetV2 0.35 they help a little.
_EARLIER_CONTRAST = 0.15
# Of a cell of the last map.
_SIGMA_CELLS = 0.75


class HeatMap(msgspec.Struct, frozen=True, eq=False):
    """Where in a frame the evidence for one class lies.

    Attributes:
        label: The class.
        score: Its probability, 0..1.
        cells: float32 (rows, columns), over the model's input: what each place adds to the logit
            of the class, beside the bias. Their mean and the bias are the logit.
        bias: What the head adds wherever one looks.
        is_unknown: The frame shows none of the classes, by the model's scores.
    """

    label: str
    score: float
    cells: Cells
    bias: float
    is_unknown: bool = False

    @property
    def logit(self) -> float:
        """The logit of the class: mean of the cells, and bias."""
        return float(self.cells.mean(dtype=np.float64)) + self.bias

    @property
    def hottest(self) -> tuple[float, float]:
        """Middle of the hottest cell: (x, y) as fractions of the model's input, 0..1."""
        rows, columns = self.cells.shape
        row, column = divmod(int(self.cells.argmax()), columns)
        return (column + 0.5) / columns, (row + 0.5) / rows

    @property
    def levels(self) -> Cells:
        """The cells as levels, float32 (rows, columns), 0..1: 0 up to the mean, 1 at the maximum.

        A softmax sees differences only, so that no value of a cell means nothing by itself; what is
        below the mean speaks for other classes, and all cells are 0 where they are alike.
        """
        above = np.maximum(self.cells - self.cells.mean(), 0)
        return np.asarray(above / max(float(above.max()), 1e-12), np.float32)


def make_cells(maps: Maps, kernel: NDArray[np.float32], index: int) -> Cells:
    """Computes the heat map of a class.

    The last map is drawn in full, those before it at a fraction of their contrast, and the rest of
    what they add is spread evenly, so that the sum stays what it is.

    Args:
        maps: float32 (height, width, channels) each, such as 28x28, 14x14 and 7x7 cells; the means
            of their channels, one map after the other, are what the head multiplies. The last one
            is the network's end.
        kernel: float32 (features, classes), of the head.
        index: Of the class.

    Returns:
        float32 (rows, columns), those of the finest map. Their mean is the logit without the bias;
        of an int8 file up to the rounding of the features.

    Raises:
        EngineError: If the maps have more or fewer channels than the head multiplies.
    """
    channels = [one.shape[2] for one in maps]
    if sum(channels) != len(kernel):
        raise EngineError(
            f"the maps have {sum(channels)} channels, the head multiplies {len(kernel)} features; "
            "export the bundle again with: edgetl export"
        )
    starts = np.cumsum([0, *channels[:-1]])
    added = [
        one @ kernel[start : start + one.shape[2], index]
        for one, start in zip(maps, starts, strict=True)
    ]
    *earlier, last = added
    rows, columns = (max(one.shape[axis] for one in added) for axis in (0, 1))
    cells = _enlarge(last, rows, columns)
    for one in earlier:
        contrast = _enlarge(one, rows, columns) - one.mean()
        cells = cells + _EARLIER_CONTRAST * contrast + one.mean()
    return _smooth(cells, rows / last.shape[0], columns / last.shape[1])


def _enlarge(cells: Cells, rows: int, columns: int) -> Cells:
    """Bilinear; keeps the mean, which interpolation alone does at whole multiples only."""
    if cells.shape == (rows, columns):
        return cells
    larger = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger + (cells.mean() - larger.mean()), np.float32)


def _smooth(cells: Cells, down: float, across: float) -> Cells:
    """Gaussian, where maps were enlarged; mirrored borders keep the mean."""
    if down <= 1 and across <= 1:
        return cells
    return cv2.GaussianBlur(  # type: ignore[return-value]
        cells,
        (0, 0),
        sigmaX=_SIGMA_CELLS * across,
        sigmaY=_SIGMA_CELLS * down,
        borderType=cv2.BORDER_REFLECT,
    )
