import itertools
from contextlib import suppress

import msgspec
import numpy as np
import pytest

from edgetl_runtime.engines.tensors import TensorSpec, check_tensor, only, picture_size
from edgetl_runtime.errors import EngineError

SCORES = TensorSpec("scores", (1, 3), "float32", "nc")


@pytest.mark.parametrize(
    ("shape", "layout", "size"),
    [
        ((1, 20, 30, 3), "nhwc", (20, 30)),
        ((1, 3, 20, 30), "nchw", (20, 30)),
        ((1, 20, 30, 3), "nchw", None),
        ((2, 20, 30, 3), "nhwc", None),
        ((1, 20, 30, 1), "nhwc", None),
        ((1, 3), "nc", None),
    ],
)
def test_picture_size_is_height_and_width(shape, layout, size):
    assert picture_size(TensorSpec("image", shape, "uint8", layout)) == size


@pytest.mark.parametrize("kind", [tuple, np.int32, np.int64])
def test_of_all_sizes_only_the_promised_one_is_accepted(kind):
    accepted = []
    for shape in itertools.product(range(5), repeat=2):
        with suppress(EngineError):
            check_tensor(SCORES, shape if kind is tuple else np.array(shape, kind), np.float32)
            accepted.append(shape)
    assert accepted == [(1, 3)]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 4), np.float32), ((3,), np.float32), ((1, 3), np.uint8), ((-1, 3), np.float32)],
)
def test_another_tensor_is_refused_and_both_are_named(shape, dtype, wording):
    with pytest.raises(EngineError, match=wording) as error:
        check_tensor(SCORES, shape, dtype)
    assert str(tuple(shape)) in str(error.value)


def test_the_only_tensor_is_handed_out():
    assert only(["a"], "input") == "a"


@pytest.mark.parametrize("tensors", [[], ["a", "b"]])
def test_several_tensors_are_refused(tensors):
    with pytest.raises(EngineError, match=f"{len(tensors)} inputs, expected 1"):
        only(tensors, "input")


@pytest.mark.parametrize(
    "change", [{"dtype": "int64"}, {"layout": "hw"}, {"shape": [0, 3]}, {"color": "rgb"}]
)
def test_a_spec_that_no_engine_takes_is_refused(change):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(SCORES) | change, TensorSpec)
