"""The canvas of plots: SVG whose text is text and whose colours are the page's own.

Matplotlib draws in the colours of the light page; each is then replaced by the page's CSS
variable of the same role, so that a plot follows the reader's dark mode. No drawing touches
pyplot, the user's matplotlibrc or any other lasting state, and equal values give equal bytes.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Role -> colour of the light page; the same names are CSS variables in templates/page.css.
COLORS = {
    "ink": "#1a1f29",
    "muted": "#5c6675",
    "line": "#dfe3e9",
    "train": "#8a94a6",
    "val": "#1d63d8",
    "bad": "#c2500a",
}
WIDTH_PX, HEIGHT_PX = 460, 290
PX = 72  # Matplotlib's SVG has 72 units an inch.
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": COLORS["line"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLORS["ink"],
    "font.size": 13,
    "axes.labelsize": 13,
    "grid.color": COLORS["line"],
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": COLORS["ink"],
    "lines.linewidth": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "edgetl",
    "text.color": COLORS["ink"],
    # A label such as $x_1$ is a label, not a formula.
    "text.parse_math": False,
    "xtick.color": COLORS["line"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.color": COLORS["line"],
    "ytick.labelcolor": COLORS["muted"],
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def open_figure(height_px: int = HEIGHT_PX) -> tuple["Figure", "Axes"]:
    """A figure as wide as a plot of a page is, and its only axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / PX, height_px / PX), dpi=PX, layout="constrained")
    return figure, figure.add_subplot()


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with our settings only; what was set before is back afterwards."""
    # Building the font cache, once a machine, is nothing that a reader must hear of.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # The browser draws the text; it has fonts that Matplotlib lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def to_svg(figure: "Figure", title: str) -> str:
    """An `<svg>` element that scales with the page; `title` is for readers who do not see it."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(file.getvalue())
    metadata = root.find(f"{_SVG}metadata")
    if metadata is not None:
        root.remove(metadata)
    for style in list(root.iter(f"{_SVG}defs")):
        for child in style.findall(f"{_SVG}style"):
            style.remove(child)
    for element in root.iter():
        _adopt(element)
    for name in ("width", "height", "version"):
        del root.attrib[name]
    root.attrib |= {"role": "img", "aria-label": title}
    return ElementTree.tostring(root, "unicode")


def _adopt(element: ElementTree.Element) -> None:
    """Makes an element of a standalone SVG one of an HTML page."""
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = (element.tail or "").strip()
    if element.tag == "g":
        # Several plots are on one page, and all number their groups alike.
        element.attrib.pop("id", None)
    if _LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(_LINK)
    if "style" in element.attrib:
        rules = element.attrib["style"].split("; ")
        kept = "; ".join(rule for rule in rules if not rule.startswith("font-family:"))
        for role, color in COLORS.items():
            kept = kept.replace(color, f"var(--{role}, {color})")
        element.attrib["style"] = kept
