"""The page of `edgetl-run bench --all` in a real browser."""

import json
from pathlib import Path

import msgspec
import pytest

from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.benchmarking.survey_page import render_survey
from edgetl_runtime.benchmarking.survey_record import Chosen, Survey
from tests.surveys import make_file, make_row, make_survey, replace

TINY = Path(__file__).parent / "data" / "tiny.bundle"
NASTY = "</script><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files, of which one may not be used and one failed with 2 threads; all texts hostile."""
    report = benchmark(TINY, variant="litert-int8", rules=make_rules(1, None))
    report = replace(report, engine=NASTY)
    files = [
        make_file("litert-int8", top1=0.851, bytes=600_000),
        make_file("litert-float32", top1=0.86, bytes=1_600_000),
        make_file(NASTY, engine="onnx", top1=0.853, unsure=(NASTY,)),
        make_file("onnx-float32", top1=0.86, golden_failures=(NASTY,)),
    ]
    rows = []
    for number, file in enumerate(files):
        rows.append(make_row(report, file, 1, 12.0 + 2 * number))
        rows.append(make_row(report, file, 2, None if number == 1 else 8.0 + number))
    board = replace(report.board, board=NASTY)
    survey = make_survey(report, files, rows, board=board, noise=0.2)
    path = tmp_path_factory.mktemp("pages") / "survey.html"
    path.write_bytes(render_survey(survey))
    return path


def test_it_calls_nobody_runs_no_foreign_code_and_has_nothing_to_complain(browser, page):
    browser.open(page)
    assert browser.requests() == {page.as_uri()}
    assert browser.complaints() == []
    assert browser.evaluate("document.title") != "owned"
    assert NASTY in browser.evaluate("document.getElementById('machine').textContent")


def test_it_says_what_to_use_and_how_sure_that_is(browser, page):
    browser.open(page)
    assert browser.evaluate("document.querySelector('h1').textContent") == (
        "use litert-int8 with 2 threads: 8.00 ms (7.77 to 8.24)"
    )
    assert browser.evaluate("document.getElementById('doubt').hidden") is True
    assert "1.25 times as long" in browser.evaluate(
        "document.getElementById('grounds').textContent"
    )
    assert browser.evaluate(
        "[...document.querySelectorAll('#failures li')].map((one) => one.textContent)"
    ) == [
        "litert-float32 with 2 threads: ended by signal 11 (SIGSEGV)",
        f"onnx-float32: {NASTY}",
    ]
    assert "vary by 20%" in browser.evaluate("document.getElementById('warnings').textContent")
    settings = browser.evaluate("document.getElementById('settings').textContent")
    assert settings == '[model]\nvariant = "litert-int8"\nthreads = 2'
    assert browser.evaluate("document.querySelector('tr.best th').textContent").startswith(
        "litert-int8"
    )


def test_it_says_below_the_headline_that_it_is_not_certain(browser, page, tmp_path):
    record = json.loads(page.read_text("utf-8").partition('json" id="data">')[2].partition("<")[0])
    survey = msgspec.convert(record["survey"], Survey)
    other = Chosen(variant="litert-float32", threads=1)
    unsure = replace(survey, recommendation=replace(survey.recommendation, unclear=(other,)))
    path = tmp_path / "unsure.html"
    path.write_bytes(render_survey(unsure))
    browser.open(path)
    assert browser.evaluate("document.querySelector('h1 + p').innerText") == (
        "Not certain: the noise hides which row is fastest; measure again when nothing else runs"
    )


def test_each_row_that_was_measured_has_a_mark_and_a_bar_at_its_median(browser, page):
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('#chart .mark').length") == 7
    assert browser.evaluate("document.querySelectorAll('#chart .ring').length") == 1
    assert browser.evaluate("document.querySelectorAll('#rows tbody tr').length") == 8
    # The axis begins at 0 and is linear: 8 ms lie at two thirds of 12 ms.
    middles = browser.evaluate(
        "[...document.querySelectorAll('#chart circle.mark')].map((one) => +one.getAttribute('cx'))"
    )
    zero = browser.evaluate("+document.querySelector('#chart .grid').getAttribute('x1') - 0.5")
    ends = [x - zero for x in sorted(middles)]
    assert ends[0] / ends[1] == pytest.approx(8 / 12, abs=0.02)
    assert browser.evaluate("document.querySelectorAll('#chart .barred .mark').length") == 2
    label = browser.evaluate("document.getElementById('chart').getAttribute('aria-label')")
    assert "litert-int8 with 2 threads: 8.00 ms, top-1 85.1 %" in label


def test_a_click_sorts_the_table(browser, page):
    browser.open(page)
    column = (
        "[...document.querySelectorAll('#rows tbody tr')].map((row) => row.cells[2].textContent)"
    )
    shown = browser.evaluate(column)
    assert [float(one) for one in shown if one] == sorted(float(one) for one in shown if one)
    assert shown[-1] == ""
    button = "document.querySelectorAll('#rows thead button')[1]"
    threads = column.replace("cells[2]", "cells[1]")
    for order in ("ascending", "descending"):
        browser.evaluate(f"{button}.click()")
        assert browser.evaluate(f"{button}.closest('th').ariaSort") == order
        found = browser.evaluate(threads)
        assert found == sorted(found, reverse=order == "descending")
    assert browser.evaluate(f"document.activeElement === {button}") is True


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_it_fits_the_screen(browser, page, width):
    browser.open(page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    outside = (
        "[...document.querySelectorAll('#chart text')].map((one) => one.getBoundingClientRect())"
        ".filter((box) => box.left < 0 || box.right > innerWidth).length"
    )
    assert browser.evaluate(outside) == 0


def test_it_follows_the_dark_mode_and_prints_on_white(browser, page):
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(page, scheme="dark")
    assert browser.evaluate(background) == "rgb(12, 17, 19)"
    browser.open(page, scheme="dark", media="print")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
