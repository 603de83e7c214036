"""What goes wrong on a phone, and what the page then says and does; in Chromium."""

import pytest

from edgetl_export.phone.serving import SiteServer
from tests.browsers.chromium import Chromium
from tests.phone.conftest import TINY
from tests.phone.doctoring import MODEL, change_manifest, find_folder, flip_byte
from tests.phone.driving import (
    ANSWERED,
    CHECKED,
    LABEL,
    LIVE,
    NOTHING,
    OFFLINE,
    OPEN_TRACKS,
    STATE,
    TEXT,
    allow,
    click,
)
from tests.phone.test_page import classify
from tests.waiting import wait_until

GOLDEN = TINY / "golden" / "0.png"


@pytest.fixture
def live(phone: Chromium, served: SiteServer) -> Chromium:
    """The page with its camera on, and a first answer."""
    allow(phone, served.url)
    phone.open(served.url)
    phone.wait_for(LIVE, 60)
    return phone


class TestCamera:
    def test_a_denied_one_is_explained_and_starts_once_it_is_allowed(self, phone, served):
        allow(phone, served.url, "denied")
        phone.open(served.url)
        phone.wait_for(f"{STATE} === 'ready'", 60)
        click(phone, "start")
        phone.wait_for(f"{STATE} === 'stopped'")
        assert "allow it for this page in the browser's settings" in phone.evaluate(TEXT)
        assert phone.evaluate("document.getElementById('start').textContent") == "Try again"
        allow(phone, served.url)
        phone.wait_for(LIVE)

    def test_one_in_use_is_explained_and_tried_again(self, live):
        live.evaluate("window.trouble = 'NotReadableError'")
        click(live, "switch")
        live.wait_for(f"{STATE} === 'stopped'")
        assert live.evaluate(TEXT) == "Another app uses the camera; close it, then try again."
        live.evaluate("window.trouble = ''")
        click(live, "start")
        live.wait_for(LIVE)

    def test_one_that_is_taken_away_is_noticed(self, live, served):
        # The browser ends the track, as when a person withdraws the permission.
        allow(live, served.url, "denied")
        live.wait_for(f"{STATE} === 'stopped'")
        assert "taken away or switched off" in live.evaluate(TEXT)
        assert live.evaluate(LABEL) == NOTHING
        allow(live, served.url)
        live.wait_for(LIVE)

    def test_it_is_asked_for_once_a_visit(self, live):
        for _ in range(2):
            click(live, "freeze")
            live.wait_for(f"{STATE} === 'frozen'")
            click(live, "freeze")
            live.wait_for(f"{STATE} === 'live'")
        live.choose_file("#file", GOLDEN)
        live.wait_for(f"{STATE} === 'photo' && {ANSWERED}")
        click(live, "freeze")
        live.wait_for(LIVE)
        assert live.evaluate("asked") == 1

    def test_switching_in_haste_leaves_one_open(self, live):
        live.evaluate("for (let i = 0; i < 3; i++) document.getElementById('switch').click()")
        live.wait_for("streams.length === 4")
        live.wait_for(LIVE)
        assert live.evaluate(OPEN_TRACKS) == 1


def test_a_hidden_page_classifies_nothing_and_goes_on_when_it_is_shown(live):
    other = live.call("Target.createTarget", session="", url="about:blank")["targetId"]
    live.call("Target.activateTarget", session="", targetId=other)
    live.wait_for("document.hidden")
    # What was under way when it was hidden ends.
    before = live.evaluate("new Promise((done) => setTimeout(() => done(sent), 500))")
    assert live.evaluate("new Promise((done) => setTimeout(() => done(sent), 2000))") == before
    live.call("Target.closeTarget", session="", targetId=other)
    live.call("Page.bringToFront")
    live.wait_for(f"!document.hidden && sent > {before} + 5 && {ANSWERED}")
    assert live.evaluate("asked") == 1


class TestWorker:
    def test_one_that_dies_is_noticed_and_checked_again(self, live):
        (old,) = live.workers()
        live.evaluate("self.close()", session=old)
        live.wait_for(f"{STATE} === 'loading'")
        live.wait_for(LIVE)
        assert live.evaluate(CHECKED) == "Model checked"
        assert live.evaluate("asked") == 1
        assert old not in live.workers()
        assert classify(live, GOLDEN)["label"]

    def test_one_that_dies_again_at_once_ends_it(self, live):
        for expected in ("live", "failed"):
            live.wait_for(f"{STATE} === 'live'")
            (worker,) = live.workers()
            live.evaluate("self.close()", session=worker)
            live.wait_for(f"{STATE} === 'loading' || {STATE} === 'failed'")
            live.wait_for(f"{STATE} === {expected!r}")
        assert "the model's worker ended" in live.evaluate(TEXT).lower()
        assert live.evaluate(OPEN_TRACKS) == 0
        assert live.evaluate("edgetl.ready.catch(({name}) => name)") == "EdgetlError"


class TestStorage:
    def test_without_room_the_page_classifies_and_says_what_will_not_work(self, phone, host):
        origin = host.url.rstrip("/")
        phone.call("Storage.overrideQuotaForOrigin", origin=origin, quotaSize=1)
        allow(phone, host.url)
        phone.open(host.url)
        phone.wait_for(LIVE, 60)
        phone.wait_for(OFFLINE)
        assert "has no room" in phone.evaluate(OFFLINE)
        click(phone, "keep")
        phone.wait_for("document.getElementById('label-it').open")
        click(phone, "label-save")
        trouble = "document.getElementById('label-trouble').textContent"
        phone.wait_for(trouble)
        expected = "no room for another frame; hand the kept ones on and delete them"
        assert expected in phone.evaluate(trouble)
        phone.call("Storage.overrideQuotaForOrigin", origin=origin)
        click(phone, "label-save")
        phone.wait_for("!document.getElementById('label-it').open")


class TestDamage:
    @pytest.mark.parametrize(
        "name",
        [
            MODEL,
            "bundle/golden/3.png",
            "bundle/bundle.json",
            "worker.js",
            "style.css",
            "litert/litert_wasm_internal.wasm",
            "litert/litert_wasm_internal.js",
        ],
    )
    def test_a_flipped_bit_on_the_server_is_refused(self, phone, host, own_site, name):
        flip_byte(find_folder(own_site) / name)
        phone.open(host.url)
        phone.wait_for(f"{STATE} === 'failed'", 60)
        text = phone.evaluate(TEXT)
        assert f"The file {name} is damaged on the server" in text
        assert "write the page again with: edgetl phone" in text
        assert phone.evaluate("edgetl.ready.then(() => 'named', () => 'refused')") == "refused"
        assert phone.evaluate(LABEL) == NOTHING

    def test_once_the_server_is_mended_a_reload_helps(self, phone, own_site):
        file = find_folder(own_site) / MODEL
        good = file.read_bytes()
        with SiteServer(own_site, port=0, secure=False) as server:
            flip_byte(file)
            phone.open(server.url)
            phone.wait_for(f"{STATE} === 'failed'", 60)
            file.write_bytes(good)
            # Not what the browser was told to keep for a year.
            phone.open(server.url)
            assert phone.evaluate("edgetl.ready.then(({golden}) => golden)") == "passed"

    def test_a_flipped_bit_of_the_program_leaves_a_text(self, phone, host, own_site):
        flip_byte(find_folder(own_site) / "app.js")
        phone.open(host.url)
        assert phone.evaluate("typeof edgetl") == "undefined"
        shown = phone.evaluate("document.body.innerText")
        assert "one of its files is missing or damaged: connect to the network" in shown

    @pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
    def test_a_page_that_was_cut_leaves_a_text(self, phone, host, own_site, share):
        index = own_site / "index.html"
        data = index.read_bytes()
        index.write_bytes(data[: int(len(data) * share)])
        phone.open(host.url)
        assert phone.evaluate("typeof edgetl") == "undefined"
        assert "missing or damaged" in phone.evaluate("document.body.innerText")

    def test_a_bundle_of_a_newer_format_asks_for_an_upgrade(self, phone, host, own_site):
        change_manifest(own_site, lambda manifest: manifest.update(format_version=5))
        phone.open(host.url)
        phone.wait_for(f"{STATE} === 'failed'", 60)
        assert "has format 5, this page reads 3 and 4; upgrade edgetl" in phone.evaluate(TEXT)

    def test_golden_frames_that_fail_name_nothing(self, phone, host, own_site):
        def mix_up(manifest: dict) -> None:
            for variant in manifest["variants"]:
                variant["golden_scores"] = [one[::-1] for one in variant["golden_scores"]]

        change_manifest(own_site, mix_up)
        allow(phone, host.url)
        phone.open(host.url)
        phone.wait_for(f"{STATE} === 'failed'", 60)
        assert "golden frames differ by" in phone.evaluate(TEXT)
        assert phone.evaluate(CHECKED) == "Not checked"
        assert phone.evaluate("edgetl.ready.catch(({message}) => message)") in (
            phone.evaluate("edgetl.classify(new Blob()).catch(({message}) => message)")
        )
        assert phone.evaluate("asked") == 0
        wait_until(lambda: not phone.workers(), "the worker's end")
