"""The feature cache: what was saved survives, what is damaged is thrown away."""

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgetl.networks.cache import SHARD_ROWS, FeatureCache, cache_folder
from edgetl_runtime.errors import StorageError

WIDTH = 5


def row(number: int) -> np.ndarray:
    return np.arange(WIDTH, dtype=np.float32) + number


def save(folder: Path, *numbers: int) -> FeatureCache:
    cache = FeatureCache(folder)
    for number in numbers:
        cache.add(str(number), row(number))
    cache.save()
    return cache


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.features"))


def test_rows_survive_reopening(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3)
    found = FeatureCache(tmp_path).rows(["3", "1"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [row(3), row(1)])


def test_only_added_keys_are_known(tmp_path: Path) -> None:
    cache = save(tmp_path, 1)
    assert "1" in cache
    assert "2" not in cache


def test_a_full_shard_is_on_the_disk_without_saving(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    for number in range(SHARD_ROWS + 1):
        cache.add(str(number), row(number))
    again = FeatureCache(tmp_path)
    assert str(SHARD_ROWS - 1) in again
    assert str(SHARD_ROWS) not in again


def test_saving_nothing_writes_nothing(tmp_path: Path) -> None:
    FeatureCache(tmp_path).save()
    assert shards(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "noise"])
def test_a_damaged_shard_is_discarded_and_the_others_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    save(tmp_path, 1, 2)
    (victim,) = shards(tmp_path)
    save(tmp_path, 3)
    data = bytearray(victim.read_bytes())
    data[-3] ^= 1
    victim.write_bytes(
        {"cut": data[:-7], "flip": bytes(data), "empty": b"", "noise": b"\xff" * 99}[damage]
    )
    with caplog.at_level(logging.WARNING):
        cache = FeatureCache(tmp_path)
    assert str(victim) in caplog.text
    assert not victim.exists()
    assert "1" not in cache
    np.testing.assert_array_equal(cache.rows(["3"]), [row(3)])


def test_a_header_that_promises_other_rows_is_discarded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, 2)
    (victim,) = shards(tmp_path)
    victim.write_bytes(victim.read_bytes().replace(b'["1","2"]', b'["1","2","3"]'))
    assert "1" not in FeatureCache(tmp_path)
    assert "damaged" in caplog.text


def test_many_damaged_shards_give_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        save(tmp_path, number)
    for path in shards(tmp_path)[:2]:
        path.write_bytes(b"noise")
    with caplog.at_level(logging.WARNING):
        FeatureCache(tmp_path)
    (record,) = caplog.records
    assert "and 1 more" in record.getMessage()
    assert len(shards(tmp_path)) == 1


def test_float16_halves_the_shard_and_rounds_to_its_precision(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 3, (4, 1000)).astype(np.float32)
    sizes = {}
    for precision in ("float32", "float16"):
        cache = FeatureCache(tmp_path / precision, precision)
        for number, one in enumerate(values):
            cache.add(str(number), one)
        cache.save()
        again = FeatureCache(tmp_path / precision, precision).rows(map(str, range(4)))
        np.testing.assert_allclose(again, values, rtol=0 if precision == "float32" else 2**-11)
        (path,) = shards(tmp_path / precision)
        sizes[precision] = path.stat().st_size
    assert sizes["float16"] < 0.52 * sizes["float32"]


def test_rows_are_read_from_the_file_when_they_are_used(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    cache = FeatureCache(tmp_path)
    first, second = cache.views("12")
    assert not first.flags.owndata
    assert not first.flags.writeable
    np.testing.assert_array_equal([first, second], [row(1), row(2)])


def test_two_caches_share_a_folder(tmp_path: Path) -> None:
    one, two = FeatureCache(tmp_path), FeatureCache(tmp_path)
    one.add("1", row(1))
    two.add("2", row(2))
    two.save()
    one.save()
    np.testing.assert_array_equal(FeatureCache(tmp_path).rows("12"), [row(1), row(2)])


_ADD_FOREVER = """
import sys, numpy as np
from pathlib import Path
from edgetl.networks.cache import FeatureCache
cache, number = FeatureCache(Path(sys.argv[1])), 0
while True:
    cache.add(str(number), np.full(4000, number, np.float32))
    number += 1
    if number % 512 == 0: print(number, flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.005, 0.01, 0.02, 0.04])
def test_a_kill_loses_at_most_the_unsaved_shard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, delay_s: float
) -> None:
    command = [sys.executable, "-c", _ADD_FOREVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(3):
            saved = int(child.stdout.readline())
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
    cache = FeatureCache(tmp_path)
    rows = cache.rows(map(str, range(saved)))
    np.testing.assert_array_equal(rows[:, 0], np.arange(saved))
    assert caplog.text == ""


def test_leftovers_of_a_kill_are_not_read(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / f".{shards(tmp_path)[0].name}.x1y2").write_bytes(b"half")
    assert "1" in FeatureCache(tmp_path)


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("EDGETL_CACHE")
    assert cache_folder().name == "edgetl"


def test_a_folder_that_cannot_be_made_names_the_variable(tmp_path: Path, wording: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=wording):
        FeatureCache(tmp_path / "file" / "features")
