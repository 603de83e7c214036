"""A data set larger than memory trains: rows stay on the disk until a batch needs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Rows of float16, three times as large as the room that the process is given.
_ROOM_MIB, _ROWS_MIB = 300, 900
_FIT = """
import json, resource, sys
from pathlib import Path
import numpy as np
from edgetl.networks.cache import FeatureCache
from edgetl.training.checkpoint import Checkpoints
from edgetl.training.fitting import Fitter
from edgetl.training.steps import Stage
from edgetl.networks.head import build_head
from edgetl.options import HeadOptions, FittingOptions
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import CachedRows

folder, room_mib, rows_mib, copying = Path(sys.argv[1]), *map(int, sys.argv[2:])
WIDTH = 20_000
count = (rows_mib << 20) // (2 * WIDTH)
cache, random = FeatureCache(folder / "features", "float16"), np.random.default_rng(0)
noise = random.standard_normal(2 * WIDTH, np.float32)
for n in range(count):
    cache.add(str(n), noise[n % WIDTH :][:WIDTH])
cache.save()
cache = FeatureCache(folder / "features", "float16")

def make_source(numbers):
    rows = cache.views(map(str, numbers))
    if copying:
        rows = [row.copy() for row in rows]
    return CachedRows(rows, np.arange(len(rows)), np.array(numbers) % 3)

def read_data_bytes():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmData"].split()[0]) << 10

head = build_head((np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32)), 3, HeadOptions())
recipe = make_recipe("blocks", FittingOptions(batch=128), epochs=1)

def fit(part, name):
    stage = Stage(0, "head", head, 3, make_source(part), make_source(part[::10]), recipe)
    return Fitter(Checkpoints(folder / name), seed=0).fit(stage)

# TensorFlow's threads and arenas come with the first steps.
everyone = range(count)
fit(everyone[:400], "warm")
resource.setrlimit(resource.RLIMIT_DATA, (read_data_bytes() + (room_mib << 20),) * 2)
history = fit(everyone, "checkpoints")
print(json.dumps(history.curves["loss"]))
"""


def fit_within(folder: Path, *, copying: bool) -> "subprocess.CompletedProcess[str]":
    numbers = map(str, (_ROOM_MIB, _ROWS_MIB, int(copying)))
    command = [sys.executable, "-c", _FIT, str(folder), *numbers]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is one of Linux")
def test_rows_that_do_not_fit_into_memory_are_fitted(tmp_path: Path) -> None:
    done = fit_within(tmp_path, copying=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout)) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is one of Linux")
def test_the_limit_stops_a_process_that_copies_the_rows(tmp_path: Path) -> None:
    done = fit_within(tmp_path, copying=True)
    assert done.returncode != 0
    assert "MemoryError" in done.stderr
