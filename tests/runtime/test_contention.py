import time

from edgetl_runtime.system.contention import Waiting, read_waited_s


def test_seconds_of_waiting_are_the_second_number(tmp_path):
    stat = tmp_path / "schedstat"
    stat.write_text("5000000000 2500000000 17\n")
    assert read_waited_s(stat) == 2.5


def test_a_system_that_does_not_tell_is_unknown(tmp_path):
    assert read_waited_s(tmp_path / "gone") is None
    odd = tmp_path / "odd"
    odd.write_text("\n")
    assert read_waited_s(odd) is None


def test_what_has_been_waited_is_never_less():
    first = read_waited_s()
    again = read_waited_s()
    assert first is None or first <= again


def test_the_share_of_waiting_is_that_of_the_time_since_then():
    waiting = Waiting()
    time.sleep(0.05)
    share = waiting.find_share()
    # Asleep it is not ready to run.
    assert share is None or 0 <= share < 0.9
