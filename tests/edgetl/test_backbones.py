"""The table of backbones against the networks that it builds."""

import pytest

from edgetl.backbones import BACKBONES, build, count_multiply_adds, find_backbone
from edgetl_runtime.errors import EdgetlError

PROMISED = (
    *(f"mobilenet_v1_{width}" for width in ("0.25", "0.5", "0.75", "1.0")),
    *(f"mobilenet_v2_{width}" for width in ("0.35", "0.5", "0.75", "1.0", "1.3", "1.4")),
    *(f"mobilenet_v3_{size}" for size in ("small", "large")),
    *(f"mobilenet_v3_{size}_minimalistic" for size in ("small", "large")),
    *(f"efficientnet_b{number}" for number in range(8)),
    *(f"efficientnet_v2_b{number}" for number in range(4)),
)


def test_table_has_all_that_is_promised() -> None:
    assert set(PROMISED) <= BACKBONES.keys()


def test_names_are_those_of_the_rows() -> None:
    assert all(name == row.name for name, row in BACKBONES.items())


@pytest.mark.parametrize("name", BACKBONES)
def test_figures_are_those_of_the_built_network(name: str) -> None:
    backbone = BACKBONES[name]
    network = build(backbone, backbone.size_px)
    assert network.input_shape == (None, backbone.size_px, backbone.size_px, 3)
    assert network.count_params() == backbone.parameters
    assert count_multiply_adds(network) / 1e6 == pytest.approx(backbone.multiply_adds_m, abs=0.06)
    assert set(backbone.taps) <= {layer.name for layer in network.layers}


def test_multiply_adds_agree_with_the_published_ones() -> None:
    # The MobileNetV2 paper (Sandler et al. 2018, table 4) counts 300 million with the top.
    assert find_backbone("mobilenet_v2_1.0").multiply_adds_m == pytest.approx(300, abs=2)


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25", "mobilenet_v2_0.35"])
def test_mobilenets_of_the_table_lack_scaling_of_their_own(name: str) -> None:
    network = build(find_backbone(name), 32)
    assert find_backbone(name).scaling == "-1..1"
    assert "Rescaling" not in {type(layer).__name__ for layer in network.layers}


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "mobilenet_v3_large_minimalistic", "efficientnet_v2_b0"]
)
def test_networks_marked_inside_scale_by_themselves(name: str) -> None:
    network = build(find_backbone(name), 32)
    assert find_backbone(name).scaling == "inside"
    assert "Rescaling" in {type(layer).__name__ for layer in network.layers}


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("mobilenet_v2_0.53", "mobilenet_v2_0.5"),
        ("MobileNet_V2_1.0", "mobilenet_v2_1.0"),
        ("efficientnet_v2b0", "efficientnet_v2_b0"),
    ],
)
def test_unknown_name_suggests_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(EdgetlError, match=f"unknown backbone '{wrong}'; did you mean {meant}?"):
        find_backbone(wrong)


def test_a_name_like_none_still_says_where_the_list_is() -> None:
    with pytest.raises(EdgetlError, match="`edgetl backbones` lists them all"):
        find_backbone("#")


def test_a_size_below_32_px_is_refused() -> None:
    with pytest.raises(EdgetlError, match="32 px is the least"):
        build(find_backbone("mobilenet_v2_0.35"), 31)
