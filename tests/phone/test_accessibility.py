"""For fingers, keyboards, screen readers and eyes; in Chromium on a phone's viewport."""

import itertools

import pytest

from tests.phone.driving import (
    LABEL,
    LIVE,
    STATE,
    allow,
    click,
)

DIALOGS = ["menu", "bench", "kept", "label-it"]
# Elements that can be tapped and are shown; a file input is as large as its label.
TARGETS = """
[...document.querySelectorAll('button, a[href], input, label')].filter((one) =>
  one.checkVisibility() && one.getBoundingClientRect().width > 1
  && !one.matches('label input') && !(one.tagName === 'A'))
"""
SMALL = f"""{TARGETS}.map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 43.9)
  .map(([name, box]) => [name, box.width, box.height])"""
# Texts whose contrast to what lies behind them is below 4.5 (WCAG 2.2, 1.4.3).
PALE = """
(() => {
  const read = (color) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) =>
    top.slice(0, 3).map((one, i) => one * top[3] + below[i] * (1 - top[3]));
  const behind = (one) => {
    if (!one) return read(getComputedStyle(document.body).backgroundColor);
    const color = read(getComputedStyle(one).backgroundColor);
    return color[3] > 0.99 ? color : [...over(color, behind(one.parentElement)), 1];
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pale = [];
  for (const one of document.querySelectorAll('body *')) {
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !one.checkVisibility() || one.closest(':disabled, .hidden')) continue;
    const below = behind(one);
    const [a, b] = [light(over(read(getComputedStyle(one).color), below)), light(below)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) pale.push([one.id || one.textContent, contrast]);
  }
  return pale;
})()
"""


@pytest.fixture
def live(phone, served):
    allow(phone, served.url)
    phone.open(served.url, width=390, height=844)
    phone.wait_for(LIVE, 60)
    return phone


def show(browser, name: str) -> None:
    browser.evaluate(f"document.getElementById({name!r}).showModal()")


def test_every_button_has_a_name_of_its_own(live):
    for name in ["", *DIALOGS]:
        if name:
            show(live, name)
        tree = live.call("Accessibility.getFullAXTree")["nodes"]
        roles = ("button", "link", "checkbox", "radio")
        named = [one for one in tree if one.get("role", {}).get("value") in roles]
        assert named
        assert [one for one in named if not one.get("name", {}).get("value", "").strip()] == []
        if name:
            live.evaluate(f"document.getElementById({name!r}).close()")


def test_everything_to_tap_is_as_large_as_a_finger(live):
    assert live.evaluate(SMALL) == []
    for name in DIALOGS:
        show(live, name)
        assert live.evaluate(SMALL) == []
        live.evaluate(f"document.getElementById({name!r}).close()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(phone, served, scheme):
    allow(phone, served.url, "denied")
    phone.open(served.url, width=390, height=844, scheme=scheme)
    phone.wait_for(f"{STATE} === 'ready'", 60)
    assert phone.evaluate(PALE) == []
    click(phone, "start")
    phone.wait_for(f"{STATE} === 'stopped'")
    phone.evaluate("document.getElementById('update').hidden = false")
    assert phone.evaluate(PALE) == []
    for name in DIALOGS:
        show(phone, name)
        assert phone.evaluate(PALE) == []
    phone.evaluate("document.body.dataset.state = 'failed'")
    assert phone.evaluate(PALE) == []


def test_a_screen_reader_hears_each_label_once(live):
    live.evaluate("""
    window.spoken = [];
    window.shown = [];
    const follow = (id, into) => new MutationObserver(() =>
      into.push(document.getElementById(id).textContent))
      .observe(document.getElementById(id), {childList: true, characterData: true, subtree: true});
    follow('spoken', window.spoken);
    follow('label', window.shown);
    """)
    before = live.evaluate("sent")
    live.wait_for(f"sent > {before} + 60")
    spoken, shown = live.evaluate("[window.spoken, window.shown]")
    assert spoken == shown
    assert all(one != other for one, other in itertools.pairwise(spoken))
    # Numbers that change all the time are not read out.
    regions = "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')]"
    assert live.evaluate(f"{regions}.map((one) => one.id)") == [
        *("spoken", "teach-trouble", "teach-report", "label-trouble")
    ]
    assert live.evaluate("document.getElementById('spoken').textContent") == live.evaluate(LABEL)


def test_the_keyboard_goes_in_the_order_of_the_eye_and_back(live):
    assert live.evaluate("[...document.querySelectorAll('[tabindex]')].length") == 0
    order = []
    for _ in range(8):
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
            live.call("Input.dispatchKeyEvent", type=kind, **key)
        order.append(live.evaluate("document.activeElement.id"))
    expected = ["checked", "file", "freeze", "keep", "more"]
    assert [one for one in order if one in expected][:5] == expected
    live.evaluate("document.getElementById('more').focus()")
    click(live, "more")
    assert live.evaluate("document.getElementById('menu').contains(document.activeElement)")
    live.evaluate("document.querySelector('#menu .close').click()")
    assert live.evaluate("document.activeElement.id") == "more"
