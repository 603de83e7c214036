"""Features: equal to what Keras computes, and never computed twice."""

import logging
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgetl.augmentation.strengths import LIGHT, PRESETS
from edgetl.augmentation.views import make_view
from edgetl.checksum import map_checksummed
from edgetl.dataset.manifest import scan_to_score
from edgetl.networks.backbones import build, find_backbone
from edgetl.networks.features import Extractor, FeatureRequest
from edgetl.networks.model import HEAD_CUT, Cut, build_extractor, build_upper, load_network
from edgetl.networks.weights import Weights, find_weights, load_weights
from edgetl_runtime.errors import FrameError, WeightsError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

BACKBONE = find_backbone("mobilenet_v2_0.35")
PREPROCESSING = Preprocessing(64, 64)
# Of the five taps three lie above it.
CUT = Cut("blocks", 4)


@pytest.fixture
def weights(weights_file: Path) -> Weights:
    return find_weights(str(weights_file), BACKBONE, 64)


@pytest.fixture(scope="session")
def converted(photos: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the converted networks, but no features."""
    cache = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(cache))
        weights = find_weights(str(weights_file), BACKBONE, 64)
        for cut in (HEAD_CUT, CUT):
            Extractor(BACKBONE, weights, PREPROCESSING, cut).extract(wanted(photos, 1))
    for shard in cache.rglob("*.features"):
        shard.unlink()
    return cache


@pytest.fixture
def extractor(converted: Path, own_cache: Path, weights: Weights) -> Extractor:
    shutil.copytree(converted, own_cache)
    return Extractor(BACKBONE, weights, PREPROCESSING)


@pytest.fixture
def mapper(extractor: Extractor, weights: Weights) -> Extractor:
    """An extractor of the maps at a cut among the blocks."""
    return Extractor(BACKBONE, weights, PREPROCESSING, CUT)


def list_keys(extractor: Extractor) -> list[str]:
    """Keys of all rows on the disk."""
    shards = extractor.folder.glob("*.features")
    return [key for path in shards for key in map_checksummed(path, dict)[0]["keys"]]


def wanted(photos: Path, count: int, views: int = 0) -> list[FeatureRequest]:
    manifest = scan_to_score(photos)
    return [
        FeatureRequest(manifest.file(one), one.sha256, views) for one in manifest.examples[:count]
    ]


def test_a_second_extraction_computes_nothing(extractor: Extractor, photos: Path) -> None:
    first = extractor.extract(wanted(photos, 8))
    second = extractor.extract(wanted(photos, 8))
    assert (first.cached, first.computed) == (0, 8)
    assert (second.cached, second.computed) == (8, 0)
    np.testing.assert_array_equal(first.rows, second.rows)


def test_a_second_extraction_needs_neither_photos_nor_weights(
    extractor: Extractor, photos_copy: Path
) -> None:
    asked = wanted(photos_copy, 3)
    first = extractor.extract(asked)
    shutil.rmtree(photos_copy)
    np.testing.assert_array_equal(extractor.extract(asked).rows, first.rows)


@pytest.mark.parametrize("kind", ["extractor", "mapper"])
def test_ten_more_photos_compute_ten(
    kind: str, photos: Path, request: pytest.FixtureRequest
) -> None:
    extractor = request.getfixturevalue(kind)
    extractor.extract(wanted(photos, 8))
    more = extractor.extract(wanted(photos, 18))
    assert (more.cached, more.computed) == (8, 10)
    assert len(list_keys(extractor)) == 18


def test_another_augmentation_computes_its_views_but_no_photo_again(
    extractor: Extractor, photos: Path, weights: Weights
) -> None:
    asked = wanted(photos, 5, views=2)
    light = extractor.extract(asked)
    heavy_extractor = Extractor(BACKBONE, weights, PREPROCESSING, augmentation=PRESETS["heavy"])
    assert heavy_extractor.folder == extractor.folder
    heavy = heavy_extractor.extract(asked)
    assert heavy.computed == 5
    assert len(list_keys(extractor)) == len(set(list_keys(extractor))) == 5 + 2 * 5 + 2 * 5
    one, other = np.stack(light.rows), np.stack(heavy.rows)
    np.testing.assert_array_equal(one[~light.is_view], other[~heavy.is_view])
    assert (one[light.is_view] != other[heavy.is_view]).any(axis=1).all()
    assert extractor.extract(asked).computed == 0


def test_mixing_batches_needs_no_other_views(
    extractor: Extractor, photos: Path, weights: Weights
) -> None:
    extractor.extract(wanted(photos, 3, views=1))
    mixing = msgspec.structs.replace(LIGHT, mixup=0.2, cutmix=1.0)
    mixed = Extractor(BACKBONE, weights, PREPROCESSING, augmentation=mixing)
    assert mixed.extract(wanted(photos, 3, views=1)).computed == 0


def test_a_damaged_shard_is_computed_again_with_one_warning(
    mapper: Extractor, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = [row.copy() for row in mapper.extract(wanted(photos, 6)).rows]
    (shard,) = mapper.folder.glob("*.features")
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = mapper.extract(wanted(photos, 6))
    assert again.computed == 6
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        f"discarding the damaged cache file {shard}"
    ]
    np.testing.assert_array_equal(again.rows, first)
    assert mapper.extract(wanted(photos, 6)).computed == 0


def test_maps_at_a_cut_lead_to_the_features_of_the_whole_network(
    mapper: Extractor, extractor: Extractor, photos: Path, weights: Weights
) -> None:
    asked = wanted(photos, 6, views=1)
    maps, features = mapper.extract(asked), extractor.extract(asked)
    assert {row.dtype for row in maps.rows} == {np.dtype(np.float16)}
    assert maps.owner.tolist() == features.owner.tolist()
    upper = build_upper(BACKBONE, load_network(BACKBONE, weights, 64), CUT)
    found = np.asarray(upper(np.stack(maps.rows).astype(np.float32)))
    whole = np.stack(features.rows)
    # Each number at the cut is kept with 11 bits.
    assert np.abs(found - whole).max() < 0.02 * whole.std()


def test_more_views_of_known_photos_compute_the_views_only(
    extractor: Extractor, photos: Path
) -> None:
    plain = extractor.extract(wanted(photos, 4))
    viewed = extractor.extract(wanted(photos, 4, views=2))
    assert np.shape(viewed.rows) == (12, len(plain.rows[0]))
    np.testing.assert_array_equal(np.stack(viewed.rows)[~viewed.is_view], plain.rows)


def test_rows_belong_to_their_photos(extractor: Extractor, photos: Path) -> None:
    asked = wanted(photos, 3, views=1)
    extracted = extractor.extract(asked)
    assert extracted.owner.tolist() == [0, 0, 1, 1, 2, 2]
    assert extracted.is_view.tolist() == [False, True] * 3
    backwards = extractor.extract(asked[::-1])
    np.testing.assert_array_equal(backwards.rows[4:], extracted.rows[:2])


def test_features_are_those_of_the_keras_model(
    extractor: Extractor, photos: Path, weights: Weights
) -> None:
    network = build(BACKBONE, 64)
    load_weights(network, weights, BACKBONE)
    model = build_extractor(BACKBONE, network, 64)
    asked = wanted(photos, 6, views=1)
    inputs = []
    for one in asked:
        photo = read_picture(one.file)
        inputs += [photo, make_view(photo, one.sha256, 1)]
    batch = np.stack([PREPROCESSING.apply(image) for image in inputs]).astype(np.float32)
    found = np.stack(extractor.extract(asked).rows)
    assert found.std() > 0.01
    np.testing.assert_allclose(found, model.predict_on_batch(batch), atol=1e-4)


def test_other_preprocessing_weights_backbone_or_cut_use_another_folder(
    own_cache: Path, weights: Weights
) -> None:
    other_weights = Weights("file", weights.path, "0" * 64)
    folders = {
        Extractor(BACKBONE, weights, PREPROCESSING).folder,
        Extractor(BACKBONE, weights, Preprocessing(64, 64, fit="crop")).folder,
        Extractor(BACKBONE, weights, Preprocessing(96, 96)).folder,
        Extractor(BACKBONE, other_weights, PREPROCESSING).folder,
        Extractor(find_backbone("mobilenet_v2_0.5"), weights, PREPROCESSING).folder,
        Extractor(BACKBONE, weights, PREPROCESSING, Cut("blocks", 1)).folder,
        Extractor(BACKBONE, weights, PREPROCESSING, Cut("blocks", 2)).folder,
    }
    assert len(folders) == 7
    assert all(own_cache in folder.parents for folder in folders)


def test_a_photo_that_went_away_is_named_and_the_others_are_kept(
    extractor: Extractor, photos_copy: Path
) -> None:
    asked = wanted(photos_copy, 6)
    asked[-1].file.unlink()
    with pytest.raises(FrameError, match=asked[-1].file.name):
        extractor.extract(asked)
    assert extractor.extract(asked[:-1]).computed == 0


def test_weights_of_another_backbone_are_refused(
    own_cache: Path, photos: Path, weights: Weights, wording: str
) -> None:
    other = Extractor(find_backbone("mobilenet_v1_0.25"), weights, PREPROCESSING)
    with pytest.raises(WeightsError, match=wording):
        other.extract(wanted(photos, 1))


def test_random_weights_are_refused(own_cache: Path, wording: str) -> None:
    with pytest.raises(ValueError, match=wording):
        Extractor(BACKBONE, Weights("none", None, "none"), PREPROCESSING)


def test_a_damaged_network_in_the_cache_is_converted_again(
    extractor: Extractor, photos: Path
) -> None:
    network = extractor.folder / "extractor.tflite"
    whole = network.read_bytes()
    os.truncate(network, len(whole) // 2)
    assert extractor.extract(wanted(photos, 1)).computed == 1
    assert len(network.read_bytes()) == len(whole)
