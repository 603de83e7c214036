"""The network and its two halves: cut anywhere, they are the whole; what is frozen stays."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from edgetl.networks.backbones import Backbone, build, find_backbone
from edgetl.networks.model import (
    HEAD_CUT,
    NO_CUT,
    Cut,
    ModelSpec,
    build_extractor,
    build_lower,
    build_upper,
    set_trainable,
)
from edgetl_runtime.image.preprocessing import Preprocessing

SIZE_PX = 64
MOBILENET, EFFICIENTNET = "mobilenet_v2_0.35", "efficientnet_v2_b0"
Network = tuple[Backbone, Any]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """float32 (6, 64, 64, 3) 0..255: noise that is smooth enough to have large features."""
    coarse = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def networks(pictures: np.ndarray) -> Callable[[str], Network]:
    """Builds a backbone with random weights, once; its features do not fade to nothing."""
    built: dict[str, Network] = {}

    def find(name: str) -> Network:
        if name not in built:
            keras.utils.set_random_seed(0)
            backbone = find_backbone(name)
            network = build(backbone, SIZE_PX)
            for layer in network.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.0
            build_extractor(backbone, network, SIZE_PX)(pictures, training=True)
            built[name] = backbone, network
        return built[name]

    return find


@pytest.mark.parametrize(
    ("name", "blocks", "taps_below"),
    [
        (MOBILENET, 1, 3),
        (MOBILENET, 4, 2),
        (MOBILENET, 17, 0),
        (EFFICIENTNET, 6, 1),
        (EFFICIENTNET, 8, 0),
    ],
)
def test_both_halves_together_are_the_whole(
    name: str,
    blocks: int,
    taps_below: int,
    networks: Callable[[str], Network],
    pictures: np.ndarray,
) -> None:
    backbone, network = networks(name)
    cut = Cut("blocks", blocks)
    place = [layer.name for layer in network.layers].index(cut.layer(backbone))
    below = {layer.name for layer in network.layers[: place + 1]}
    assert len(below & set(backbone.taps)) == taps_below
    whole = np.asarray(build_extractor(backbone, network, SIZE_PX)(pictures))
    row = np.asarray(build_lower(backbone, network, cut, SIZE_PX)(pictures))
    upper = build_upper(backbone, network, cut)
    assert whole.std() > 0.05
    np.testing.assert_allclose(upper(row), whole, atol=1e-5)
    # Half precision keeps 11 bits of each number; 17 blocks of random weights magnify the rest.
    kept = np.asarray(upper(row.astype(np.float16).astype(np.float32)))
    assert 0 < np.abs(kept - whole).mean() < 0.03 * whole.std()


def test_the_upper_half_trains_the_network_itself(
    networks: Callable[[str], Network], pictures: np.ndarray
) -> None:
    backbone, network = networks(MOBILENET)
    upper = build_upper(backbone, network, Cut("blocks", 1))
    shared = network.get_layer("block_16_project").kernel
    assert any(one is shared for one in upper.weights)


@pytest.mark.parametrize("blocks", [1, 2, 17])
def test_what_is_above_the_cut_trains_but_for_batch_normalization(
    blocks: int, networks: Callable[[str], Network]
) -> None:
    backbone, network = networks(MOBILENET)
    cut = Cut("blocks", blocks)
    set_trainable(backbone, network, cut)
    place = [layer.name for layer in network.layers].index(cut.layer(backbone))
    norms = [isinstance(one, keras.layers.BatchNormalization) for one in network.layers]
    for position, layer in enumerate(network.layers):
        assert layer.trainable == (position > place and not norms[position])
    upper = build_upper(backbone, network, cut)
    assert {id(one) for one in upper.trainable_weights} == {
        id(one) for one in network.trainable_weights
    }


def test_without_a_cut_all_but_batch_normalization_trains(
    networks: Callable[[str], Network],
) -> None:
    backbone, network = networks(MOBILENET)
    set_trainable(backbone, network, NO_CUT)
    trainable = sum(layer.count_params() for layer in network.layers if layer.trainable)
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert trainable == network.count_params() - sum(one.count_params() for one in norms)
    set_trainable(backbone, network, HEAD_CUT)
    assert network.trainable_weights == []


def test_a_frozen_batch_normalization_acts_in_training_as_on_the_device(
    networks: Callable[[str], Network], pictures: np.ndarray
) -> None:
    backbone, network = networks(MOBILENET)
    set_trainable(backbone, network, NO_CUT)
    extractor = build_extractor(backbone, network, SIZE_PX)
    training = np.asarray(extractor(pictures, training=True))
    np.testing.assert_allclose(training, extractor(pictures, training=False), atol=1e-5)


@pytest.mark.parametrize(
    ("cut", "blocks", "words"),
    [
        ("head", 0, "the head"),
        ("none", 0, "all layers"),
        ("block_15_add", 1, "the head and the top block"),
        ("block_14_add", 2, "the head and the top 2 blocks"),
    ],
)
def test_a_cut_is_described_for_people(cut: str, blocks: int, words: str) -> None:
    spec = ModelSpec(
        backbone=MOBILENET,
        weights_digest="none",
        cut=cut,
        blocks=blocks,
        labels=("a", "b"),
        preprocessing=Preprocessing(64, 64),
        head="linear",
        l2=0.0,
        temperature=1.0,
        seed=0,
    )
    assert spec.describe_cut() == words
