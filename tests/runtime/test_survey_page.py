"""The page of a survey holds hostile text as data; tests/test_survey_page.py opens it."""

import html.parser
import json

import msgspec
import pytest

from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.benchmarking.survey_page import render_survey
from tests.surveys import make_file, make_row, make_survey, replace

NASTY = "</script><script>document.title='owned'</script><!--\u2028{{data}}"


class Parser(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.title = [], [], ""
        self._inside = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "title":
            self.title += data


@pytest.fixture(scope="module")
def survey(tiny):
    report = benchmark(tiny, variant="litert-int8", rules=make_rules(1, None))
    file = make_file(NASTY, engine="onnx", unsure=(NASTY,))
    rows = [make_row(report, file, 1, 9.0), replace(make_row(report, file, 2, None), failure=NASTY)]
    return make_survey(report, [file], rows, board=replace(report.board, board=NASTY))


def test_hostile_text_stays_text(survey):
    page = render_survey(survey)
    assert page.count(b"<script") == page.count(b"</script>") == 2
    parser = Parser()
    parser.feed(page.decode())
    assert parser.tags.count("script") == 2
    assert parser.title.startswith("</script><script>document.title=")
    found = json.loads(parser.scripts[0])
    assert found["survey"] == json.loads(msgspec.json.encode(survey))
    assert NASTY in found["texts"]["failures"][0]
    assert NASTY in found["texts"]["headline"]


def test_the_page_names_no_address(survey):
    page = render_survey(survey).decode()
    script = page[page.rindex("<script>") :]
    assert page.count("http://") == script.count("http://www.w3.org/2000/svg") == 1
    assert "https://" not in page
    assert "{{" not in page.replace("{{data}}", "")
