"""A crew: work is shared out, and comes back whole, in order, and the same as from one worker."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgetl_export.evaluate import scoring
from edgetl_export.evaluate.engine_pool import share_out
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.system.allotment import count_processors

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"


def hire() -> Callable[[int], int]:
    return lambda item: item * item


def test_results_come_in_the_order_of_the_items() -> None:
    def hire_sleeper() -> Callable[[int], int]:
        def sleep(item: int) -> int:
            time.sleep(0.002 * (item % 3))
            return item * item

        return sleep

    assert list(share_out(hire_sleeper, range(40))) == [item * item for item in range(40)]


def test_nobody_is_hired_without_work() -> None:
    assert list(share_out(lambda: pytest.fail("hired"), [])) == []


def test_each_processor_has_one_worker_at_most() -> None:
    hired = []

    def count() -> Callable[[int], int]:
        hired.append(threading.get_ident())
        return hire()

    list(share_out(count, range(100)))
    assert len(hired) == min(8, count_processors())
    assert set(hired) == {threading.get_ident()}


def test_a_worker_does_one_thing_at_a_time() -> None:
    def hire_single() -> Callable[[int], None]:
        lock = threading.Lock()

        def work(item: int) -> None:
            assert lock.acquire(blocking=False)
            time.sleep(0.001)
            lock.release()

        return work

    assert len(list(share_out(hire_single, range(50)))) == 50


def test_an_error_comes_where_its_result_would() -> None:
    def hire_failing() -> Callable[[int], int]:
        return lambda item: 1 // (item - 5)

    results = share_out(hire_failing, range(100))
    assert [next(results) for _ in range(5)] == [-1, -1, -1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("name", ["litert-float32", "litert-int8", "onnx-float32", "onnx-int8"])
def test_scores_are_those_of_one_engine_on_one_processor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(TINY)
    variant = bundle.variant(name)
    model, tensors = bundle.read(variant), (variant.input, variant.output)
    engine = open_engine(variant.engine, model, tensors, 1)
    shape = (30, bundle.manifest.preprocessing.height_px, bundle.manifest.preprocessing.width_px, 3)
    pictures = [*np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)]
    wanted = np.stack([engine.run(picture) for picture in pictures])
    for processors in ({0}, os.sched_getaffinity(0), set(range(16))):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, found=processors: found)
        found = scoring.run_described(variant.engine, model, tensors, pictures)
        np.testing.assert_array_equal(found, wanted)
