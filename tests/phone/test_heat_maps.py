"""The page's heat maps are the device's."""

import cv2
import numpy as np
import pytest

from edgetl_runtime.heatmaps.heat_map import HeatMap, make_cells
from edgetl_runtime.heatmaps.placement import find_window, spread
from edgetl_runtime.image.preprocessing import Preprocessing

SIZES = [
    [(7, 7)],
    [(28, 28), (14, 14), (14, 14), (7, 7)],
    [(28, 20), (14, 10), (7, 5)],
    [(13, 9), (5, 4)],
    [(4, 12), (4, 3)],
]


@pytest.mark.parametrize("sizes", SIZES)
def test_cells_and_levels_are_alike(sizes, node):
    chance = np.random.default_rng(0)
    maps = [chance.random((*size, 3 + n), dtype=np.float32) for n, size in enumerate(sizes)]
    kernel = chance.normal(size=(sum(one.shape[2] for one in maps), 4)).astype(np.float32)
    given = [{"shape": one.shape, "values": one.ravel().tolist()} for one in maps]
    for index in range(4):
        heat = HeatMap("gear", 1.0, make_cells(maps, kernel, index), 0.0)
        found = node("explainMaps", given, kernel.ravel().tolist(), 4, index)
        assert (found["cells"]["rows"], found["cells"]["columns"]) == heat.cells.shape
        assert np.abs(np.array(found["cells"]["values"]) - heat.cells.ravel()).max() < 1e-4
        assert np.abs(np.array(found["levels"]) - heat.levels.ravel()).max() < 1e-3
        assert tuple(found["hottest"]) == pytest.approx(heat.hottest)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(64, 48), (30, 50), (40, 40)])
def test_cells_lie_alike_over_the_frame(fit, size, node):
    cells = np.random.default_rng(0).random((7, 5), dtype=np.float32)
    rule = Preprocessing(50, 70, fit=fit)
    given = {"rows": 7, "columns": 5, "values": cells.ravel().tolist()}
    found = node("spreadLevels", given, {"width_px": 50, "height_px": 70, "fit": fit}, *size)
    window = find_window(rule, *size)
    assert found["window"] == pytest.approx(
        {name: getattr(window, name) for name in ("left", "top", "width", "height")}
    )
    expected = spread(cells, window, *size)
    assert np.abs(np.array(found["spread"]) - expected.ravel()).max() < 1e-5


def test_colors_are_those_of_the_devices_palette(node):
    levels = np.arange(256, dtype=np.uint8)
    expected = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO).reshape(-1, 3)[:, ::-1]
    assert node("colors") == expected.tolist()
