"""The three browsers of the tests, a film for the camera of Chromium, and the page itself."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgetl_export.phone.page import is_built
from edgetl_export.phone.serving import SiteServer
from edgetl_export.phone.site import write_site
from edgetl_runtime.bundle.reader import Bundle
from tests.browsers.browser import Browser, NotInstalledError
from tests.browsers.chromium import Chromium, camera_flags
from tests.browsers.film import write_film
from tests.browsers.hosting import Host
from tests.phone.driving import start_phone
from tests.phone.twin import Node


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's camera sees: a drawn part that wanders over the picture."""
    return write_film(tmp_path_factory.mktemp("film") / "film.y4m")


TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"
"""Of format 3, as a model that cannot be taught."""
LEARNING = TINY.with_name("learning.bundle")


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The page's own code in Node.js: `node(NAME, *ARGUMENTS)`; see phone/test/twin.ts."""
    node = Node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture(scope="session")
def page() -> None:
    """The built page; its tests skip where it is not there."""
    if not is_built():
        pytest.skip("the phone's page is not built; npm is not installed")


@pytest.fixture(scope="session")
def site(page: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the tiny bundle; not to be changed."""
    return write_site(Bundle.open(TINY), tmp_path_factory.mktemp("site") / "site").path


@pytest.fixture
def own_site(site: Path, tmp_path: Path) -> Path:
    """A copy of the site that a test may damage."""
    return Path(shutil.copytree(site, tmp_path / "site"))


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[SiteServer]:
    """The site, served on localhost, which browsers take for secure."""
    with SiteServer(site, port=0, secure=False) as server:
        yield server


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
def phone(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Browser]:
    """Chromium with two cameras, which pages may use once a test allows it."""
    yield from _keep(lambda: start_phone(tmp_path_factory.mktemp("phone"), film))


@pytest.fixture
def host(own_site: Path) -> Iterator[Host]:
    """A host of a copy of the site; both may be damaged."""
    with Host(own_site) as one:
        yield one


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
