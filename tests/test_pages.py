"""The pages in a real browser: they show, they run no foreign code, they call nobody."""

import http.server
import itertools
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from edgetl.dataset.manifest import scan
from edgetl.history import StageHistory
from edgetl.learning_curve.record import Change, ClassRise, CurvePoint, Forecast, PhotoCurve
from edgetl.metrics import Interval, measure
from edgetl.predictions import Predictions
from edgetl.reporting.benchmarks import Measured, render_benchmarks
from edgetl.reporting.comparison import ComparedRun, StageCourse, compare, render_comparison
from edgetl.reporting.report import ReportInput, render_report
from edgetl.reporting.tradeoff import render_tradeoff
from edgetl_export.quantize.tradeoff import Tradeoff
from edgetl_runtime.benchmarking.reading import read_benchmark
from edgetl_runtime.benchmarking.record import BrowserBenchmark

PHONE = Path(__file__).parent / "data" / "phone_bench.json"
NASTY = "<script>document.title='owned'</script>"


def make_curve(labels: Sequence[str]) -> PhotoCurve:
    some, rise = Interval(0.6, 0.9), Change(0.05, 0.01, 0.09)
    points = tuple(
        CurvePoint(
            fraction=fraction,
            photos=round(100 * fraction),
            accuracies=(0.8,),
            accuracy=0.8,
            interval=some,
            recalls=dict.fromkeys(labels, 0.7 + fraction / 10),
        )
        for fraction in (0.4, 0.7, 1.0)
    )
    forecast = Forecast(200, rise, rise, limit=0.1, scale=0.1, exponent=0.5)
    classes = tuple(ClassRise(label, 30, rise) for label in labels)
    return PhotoCurve(0.1, 0, 20, 20, points, 0.4, rise, forecast, classes)


@pytest.fixture(scope="module")
def report(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose every text tries to run code."""
    manifest = scan(photos, val_fraction=0.4)
    label = manifest.labels[1]

    def rename(name: str) -> str:
        return NASTY if name == label else name

    examples = [msgspec.structs.replace(one, label=rename(one.label)) for one in manifest.examples]
    manifest = msgspec.structs.replace(
        manifest, labels=tuple(map(rename, manifest.labels)), examples=tuple(examples)
    )
    val = manifest.select("val")
    truth = np.array([manifest.index(one) for one in val])
    scores = np.full((len(val), 3), 0.05)
    scores[np.arange(len(val)), np.where(np.arange(len(val)) % 4, truth, (truth + 1) % 3)] = 0.9
    names = ("loss", "accuracy", "val_loss", "val_calibrated_loss", "val_accuracy")
    stage = StageHistory(NASTY, {name: [0.5, 0.4, 0.3] for name in names}, 2, 1.0)
    html = render_report(
        ReportInput(
            title=NASTY,
            manifest=manifest,
            metrics=measure(manifest.labels, truth, scores.argmax(axis=1)),
            histories=(stage, stage),
            predictions=Predictions(
                "val",
                tuple(one.path for one in val),
                tuple(truth.tolist()),
                tuple(map(tuple, scores.tolist())),
            ),
            test=None,
            seconds={NASTY: 1.0},
            settings={NASTY: {NASTY: NASTY}},
            facts={NASTY: NASTY},
            curve=make_curve(manifest.labels),
            features=np.random.default_rng(0).normal(size=(len(examples), 8)).astype(np.float32),
        )
    )
    path = tmp_path_factory.mktemp("pages") / "report.html"
    path.write_text(html, "utf-8")
    return path


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    judged = tuple((f"{n:02d}", "bolt") for n in range(20))
    run = ComparedRun(
        name=NASTY,
        backbone=NASTY,
        trained="head",
        top1=0.9,
        macro_f1=0.9,
        worst_class=NASTY,
        worst_recall=0.9,
        calibration_error=0.03,
        seconds=3.0,
        photos=100,
        examples=20,
        scenes=20,
        judged=judged,
        right=(True,) * 18 + (False,) * 2,
        stages=(StageCourse(NASTY, 1.0, 2.0, (0.7, 0.9), 2),),
    )
    other = msgspec.structs.replace(run, name="b", judged=judged[1:], examples=19)
    path = tmp_path_factory.mktemp("pages") / "compare.html"
    path.write_text(render_comparison(compare([run, run, other])), "utf-8")
    return path


@pytest.fixture(scope="module")
def quantization(tradeoff: Tradeoff, tmp_path_factory: pytest.TempPathFactory) -> Path:
    replace = msgspec.structs.replace
    first, *others = tradeoff.outcomes
    tried = tuple(
        replace(one, worst_class=NASTY, worst_class_drop=0.1, repair=NASTY, failures=(NASTY,))
        for one in first.tried
    )
    nasty = replace(
        tradeoff,
        backbone=NASTY,
        outcomes=(replace(first, tried=tried), *others),
        layers=tuple(replace(layer, name=NASTY) for layer in tradeoff.layers),
        distributions=tuple(replace(one, name=NASTY) for one in tradeoff.distributions),
    )
    path = tmp_path_factory.mktemp("pages") / "quantize.html"
    path.write_text(render_tradeoff(nasty, NASTY), "utf-8")
    return path


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    replace = msgspec.structs.replace
    phone = read_benchmark(PHONE)
    assert isinstance(phone, BrowserBenchmark)
    browser = replace(phone.browser, brand=NASTY, model=NASTY)
    nasty = replace(phone, browser=browser, engine=NASTY, variant=NASTY, bundle_sha256="0" * 64)
    path = tmp_path_factory.mktemp("pages") / "benchmarks.html"
    page = render_benchmarks([Measured(NASTY, nasty), Measured("phone.json", phone)])
    path.write_text(page, "utf-8")
    return path


@pytest.fixture(params=["report", "comparison", "quantization", "benchmarks"])
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_a_page_calls_nobody_and_has_nothing_to_complain(browser, page: Path) -> None:
    browser.open(page)
    assert browser.requests() == {page.as_uri()}
    assert browser.complaints() == []


class Listener(http.server.BaseHTTPRequestHandler):
    """Somebody on the network, who notes what was asked of him."""

    heard: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.heard.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def outside() -> Iterator[str]:
    """The address of a picture that somebody else has."""
    Listener.heard.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x.png"
        server.shutdown()
        thread.join()


def test_a_page_that_calls_out_would_be_noticed(browser, outside: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(f"<title>bad</title><link rel='icon' href='data:,'><img src='{outside}'>")
    browser.open(bad)
    assert browser.requests() == {bad.as_uri(), outside}
    assert Listener.heard == ["/x.png"]


def test_the_policy_stops_what_slipped_through(
    browser, report: Path, outside: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.html"
    slipped = f"<img src='{outside}'><script>document.title = 'owned'</script></main>"
    bad.write_text(report.read_text("utf-8").replace("</main>", slipped), "utf-8")
    browser.open(bad)
    # Even text that slipped through unescaped cannot run or call out.
    assert browser.evaluate("document.title") != "owned"
    assert Listener.heard == []
    assert len(browser.complaints()) == 2


def test_a_label_that_is_a_script_does_not_run(browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("document.scripts.length") == 1
    assert NASTY in browser.evaluate("document.querySelector('main').innerText")


def test_the_report_has_plots_with_text_and_pictures(browser, report: Path) -> None:
    browser.open(report)
    plots = "[...document.querySelectorAll('svg')]"
    assert browser.evaluate(f"{plots}.length") == 6
    assert browser.evaluate(f"{plots}.every((one) => one.getBoundingClientRect().width > 300)")
    assert browser.evaluate(f"{plots}[0].textContent.includes('validation')")
    assert browser.evaluate("document.images.length") > 2
    assert browser.evaluate("[...document.images].every((one) => one.naturalWidth > 0)")


TOLD = "document.querySelector('.map .told').textContent"
PHOTO = "document.querySelector('.map .photo')"


def test_a_dot_of_the_map_shows_its_photo_when_it_is_pointed_at(browser, report: Path) -> None:
    browser.open(report)
    # A mistake is shown before anything is pointed at.
    assert "predicted" in browser.evaluate(TOLD)
    told = browser.evaluate(
        "[...document.querySelectorAll('.map circle')].map((dot) => {"
        "  const box = dot.getBoundingClientRect();"
        "  dot.ownerSVGElement.dispatchEvent(new PointerEvent('pointermove',"
        "    {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2}));"
        f"  return [{TOLD}, {PHOTO}.style.backgroundPosition];"
        "})"
    )
    assert len(told) == 48
    assert len({name for name, _ in told}) == len({place for _, place in told}) == 48
    assert all("photo bolt/" in name for name, _ in told if name.startswith("bolt"))
    assert browser.evaluate(f"{PHOTO}.style.backgroundImage.startsWith('url(\"data:image/jpeg')")
    assert browser.complaints() == []


def test_arrow_keys_walk_over_the_map(browser, report: Path) -> None:
    browser.open(report)
    press = "document.querySelector('.map svg').dispatchEvent(new KeyboardEvent('keydown', %s))"
    place = "document.querySelector('.map .chosen').cx.baseVal.value"
    assert browser.evaluate("document.querySelector('.map svg').tabIndex") == 0
    at = browser.evaluate(place)
    browser.evaluate(press % "{key: 'ArrowLeft'}")
    left = browser.evaluate(place)
    assert left < at
    browser.evaluate(press % "{key: 'ArrowRight'}")
    assert browser.evaluate(place) > left


def test_a_class_of_the_legend_stands_out_when_it_is_clicked(browser, report: Path) -> None:
    browser.open(report)
    dim = "document.querySelectorAll('.map .dim').length"
    button = "document.querySelector('.map .legend button')"
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(dim) == 32
    assert browser.evaluate(f"{button}.ariaPressed") == "true"
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(dim) == 0


def test_no_two_names_in_a_plot_cover_each_other(
    browser, tradeoff: Tradeoff, tmp_path: Path
) -> None:
    exact = tradeoff.outcomes[1]
    crowd = [msgspec.structs.replace(exact, recipe=f"litert-name_{n}") for n in range(8)]
    page = tmp_path / "quantize.html"
    crowded = msgspec.structs.replace(tradeoff, outcomes=(*tradeoff.outcomes, *crowd))
    page.write_text(render_tradeoff(crowded, "crowded"), "utf-8")
    browser.open(page)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('#tradeoff svg')].map((plot) => "
        "[...plot.querySelectorAll('text')].map((text) => text.getBoundingClientRect().toJSON()))"
    )
    assert len(boxes) == 2
    for plot in boxes:
        assert len(plot) > 16
        for one, other in itertools.combinations(plot, 2):
            wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
            high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
            assert min(wide, high) <= 1, (one, other)


@pytest.mark.parametrize("width", [320, 400, 1200])
def test_a_page_fits_the_screen(browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def read_size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_the_page_and_its_plots_follow_the_dark_mode(browser, page: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg text') ?? document.body).%s"
    ink %= "color" if "compare" in page.name else "fill"
    shades = {}
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        shades[scheme] = (browser.evaluate(background), browser.evaluate(ink))
        assert read_size(browser.screenshot()) == (1200, 900)
    assert shades["light"][0] == "rgb(255, 255, 255)"
    assert shades["dark"][0] != shades["light"][0]
    assert shades["dark"][1] != shades["light"][1]


def test_a_dark_screen_prints_on_white(browser, page: Path) -> None:
    browser.open(page, scheme="dark", media="print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )


def test_a_click_sorts_a_table(browser, report: Path) -> None:
    browser.open(report)
    column = "[...document.querySelectorAll('#classes tbody tr')].map((row) => row.cells[2].%s)"
    values = column % "dataset.sort"
    weakest_first = [float(value) for value in browser.evaluate(values)]
    assert weakest_first == sorted(weakest_first)
    button = "document.querySelectorAll('#classes thead button')[2]"
    for order in (False, True):
        browser.evaluate(f"{button}.click()")
        shown = [float(value) for value in browser.evaluate(values)]
        assert shown == sorted(shown, reverse=order)
    assert browser.evaluate(f"{button}.closest('th').ariaSort") == "descending"
    assert browser.complaints() == []
