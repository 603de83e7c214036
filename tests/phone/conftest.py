"""The three browsers of the tests, and a film for the camera of Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browsers.browser import Browser, NotInstalledError
from tests.browsers.chromium import Chromium, camera_flags
from tests.phone.film import write_film


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's camera sees: a drawn part that wanders over the picture."""
    return write_film(tmp_path_factory.mktemp("film") / "film.y4m")


def _keep(start: Callable[[], Browser]) -> Iterator[Browser]:
    try:
        browser = start()
    except NotInstalledError as error:
        pytest.skip(str(error))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Browser]:
    yield from _keep(lambda: Chromium(tmp_path_factory.mktemp("chromium"), camera_flags(film)))


@pytest.fixture(scope="module")
def asking_chromium(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Browser]:
    """Whose pages get the camera only after `answer_camera("granted")`."""
    flags = camera_flags(film, granted=False)
    yield from _keep(lambda: Chromium(tmp_path_factory.mktemp("asking"), flags))


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    # websockets is no dependency of the device's tests, which read tests/conftest.py.
    from tests.browsers.firefox import Firefox

    yield from _keep(lambda: Firefox(tmp_path_factory.mktemp("firefox")))


@pytest.fixture(scope="module")
def webkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from tests.browsers.webkit import WebKit

    yield from _keep(lambda: WebKit(tmp_path_factory.mktemp("webkit")))


@pytest.fixture(scope="module", params=["chromium", "firefox", "webkit"])
def any_browser(request: pytest.FixtureRequest) -> Browser:
    """Each of the three, with a fake camera that pages may use."""
    browser: Browser = request.getfixturevalue(request.param)
    return browser
