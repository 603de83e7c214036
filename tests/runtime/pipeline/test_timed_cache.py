from edgetl_runtime.pipeline.timed_cache import TimedCache


def test_a_value_is_read_once_while_it_is_cached():
    reads = []
    value = TimedCache(lambda: reads.append(1) or len(reads), every_s=3600)
    assert [value.get() for _ in range(5)] == [1] * 5


def test_a_value_is_read_again_when_its_time_is_over():
    reads = []
    value = TimedCache(lambda: reads.append(1) or len(reads), every_s=0)
    assert [value.get() for _ in range(3)] == [1, 2, 3]
