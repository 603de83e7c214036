"""Names by which a chart's reader tells reports apart."""

from collections.abc import Sequence
from typing import NamedTuple

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# What a name keeps of its device, however long the rest is.
_LEAST_OF_DEVICE = 12
# What it shows of a path, of which the end tells most.
_MOST_OF_FILE = 24


class Series(NamedTuple):
    """What may be said of a report in a chart, as text that can be printed.

    Attributes:
        device: The board or the phone.
        model: Variant and threads.
        network: The network and its input.
        file: Name of the file.
    """

    device: str
    model: str
    network: str
    file: str


def name_series(reports: Sequence[Series], letters: int) -> list[str]:
    """A name for each report, all different.

    A name is of the device and the model, and of the network where there are several. Where two
    would still be the same, or would be once they are shortened, the file stands for the network.

    Args:
        reports: The reports of a chart.
        letters: How long a name may be.

    Returns:
        Names in the same order.
    """
    several = len({one.network for one in reports}) > 1
    plain = [", ".join((one.model, one.network)) if several else one.model for one in reports]
    names = [_shorten(one.device, rest, letters) for one, rest in zip(reports, plain, strict=True)]
    rests = [
        f"{one.model} ({_keep_end(one.file)})" if names.count(name) > 1 else rest
        for one, rest, name in zip(reports, plain, names, strict=True)
    ]
    names = [_shorten(one.device, rest, letters) for one, rest in zip(reports, rests, strict=True)]
    if len(set(names)) == len(names):
        return names
    return [
        _shorten(f"{number}. {one.device}", rest, letters)
        for number, (one, rest) in enumerate(zip(reports, rests, strict=True), 1)
    ]


def _shorten(device: str, rest: str, letters: int) -> str:
    """Takes letters from the device first: the rest is what differs on one machine."""
    device = _keep_start(device, max(_LEAST_OF_DEVICE, letters - len(rest) - 2))
    return _keep_start(f"{device}: {rest}", letters)


def _keep_start(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}{_ELLIPSIS}"


def _keep_end(path: str) -> str:
    if len(path) <= _MOST_OF_FILE:
        return path
    return f"{_ELLIPSIS}{path[1 - _MOST_OF_FILE :]}"
