"""The view: region, rotation and mirroring of a frame."""

import cv2
import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.settings.sections import ViewSettings

_ROTATIONS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_WHOLE = (0.0, 0.0, 1.0, 1.0)


class View(msgspec.Struct, frozen=True):
    """A region of the frame, then a rotation, then a mirror.

    Attributes:
        region: (left, top, width, height), shares of the frame, 0..1.
        rotate: Degrees clockwise: 0, 90, 180 or 270.
        mirror: Swap left and right.
    """

    region: tuple[float, float, float, float] = _WHOLE
    rotate: int = 0
    mirror: bool = False

    @classmethod
    def of(cls, settings: ViewSettings) -> "View":
        """The view that settings ask for.

        Raises:
            OptionsError: If the region reaches beyond the frame or is empty.
        """
        region = _parse(settings.region) if settings.region else _WHOLE
        return cls(region, settings.rotate, settings.mirror)

    @property
    def is_whole(self) -> bool:
        """Whether frames stay as they are."""
        return self == View()

    def apply(self, frame: Frame) -> Frame:
        """Takes the view of a frame.

        Args:
            frame: uint8 (height, width, channels) or (height, width).

        Returns:
            The same dtype and channels; may share memory with the frame.
        """
        if self.region != _WHOLE:
            frame = _cut(frame, self.region)
        if self.rotate:
            frame = cv2.rotate(frame, _ROTATIONS[self.rotate])  # type: ignore[assignment]
        if self.mirror:
            frame = cv2.flip(frame, 1)  # type: ignore[assignment]
        return frame


def _parse(region: str) -> tuple[float, float, float, float]:
    left, top, width, height = (float(part) for part in region.split(","))
    # A thousandth of slack: 0.67 + 0.33 is 1 to whoever wrote it.
    if width <= 0 or height <= 0 or left + width > 1.001 or top + height > 1.001:
        raise OptionsError(
            f"view.region: {region} is empty or extends beyond the frame; expected "
            "LEFT,TOP,WIDTH,HEIGHT as fractions of it, such as 0.25,0,0.5,1"
        )
    return left, top, width, height


def _cut(frame: Frame, region: tuple[float, float, float, float]) -> Frame:
    height, width = frame.shape[:2]
    left, right = round(region[0] * width), round((region[0] + region[2]) * width)
    top, bottom = round(region[1] * height), round((region[1] + region[3]) * height)
    # At least one pixel, also of a frame smaller than the region's share of a pixel.
    left, top = min(left, width - 1), min(top, height - 1)
    return frame[top : max(bottom, top + 1), left : max(right, left + 1)]
