"""Labels: how they are compared, and which of them can name a folder.

A label becomes a folder's name again when `edgetl data import` sorts what a device collected. So
what no folder can be called is refused where a label first appears.
"""

import re
import unicodedata
from collections.abc import Iterable

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.text.printable import JOINERS, is_printable

# Photos of other things than the classes: they choose and measure the reject threshold.
UNKNOWN = "_unknown_"
# Where `edgetl data import` puts photos that a person has yet to sort.
UNSORTED = "_unsorted_"
# NAME_MAX of Linux (limits.h).
MOST_NAME_BYTES = 255
_SEPARATORS = re.compile(r"[\s_-]+")
_UNSEEN = str.maketrans("", "", JOINERS)


def normalize(label: str) -> str:
    """The composed form (Unicode NFC): an ä that a Mac wrote as a and two dots is an ä."""
    return unicodedata.normalize("NFC", label)


def find_twin(label: str, others: Iterable[str]) -> str | None:
    """Another label that is the same word in another spelling, such as `Cat` of `cat`.

    Spaces, hyphens and underscores count as one. Single characters are told apart: `A` and `a`
    may be what a model shall read.
    """
    label = normalize(label)
    if len(label) == 1:
        return None
    key = _simplify(label)
    return next((one for one in others if one != label and _simplify(one) == key), None)


def check_label(label: str, where: str) -> str:
    """Normalizes a label; refuses one that cannot name a folder.

    Args:
        label: The label.
        where: Where it stands, for the message.

    Raises:
        DatasetError: Naming the place.
    """
    if why := find_obstacle(label):
        raise DatasetError(f"{where}: the label {_show(label)} {why}; rename it")
    return normalize(label)


def find_obstacle(label: str) -> str:
    """Why a label cannot name a class's folder; empty if it can."""
    if not is_printable(label):
        # Python puts half characters (surrogates) for bytes that it cannot decode.
        whole = label.encode("utf-8", "ignore").decode() == label
        return "has a line break or another unprintable character" if whole else "is not UTF-8"
    if "/" in label:
        return "has a slash, which a folder name cannot have"
    if not label.strip(JOINERS) or label != label.strip():
        return "is empty, or begins or ends with a space"
    if is_hidden(label):
        return "would be a hidden or system folder, which is left out"
    if len(normalize(label).encode()) > MOST_NAME_BYTES:
        return f"is longer than {MOST_NAME_BYTES} bytes"
    for special in (UNKNOWN, UNSORTED):
        if label != special and find_twin(label, [special]):
            return f"looks like {special}, which is not a class"
    return ""


def _simplify(label: str) -> str:
    text = unicodedata.normalize("NFKC", label).casefold().translate(_UNSEEN)
    plain = _SEPARATORS.sub(" ", text)
    return plain if plain.strip() else text


def _show(label: str) -> str:
    return repr(label if len(label) <= 80 else f"{label[:77]}...")
