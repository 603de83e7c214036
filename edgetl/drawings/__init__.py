"""Camera-like drawings of hardware parts, so that the demo needs no network and no download.

An image is made the way a photograph is: a textured bench, a part with a height profile, a lamp
that shades the part and throws its shadow, and a cheap camera that blurs and adds noise.
"""

from edgetl.drawings.parts import PARTS
from edgetl.drawings.photographs import draw_part, draw_part_at, draw_video

__all__ = ["PARTS", "draw_part", "draw_part_at", "draw_video"]
