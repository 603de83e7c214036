"""One view of a photo: bent in one warp, lit otherwise in one product, then spoilt."""

from functools import reduce

from edgetl.augmentation.colors import change_colors, draw_colors
from edgetl.augmentation.draws import Draws
from edgetl.augmentation.faults import add_faults, erase
from edgetl.augmentation.geometry import draw_geometry, warp
from edgetl.augmentation.operations import draw_operations
from edgetl.augmentation.strengths import LIGHT, Augmentation
from edgetl_runtime.image.preprocessing import Frame, resize

# Twice what most backbones take: a larger photo would only cost time.
_WORKING_PX = 512


def make_view(photo: Frame, sha256: str, number: int, augmentation: Augmentation = LIGHT) -> Frame:
    """Makes one view of a photo; the same arguments give the same view, in any thread.

    Args:
        photo: uint8 (height, width, 3) BGR; it is not changed.
        sha256: Hash of the photo's bytes, hexadecimal.
        number: Which view, from 0.
        augmentation: How strong. One strength does not move what is drawn for the others.

    Returns:
        uint8 (height, width, 3) BGR, reduced to 512 px on the shorter side; with all strengths
        at 0 it may be the photo itself.
    """
    draws = Draws(augmentation, sha256, number)
    photo = _reduce(photo)
    height, width = photo.shape[:2]
    operations = draw_operations(draws)
    bends = [operation.matrix(width, height) for operation in operations]
    matrix = reduce(lambda done, bend: bend @ done, bends, draw_geometry(draws, width, height))
    view = change_colors(warp(photo, matrix), draw_colors(draws))
    for operation in operations:
        view = operation.change(view)
    return erase(add_faults(view, draws), draws)


def _reduce(photo: Frame) -> Frame:
    height, width = photo.shape[:2]
    factor = _WORKING_PX / min(height, width)
    if factor >= 1:
        return photo
    return resize(photo, max(1, round(width * factor)), max(1, round(height * factor)))
