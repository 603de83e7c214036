"""Where weights come from, and what is said when they cannot be had or do not fit."""

import hashlib
import shutil
import socket
from pathlib import Path
from typing import NoReturn

import keras
import numpy as np
import pytest

from edgetl.networks.backbones import build, find_backbone
from edgetl.networks.weights import find_weights, load_weights, weights_file_name
from edgetl_runtime.errors import WeightsError

BACKBONE = find_backbone("mobilenet_v2_0.35")


def test_a_file_is_taken_as_it_is(weights_file: Path) -> None:
    weights = find_weights(str(weights_file), BACKBONE, 64)
    assert weights.path == weights_file
    assert weights.digest == hashlib.sha256(weights_file.read_bytes()).hexdigest()


def test_none_means_random_weights() -> None:
    weights = find_weights("none", BACKBONE, 64)
    assert (weights.path, weights.digest) == (None, "none")
    network = build(BACKBONE, 64)
    before = network.get_weights()
    load_weights(network, weights, BACKBONE)
    assert all(map(np.array_equal, before, network.get_weights()))


def test_a_file_brings_back_the_weights_that_were_saved(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    saved, other = build(BACKBONE, 64), build(BACKBONE, 64)
    saved.save_weights(tmp_path / "a.weights.h5")
    weights = find_weights(str(tmp_path / "a.weights.h5"), BACKBONE, 64)
    load_weights(other, weights, BACKBONE)
    assert all(map(np.array_equal, saved.get_weights(), other.get_weights()))


def test_a_missing_file_says_what_is_expected(tmp_path: Path, wording: str) -> None:
    with pytest.raises(WeightsError, match=wording):
        find_weights(str(tmp_path / "gone.h5"), BACKBONE, 64)


def test_a_folder_of_weights_is_looked_up_by_name_and_size(
    tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "mobilenet_v2_0.35_64_notop.weights.h5"
    shutil.copy(weights_file, wanted)
    (tmp_path / "mobilenet_v2_0.35_224_notop.weights.h5").write_bytes(b"another size")
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(tmp_path))
    assert find_weights("imagenet", BACKBONE, 64).path == wanted


def test_weights_of_the_usual_size_serve_other_sizes(
    tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / weights_file_name(BACKBONE, 224)
    shutil.copy(weights_file, usual)
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(tmp_path))
    weights = find_weights("imagenet", BACKBONE, 96)
    assert weights.path == usual
    load_weights(build(BACKBONE, 96), weights, BACKBONE)


def test_a_weights_folder_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wording: str
) -> None:
    monkeypatch.setenv("EDGETL_WEIGHTS_DIR", str(tmp_path / "gone"))
    with pytest.raises(WeightsError, match=wording):
        find_weights("imagenet", BACKBONE, 64)


def test_weights_of_another_architecture_are_named_with_a_remedy(weights_file: Path) -> None:
    other = find_backbone("mobilenet_v1_0.25")
    weights = find_weights(str(weights_file), other, 64)
    with pytest.raises(WeightsError) as caught:
        load_weights(build(other, 64), weights, other)
    assert f"{weights_file} does not fit mobilenet_v1_0.25" in str(caught.value)
    assert "choose another --backbone" in str(caught.value)


def test_weights_of_another_width_are_refused(weights_file: Path, wording: str) -> None:
    wider = find_backbone("mobilenet_v2_0.5")
    with pytest.raises(WeightsError, match=wording):
        load_weights(build(wider, 64), find_weights(str(weights_file), wider, 64), wider)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_truncated_weights_are_refused(
    tmp_path: Path, weights_file: Path, kept: float, wording: str
) -> None:
    data = weights_file.read_bytes()
    size = int(len(data) * kept) if kept < 1 else int(kept)
    short = tmp_path / "short.weights.h5"
    short.write_bytes(data[:size])
    with pytest.raises(WeightsError, match=wording):
        load_weights(build(BACKBONE, 64), find_weights(str(short), BACKBONE, 64), BACKBONE)


def test_weights_with_damaged_bytes_are_refused(
    tmp_path: Path, weights_file: Path, wording: str
) -> None:
    data = bytearray(weights_file.read_bytes())
    data[2000:6000] = bytes(255 - byte for byte in data[2000:6000])
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(data)
    with pytest.raises(WeightsError, match=wording):
        load_weights(build(BACKBONE, 64), find_weights(str(damaged), BACKBONE, 64), BACKBONE)


def test_a_picture_is_no_weights_file(photos: Path, wording: str) -> None:
    picture = next(photos.rglob("*.jpg"))
    with pytest.raises(WeightsError, match=wording):
        find_weights(str(picture), BACKBONE, 64)


def test_without_network_the_message_holds_three_remedies(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsError) as caught:
        find_weights("imagenet", BACKBONE, 224)
    for remedy in (
        "--weights FILE.weights.h5",
        "EDGETL_WEIGHTS_DIR to a folder with mobilenet_v2_0.35_224_notop.weights.h5",
        "--weights none",
    ):
        assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(own_cache.rglob("*.h5"))


def test_a_backbone_without_imagenet_weights_says_so(wording: str) -> None:
    with pytest.raises(WeightsError, match=wording):
        find_weights("imagenet", find_backbone("cnn"), 96)
