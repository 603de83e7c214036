"""Heat maps as image files."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.errors import StorageError
from edgetl_runtime.outputs.quota import encode_jpeg
from edgetl_runtime.system.storage import write_file

if TYPE_CHECKING:
    from edgetl_runtime.heatmaps.explainer import Explainer
    from edgetl_runtime.image.frames import CapturedFrame

_QUALITY = 90
# Characters of a source's name in that of its image: a file system takes 255 bytes.
_NAMED = 50


def write_explained(explainer: "Explainer", frame: "CapturedFrame", folder: Path) -> Path:
    """Writes a frame with the heat map of its best label.

    Args:
        explainer: Of the model.
        frame: The frame.
        folder: Is made if it is not there. An existing file of the name stays.

    Returns:
        The path of the image, such as `film-12.jpg`.

    Raises:
        EngineError: If the engine fails.
        StorageError: If it cannot be written.
    """
    drawn = explainer.draw(frame.image)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder} ({error.strerror})") from error
    path = _find_free(folder, frame)
    write_file(path, encode_jpeg(drawn, _QUALITY))
    return path


def _find_free(folder: Path, frame: "CapturedFrame") -> Path:
    name = re.sub(r"[^\w.-]", "_", Path(frame.source).stem)[:_NAMED]
    stem = name if frame.position_s is None else f"{name}-{frame.index}"
    number, path = 1, folder / f"{stem}.jpg"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.jpg"
    return path
