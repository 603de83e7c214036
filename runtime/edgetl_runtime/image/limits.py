"""How large an image may be. Nothing is imported: OpenCV reads its limit when it is imported."""

MAX_PIXELS = 200_000_000
"""Of an image or a frame; OpenCV decodes no larger one."""
