"""The page of `edgetl explain`: each photo beside its heat map."""

import base64
from collections.abc import Sequence

from edgetl.explaining.photos import ExplainedPhoto
from edgetl.reporting.pages import mark_safe, render_page

PAGE = "explained.html"


def render_explained(photos: Sequence[tuple[ExplainedPhoto, bytes]], model: str) -> str:
    """Renders the page.

    Args:
        photos: Each with its JPEG of photo and heat map.
        model: Name of the run or bundle.

    Returns:
        One HTML page that needs no network and no script.
    """
    return render_page(
        "explain.html.j2",
        title=f"Heat maps: {model}",
        photos=[(photo, _embed(jpeg)) for photo, jpeg in photos],
    )


def _embed(jpeg: bytes) -> str:
    return mark_safe("data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"))
