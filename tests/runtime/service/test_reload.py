import threading

import pytest

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.service import reload
from edgetl_runtime.service.reload import Reloader

HANG_S = 20


class Told:
    """Keeps what the reloader says."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._more = threading.Condition()

    def __call__(self, problem: str) -> None:
        with self._more:
            self.problems.append(problem)
            self._more.notify()
        if problem:
            raise BrokenPipeError

    def wait_for(self, count: int) -> list[str]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.problems) >= count, HANG_S)
        return self.problems


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def reloader(told):
    reloader = Reloader(lambda classifier: None, on_end=told)
    yield reloader
    reloader.close()


def failing(error):
    def job():
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ServiceError("no engine"), "no engine"),
        (MemoryError(), "not enough memory for a second model"),
        (FileNotFoundError(2, "gone"), "the reload failed (FileNotFoundError: [Errno 2] gone); "),
        (KeyError("x"), "the reload failed (KeyError: 'x'); please report it"),
    ],
)
def test_whatever_fails_is_told_and_the_next_request_is_heard(reloader, told, error, problem):
    reloader.request(failing(error))
    assert told.wait_for(1)[0].startswith(problem)
    assert reloader.problem.startswith(problem)
    reloader.request(lambda: None)
    assert told.wait_for(2)[1] == reloader.problem == ""


def test_what_changes_by_itself_is_done_without_a_request(told, monkeypatch):
    monkeypatch.setattr(reload, "LOOK_EVERY_S", 0.01)
    taken, looks = [], iter([None, "fails", "found"])

    def look():
        seen = next(looks, None)
        if seen == "fails":
            raise OSError(5, "a disk that is away")
        return seen and (lambda: seen)

    reloader = Reloader(taken.append, on_end=told, look=look)
    told.wait_for(1)
    reloader.close()
    assert (taken, told.problems) == (["found"], [""])
