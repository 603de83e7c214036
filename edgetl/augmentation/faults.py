"""What a cheap camera adds: blur, noise and JPEG artefacts; and boxes that hide a part.

Strengths refer to a photo whose shorter side is 224 px, which most backbones take, and are scaled
to the photo at hand: its pixels will be averaged to that size.
"""

import math

import cv2
import numpy as np

from edgetl.augmentation.draws import Draws
from edgetl_runtime.image.preprocessing import Frame

_REFERENCE_PX = 224
# Less has no effect on neighbouring pixels that rounding would keep.
_LEAST_SIGMA_PX = 0.2
_LEAST_NOISE_LEVELS = 0.3
# Linear interpolation between two grains keeps 2/3 of the variance, averaged over the positions
# between them; along both axes therefore 4/9, which is 2/3 of the deviation.
_GRAIN_GAIN = 1.5
_FULL_QUALITY = 100
# Zhong et al. 2020, section 3.2; the largest area is that of later implementations.
_ERASED_AREA = (0.02, 0.33)
_ERASED_ASPECT = (0.3, 1 / 0.3)


def add_faults(photo: Frame, draws: Draws) -> Frame:
    """Blurs in the lens, adds noise on the sensor, then compresses.

    Args:
        photo: uint8 (height, width, 3) BGR.
        draws: The view's random choices.

    Returns:
        uint8 (height, width, 3) BGR; the photo itself where all three are off.
    """
    photo = blur(photo, draws.amount("blur"))
    photo = _add_noise(photo, draws)
    lost = round(draws.amount("jpeg"))
    return _compress(photo, _FULL_QUALITY - lost) if lost else photo


def blur(photo: Frame, sigma_px: float) -> Frame:
    """Blurs by a Gaussian whose sigma is given in px of a photo of 224 px."""
    sigma_px *= _relative_size(photo)
    if sigma_px < _LEAST_SIGMA_PX:
        return photo
    return cv2.GaussianBlur(photo, (0, 0), sigma_px)  # type: ignore[return-value]


def _add_noise(photo: Frame, draws: Draws) -> Frame:
    deviation = draws.amount("noise")
    if deviation < _LEAST_NOISE_LEVELS:
        return photo
    height, width = photo.shape[:2]
    # A large photo gets grains of several pixels, as demosaicing leaves them, which are also
    # less to draw.
    grain = max(1.0, _relative_size(photo))
    grains = np.empty((max(1, round(height / grain)), max(1, round(width / grain)), 3), np.int16)
    # OpenCV's generator, one a thread, takes a third of the time of NumPy's.
    cv2.setRNGSeed(int(draws.stream("noise seed").integers(2**31)))
    spread = deviation * (_GRAIN_GAIN if grain > 1 else 1.0)
    cv2.randn(grains, np.zeros(3), np.full(3, spread))
    noise = cv2.resize(grains, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.add(photo, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]


def _compress(photo: Frame, quality: int) -> Frame:
    _, data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[return-value]


def erase(photo: Frame, draws: Draws) -> Frame:
    """Fills a random box with random levels, with the probability `erasing`.

    The box is kept whole within the photo; where its shape does not fit, its longer side is cut.
    Random levels a pixel did best in Zhong et al. 2020, table 6.
    """
    if not draws.happens("erasing"):
        return photo
    random = draws.stream("erasing box")
    height, width = photo.shape[:2]
    area = random.uniform(*_ERASED_AREA) * height * width
    aspect = math.exp(random.uniform(*np.log(_ERASED_ASPECT)))
    box_width = min(width, max(1, round(math.sqrt(area * aspect))))
    box_height = min(height, max(1, round(math.sqrt(area / aspect))))
    left = int(random.integers(width - box_width + 1))
    top = int(random.integers(height - box_height + 1))
    levels = np.frombuffer(random.bytes(box_height * box_width * 3), np.uint8)
    view = photo.copy()
    box = levels.reshape(box_height, box_width, 3)
    view[top : top + box_height, left : left + box_width] = box
    return view


def _relative_size(photo: Frame) -> float:
    return float(min(photo.shape[:2])) / _REFERENCE_PX
