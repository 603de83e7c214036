"""A survey as one HTML file, which needs no network."""

import base64
import hashlib
import html
import re
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.benchmarking.survey_record import Survey
from edgetl_runtime.benchmarking.survey_wording import (
    list_failures,
    list_flags,
    list_grounds,
    list_settings,
    list_warnings,
    remark,
    tell_doubt,
    tell_headline,
)
from edgetl_runtime.text.printable import make_printable

_FOLDER: Final = Path(__file__).parent / "page"
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
# In a script element `<` may begin its end; the rest is for older JavaScript and for editors.
_ESCAPES: Final = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


class _Texts(msgspec.Struct, frozen=True):
    """What Python says of a survey, so that the page need not find it out again."""

    headline: str
    doubt: str
    grounds: list[str]
    warnings: list[str]
    remarks: list[str]
    failures: list[str]
    settings: str
    flags: str


class _Data(msgspec.Struct, frozen=True):
    survey: Survey
    texts: _Texts


def render_survey(survey: Survey) -> bytes:
    """The page, UTF-8. Its security policy allows nothing but what is in the file itself.

    Text from elsewhere, such as a variant's name, is data of a script element of type
    application/json, and is shown as text.
    """
    script = (_FOLDER / "survey.js").read_text("utf-8")
    parts = {
        "script": script,
        "script_hash": _hash(script),
        "style": (_FOLDER / "survey.css").read_text("utf-8"),
        "title": html.escape(make_printable(tell_headline(survey))),
        "data": encode_data(survey),
    }
    template = (_FOLDER / "survey.html").read_text("utf-8")
    # In one go, so that no part is taken for a place.
    return _PLACE.sub(lambda match: parts[match[1]], template).encode("utf-8", "backslashreplace")


def encode_data(survey: Survey) -> str:
    """The survey and its sentences as JSON that cannot end the element that it is in."""
    best = survey.recommendation
    texts = _Texts(
        headline=tell_headline(survey) if best is None else f"use {tell_headline(survey)}",
        doubt=f"not certain: {doubt}" if (doubt := tell_doubt(survey)) else "",
        grounds=list_grounds(survey),
        warnings=list_warnings(survey),
        remarks=[remark(survey, row) for row in survey.rows],
        failures=list_failures(survey),
        settings="" if best is None else "\n".join(list_settings(best)),
        flags="" if best is None else " ".join(list_flags(best)),
    )
    data = msgspec.json.encode(_Data(survey, texts)).decode()
    return data.translate(_ESCAPES)


def _hash(script: str) -> str:
    """As a content security policy names an allowed script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
