"""What tests ask of the page, and how they use it as a person does."""

from pathlib import Path

from tests.browsers.browser import Browser
from tests.browsers.chromium import Chromium, camera_flags

STATE = "document.body.dataset.state"
LABEL = "document.getElementById('label').textContent"
# The label's place while there is nothing to say.
NOTHING = "\u2013"
ANSWERED = f"{LABEL} !== '{NOTHING}'"
LIVE = f"{STATE} === 'live' && {ANSWERED}"
CHECKED = "document.getElementById('checked-text').textContent"
TEXT = "document.getElementById('veil-text').textContent"
OFFLINE = "document.getElementById('about').dataset.offline"
# Counts what the page asks of the browser and of its worker, and keeps the cameras it was given.
COUNTING = """
window.asked = 0; window.sent = 0; window.streams = [];
const {mediaDevices} = navigator;
const request = mediaDevices.getUserMedia.bind(mediaDevices);
mediaDevices.getUserMedia = async (...options) => {
  window.asked++;
  if (window.trouble) throw new DOMException('', window.trouble);
  const stream = await request(...options);
  window.streams.push(stream);
  return stream;
};
const {postMessage} = Worker.prototype;
Worker.prototype.postMessage = function (message, ...more) {
  if (message.name === 'classify') window.sent++;
  return postMessage.call(this, message, ...more);
};
"""
OPEN_TRACKS = (
    "streams.flatMap((one) => one.getTracks()).filter((one) => one.readyState === 'live').length"
)


def start_phone(folder: Path, film: Path) -> Chromium:
    """Chromium with two cameras, which it allows only by `allow`."""
    flags = (
        *camera_flags(film, granted=False),
        "--use-fake-device-for-media-stream=device-count=2",
    )
    browser = Chromium(folder, flags)
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=COUNTING)
    return browser


def allow(browser: Chromium, url: str, setting: str = "granted") -> None:
    origin = "/".join(url.split("/")[:3])
    what = {"permission": {"name": "camera"}, "setting": setting, "origin": origin}
    browser.call("Browser.setPermission", session="", **what)


def click(browser: Browser, name: str) -> None:
    browser.evaluate(f"document.getElementById({name!r}).click()")
