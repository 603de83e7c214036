"""The browsers themselves: that tests can drive them, and what the page may rely on."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.browsers.browser import ScriptError
from tests.browsers.film import draw_film, write_film
from tests.browsers.hosting import Host
from tests.waiting import wait_until

# (func (export "ones") (result i32)
#   i32.const 3  i8x16.splat  i8x16.popcnt  i8x16.extract_lane_u 0)
SIMD = bytes.fromhex(
    "0061736d01000000 010501600001 7f 03020100 0708 01046f6e6573 0000"
    "0a0d 010b00 4103 fd0f fd62 fd1600 0b"
)
RUN_SIMD = f"""WebAssembly.instantiate(new Uint8Array({list(SIMD)}))
    .then((made) => made.instance.exports.ones())"""
# What the phone's page says of itself.
POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
PAGE = "<!doctype html><title>A page</title><input type=file id=file><video id=video muted></video>"
STRICT = f'<!doctype html><meta http-equiv=Content-Security-Policy content="{POLICY}">'
SERVICE_WORKER = """
self.addEventListener("install", (event) => event.waitUntil(
    caches.open("all").then((cache) => cache.addAll(["./", "kept.txt"]))));
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => event.respondWith(
    caches.match(event.request).then((kept) => kept || fetch(event.request))));
"""
SCRIPT = "window.ran = 'it ran';"
PLAY = """navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}}).then((stream) => {
    video.srcObject = stream;
    return video.play();
}).then(() => [video.videoWidth, video.videoHeight])"""
# The camera's picture, as a PNG's address.
LOOK = """new Promise((done) => video.requestVideoFrameCallback(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [640, 480];
    canvas.getContext("2d").drawImage(video, 0, 0);
    done(canvas.toDataURL());
}))"""
ASK = """navigator.mediaDevices.getUserMedia({video: true}).then((stream) => {
    window.track = stream.getTracks()[0];
    return track.readyState;
}, (error) => error.name)"""


def in_worker(code: str, sent: str = "null") -> str:
    """The expression of what a classic worker, made of a blob, answers.

    Args:
        code: Whose function `work` takes what is sent, and returns the answer or its promise.
        sent: The expression of what is sent.
    """
    listen = """onmessage = async (event) => {
        try { postMessage({value: await work(event.data)}); }
        catch (error) { postMessage({error: String(error)}); }
    };"""
    blob = f"new Blob([{json.dumps(code + listen)}], {{type: 'text/javascript'}})"
    return f"""new Promise((done, fail) => {{
        const worker = new Worker(URL.createObjectURL({blob}));
        worker.onmessage = (event) => {{
            worker.terminate();
            if ("error" in event.data) fail(new Error(event.data.error));
            else done(event.data.value);
        }};
        worker.onerror = (event) => fail(new Error(event.message));
        Promise.resolve({sent}).then((value) => worker.postMessage(value));
    }})"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("site")) as site:
        (site.folder / "index.html").write_text(PAGE)
        (site.folder / "strict.html").write_text(STRICT)
        (site.folder / "script.js").write_text(SCRIPT)
        yield site


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a file of another origin, which all may read."""
    with Host(tmp_path_factory.mktemp("elsewhere")) as site:
        (site.folder / "file.txt").write_text("read")
        yield site.url + "file.txt"


def test_a_browser_evaluates_and_awaits(any_browser, site) -> None:
    any_browser.open(site.url)
    assert any_browser.evaluate("document.title") == "A page"
    assert any_browser.evaluate("Promise.resolve({a: [1, 'ü', null]})") == {"a": [1, "ü", None]}
    assert any_browser.evaluate("undefined") is None


def test_what_is_thrown_is_reported(any_browser, site) -> None:
    any_browser.open(site.url)
    with pytest.raises(ScriptError, match="no such thing"):
        any_browser.evaluate("Promise.reject(new Error('no such thing'))")
    with pytest.raises(ScriptError, match="nowhere"):
        any_browser.evaluate("nowhere.at.all")


def test_complaints_are_heard(any_browser, site) -> None:
    any_browser.open(site.url)
    assert any_browser.complaints() == []
    any_browser.evaluate("console.error('of the console')")
    any_browser.evaluate("setTimeout(() => { throw new Error('not caught'); }, 0)")
    any_browser.evaluate("void Promise.reject(new Error('not awaited'))")
    any_browser.evaluate("new Promise((done) => setTimeout(done, 200))")
    heard = any_browser.complaints()
    assert len(heard) == 3
    for words in ("of the console", "not caught", "not awaited"):
        assert words in str(heard)


def test_a_file_is_chosen_and_the_window_is_seen(any_browser, site, tmp_path: Path) -> None:
    (tmp_path / "chosen.txt").write_text("what it holds")
    any_browser.open(site.url)
    any_browser.choose_file("#file", tmp_path / "chosen.txt")
    assert any_browser.evaluate("file.files[0].text()") == "what it holds"
    shot = cv2.imdecode(np.frombuffer(any_browser.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    # WebKit's window has a bar above.
    assert shot.shape[1] == 1200
    assert 800 <= shot.shape[0] <= 900


def test_a_worker_runs_webassembly_with_simd(any_browser, site) -> None:
    any_browser.open(site.url)
    assert any_browser.evaluate(RUN_SIMD) == 2
    assert any_browser.evaluate(in_worker(f"const work = () => {RUN_SIMD};")) == 2


def test_a_worker_imports_a_script_of_a_blob(any_browser, site) -> None:
    any_browser.open(site.url)
    code = "const work = (address) => { importScripts(address); return self.imported; };"
    blob = "URL.createObjectURL(new Blob(['self.imported = 7'], {type: 'text/javascript'}))"
    assert any_browser.evaluate(in_worker(code, blob)) == 7


def test_a_page_hashes(any_browser, site) -> None:
    any_browser.open(site.url)
    digest = "crypto.subtle.digest('SHA-256', new Uint8Array([1, 2, 3]))"
    numbers = any_browser.evaluate(f"{digest}.then((all) => Array.from(new Uint8Array(all)))")
    assert bytes(numbers) == hashlib.sha256(bytes([1, 2, 3])).digest()


def test_a_worker_decodes_a_png_exactly(any_browser, site) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    cv2.imwrite(str(site.folder / "picture.png"), picture[..., ::-1])
    code = """const work = async (blob) => {
        const how = {colorSpaceConversion: "none", premultiplyAlpha: "none"};
        const bitmap = await createImageBitmap(blob, how);
        const {width, height} = bitmap;
        const context = new OffscreenCanvas(width, height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        return [width, height, Array.from(context.getImageData(0, 0, width, height).data)];
    };"""
    any_browser.open(site.url)
    blob = "fetch('picture.png').then((answer) => answer.blob())"
    width, height, levels = any_browser.evaluate(in_worker(code, blob))
    read = np.array(levels, np.uint8).reshape(height, width, 4)
    np.testing.assert_array_equal(read[..., :3], picture)
    assert (width, height) == (53, 37)


def test_a_page_opens_while_its_server_is_stopped(any_browser, tmp_path: Path) -> None:
    with Host(tmp_path) as site:
        (site.folder / "index.html").write_text(PAGE)
        (site.folder / "kept.txt").write_text("kept")
        (site.folder / "sw.js").write_text(SERVICE_WORKER)
        any_browser.open(site.url)
        any_browser.evaluate("navigator.serviceWorker.register('sw.js').then(() => 1)")
        any_browser.wait_for("navigator.serviceWorker.controller")
    any_browser.open(site.url)
    assert any_browser.evaluate("document.title") == "A page"
    assert any_browser.evaluate("fetch('kept.txt').then((one) => one.text())") == "kept"
    with pytest.raises(ScriptError):
        any_browser.evaluate("fetch('other.txt').then((one) => one.text())")


def test_only_a_script_of_the_given_hash_runs(any_browser, site) -> None:
    any_browser.open(site.url)
    for content, ran in ((SCRIPT, "it ran"), ("something else", None)):
        digest = hashlib.sha256(content.encode()).digest()
        any_browser.evaluate(
            f"""new Promise((done) => {{
                window.ran = null;
                const script = document.createElement("script");
                script.integrity = "sha256-" + btoa(String.fromCharCode(...{list(digest)}));
                script.onload = script.onerror = () => done();
                script.src = "script.js";
                document.head.append(script);
            }})"""
        )
        assert any_browser.evaluate("window.ran") == ran


def read_address(address: str) -> npt.NDArray[np.uint8]:
    """BGR levels of a PNG's data address."""
    data = base64.b64decode(address.partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return picture.astype(np.uint8, copy=False)


def test_the_fake_camera_moves(any_browser, site) -> None:
    any_browser.open(site.url)
    assert any_browser.evaluate(PLAY) == [640, 480]
    first = read_address(any_browser.evaluate(LOOK))
    any_browser.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert np.any(first != read_address(any_browser.evaluate(LOOK)))


def test_the_policy_lets_webassembly_run(any_browser, site) -> None:
    any_browser.open(site.url + "strict.html")
    assert any_browser.evaluate(RUN_SIMD) == 2
    assert any_browser.evaluate(in_worker(f"const work = () => {RUN_SIMD};")) == 2
    assert any_browser.complaints() == []


def test_the_policy_binds_workers_of_blobs(any_browser, site, elsewhere) -> None:
    fetching = "const work = (address) => fetch(address).then((one) => one.text());"
    own, foreign = (
        in_worker(fetching, repr(address)) for address in (site.url + "script.js", elsewhere)
    )
    any_browser.open(site.url)
    assert any_browser.evaluate(foreign) == "read"
    any_browser.open(site.url + "strict.html")
    assert any_browser.evaluate(own) == SCRIPT
    with pytest.raises(ScriptError):
        any_browser.evaluate(foreign)
    with pytest.raises(ScriptError):
        any_browser.evaluate(f"fetch({elsewhere!r}).then((one) => one.text())")


def test_chromium_sees_the_film(chromium, site) -> None:
    chromium.open(site.url)
    chromium.evaluate(PLAY)
    seen = read_address(chromium.evaluate(LOOK)).astype(np.int16)
    # Colours have half the resolution on the way.
    assert min(np.abs(seen - one).mean() for one in draw_film(30)) < 3


@pytest.mark.real_data
def test_a_film_shows_a_video(real_data: Path, tmp_path: Path) -> None:
    video = real_data / "videos" / "bottle-detection.mp4"
    film = write_film(tmp_path / "film.y4m", video, frames=3)
    (_, wanted), (_, shown) = (cv2.VideoCapture(str(one)).read() for one in (video, film))
    wanted = cv2.resize(wanted, (640, 480)).astype(np.int16)
    assert np.abs(shown - wanted).mean() < 3


def test_chromium_answers_for_the_camera(asking_chromium, site) -> None:
    asking_chromium.open(site.url)
    asking_chromium.answer_camera("denied")
    assert asking_chromium.evaluate(ASK) == "NotAllowedError"
    asking_chromium.answer_camera("granted")
    assert asking_chromium.evaluate(ASK) == "live"
    asking_chromium.answer_camera("denied")
    asking_chromium.wait_for("track.readyState === 'ended'")


def test_chromium_is_a_phone_and_is_none(chromium, site) -> None:
    (site.folder / "wide.html").write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
    )
    pointer = "matchMedia('(pointer: coarse)').matches"
    size = f"[innerWidth, innerHeight, navigator.maxTouchPoints, {pointer}]"
    chromium.open(site.url + "wide.html", width=390, height=844, phone=True)
    assert chromium.evaluate(size) == [390, 844, 5, True]
    # A page that says nothing of its width gets a desktop's, made small.
    chromium.open(site.url, width=390, height=844, phone=True)
    assert chromium.evaluate("innerWidth") == 980
    chromium.open(site.url + "wide.html")
    assert chromium.evaluate(size) == [1200, 900, 0, False]


def test_chromium_hides_and_shows_its_page(chromium, site) -> None:
    chromium.open(site.url)
    chromium.hide()
    chromium.wait_for("document.visibilityState === 'hidden'")
    chromium.show()
    chromium.wait_for("document.visibilityState === 'visible'")


def test_chromium_counts_the_memory_of_page_and_worker(chromium, site) -> None:
    chromium.open(site.url)
    chromium.evaluate("window.worker = new Worker('data:text/javascript,'), 0")
    wait_until(chromium.workers, "the worker")
    (session,) = chromium.workers()
    before = chromium.memory()
    chromium.evaluate("self.some = new WebAssembly.Memory({initial: 100}), 0", session=session)
    chromium.evaluate("self.more = new Uint8Array(1e7).fill(1), 0", session=session)
    chromium.evaluate("window.some = new WebAssembly.Memory({initial: 50}), 0")
    after = chromium.memory()
    assert after["wasm"] - before["wasm"] == 150 * 65536
    assert after["buffers"] - before["buffers"] == pytest.approx(1e7, rel=0.01)
    chromium.evaluate("delete self.some; delete self.more", session=session)
    chromium.evaluate("worker.terminate(); delete window.some")
    wait_until(lambda: not chromium.workers(), "the worker's end")
    assert chromium.memory()["wasm"] == before["wasm"]


def test_chromium_is_stopped_again_and_again_when_slowed(chromium, site) -> None:
    chromium.open(site.url)
    slowness = chromium.slow_down(4)
    states = [Path(f"/proc/{one}/stat") for one in slowness.processes]
    assert states
    with slowness:
        for state in states:
            wait_until(lambda file=state: ") T " in file.read_text(), "a stop")
        assert chromium.evaluate(in_worker("const work = () => 7;")) == 7
    assert not any(") T " in state.read_text() for state in states)
