import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import list_options, list_sections
from edgetl_runtime.settings.file import describe_settings, load_settings
from edgetl_runtime.settings.sections import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = 300


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "edgetl.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture
def refusal(write):
    """What an unusable file is answered with."""

    def load(text: str) -> str:
        file = write(text)
        with pytest.raises(OptionsError) as caught:
            load_settings(file)
        return str(caught.value).replace(str(file), "FILE")

    return load


def test_without_a_file_the_defaults_hold():
    assert load_settings(None) == Settings()


def test_an_empty_file_says_nothing(write):
    assert load_settings(write("")) == Settings()


def test_the_command_line_wins_over_the_file(write):
    file = write("[pace]\nevery = 3\nmax_fps = 2\n[smoothing]\nmethod = 'none'")
    found = load_settings(file, {"pace": {"every": "5"}, "view": {"rotate": "90"}})
    assert (found.pace.every, found.pace.max_fps, found.view.rotate) == (5, 2.0, 90)
    assert found.smoothing.method == "none"


def test_text_counts_as_a_number_on_the_command_line_only(refusal):
    assert load_settings(None, {"source": {"fps": "12.5"}}).source.fps == 12.5
    assert refusal('[source]\nfps = "12.5"') == (
        "FILE, line 2: source.fps: expected a number above 0 to 1,000, found '12.5'"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[source]\nfps = 0", "source.fps: expected a number above 0 to 1,000, found 0"),
        ("[source]\nfps = nan", "source.fps: expected a number above 0 to 1,000, found nan"),
        ("[serve]\nport = 65536", "serve.port: expected a whole number from 0 to 65,535"),
        ("[pace]\nevery = true", "pace.every: expected a whole number .*found true$"),
        ("[serve]\nport = 2026-11-27", "serve.port: expected a whole number .*found 2026-11-27$"),
        ("[serve]\nport = 07:30:00", "serve.port: expected a whole number .*found 07:30:00$"),
        ("[serve]\nport = [true, 'a']", r"serve.port: .*found \[true, 'a'\]$"),
        ("[serve.port]\na = 1", "serve.port: expected a whole number .*found a table$"),
        ("[view]\nrotate = 45", "view.rotate: expected one of: 0, 90, 180, 270, found 45"),
        ("[source]\nsize = '1x0'", "source.size: expected WIDTHxHEIGHT in pixels.*found '1x0'"),
        ('[source]\nsize = "1x1\\n"', r"source.size: expected WIDTHxHEIGHT.*found '1x1\\n'"),
        (
            "[serve]\ntoken = 'short'",
            "serve.token: expected 16 or more printable ASCII characters, without spaces",
        ),
        ("[collect]\nwhat = ['odd']", "collect.what: expected a list, each one of: .*unsure"),
        (
            '[output]\ncommand = "a\\u0000b"',
            "output.command: expected text, without control characters, found",
        ),
        ("[output]\njsonl = ''", "output.jsonl: expected the path of a file or folder, found ''"),
        ("source = 5", r"source: expected a table \[source\], found 5"),
        ("[[source]]\nfps = 5", r"source: expected a table \[source\], found a list of tables$"),
        ("[source", "is not valid TOML: "),
        ("fps = 5", r"fps is unknown; did you mean fps in \[source\]"),
        ("[sorce]", r"\[sorce\] is unknown; did you mean \[source\]"),
        ("[x]", r"\[x\] is unknown; expected one of: \[model\], \[source\]"),
        ("[source]\nfpss = 5", "source.fpss is unknown; did you mean source.fps"),
        ("[source]\nmirror = true", r"source.mirror is unknown; mirror belongs to \[view\]"),
        ("[source]\nzzz = 1", "source.zzz is unknown; expected one of: source.address"),
    ],
)
def test_an_error_names_file_path_value_and_what_is_allowed(text, message, refusal):
    assert re.match(r"FILE(, line \d+)?:? ?" + message, refusal(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# x\n\n[serve]\n\nport = 'x'\n", 5),
        ("[serve]\r\nhost = 'a'\r\nport = 'x'\r\n", 3),
        ("\ufeff[source]\nfps = 1\n[pace]\nevery = 'x'", 4),
        ("source.fps = 3\nserve.port = 'x'", 2),
        ("serve = {port = 'x'}", 1),
        ("[pace]\nport = 1\n[serve]\nport = 'x'", 2),
        ("[serve]\nhost = 'a'\nprot = 1", 3),
        ("\n[srve]\nport = 1", 2),
        ("\n\nserve = 3", 3),
    ],
)
def test_an_error_names_the_line(text, line, refusal):
    assert refusal(text).startswith(f"FILE, line {line}: ")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("[source]\naddress = /dev/video0", 'text needs quotes, such as "/dev/video0"'),
        ('[model]\nbundle = "C:\\Users\\x"', "needs single quotes"),
        ("[source]\nloop = True", "write true or false in lower case"),
    ],
)
def test_what_beginners_write_gets_a_remedy(text, remedy, refusal):
    said = refusal(text)
    assert "at line 2" in said
    assert said.endswith(remedy) or remedy in said


@pytest.mark.parametrize(
    ("data", "line"), [(b"\xff\xfe[\x00s\x00", 1), (b"# a\n# caf\xe9\n", 2), (b"\n\n\x80", 3)]
)
def test_a_file_in_another_encoding_is_told_so(write, data, line):
    with pytest.raises(OptionsError, match=f"line {line} is not UTF-8; save the file as UTF-8"):
        load_settings(write(data))


def test_a_file_that_is_not_there_can_be_made(tmp_path, wording):
    with pytest.raises(OptionsError, match=wording):
        load_settings(tmp_path / "x.toml")


def test_a_control_character_is_named_as_one(refusal):
    assert "without control characters, found" in refusal('[output]\njsonl = "a\\u0001b"')


def test_a_home_is_meant_by_its_usual_sign(write, monkeypatch):
    monkeypatch.setenv("HOME", "/home/pi")
    found = load_settings(write('[output]\njsonl = "~/a.jsonl"\n[source]\naddress = "~/a.avi"'))
    assert (found.output.jsonl, found.source.address) == ("/home/pi/a.jsonl", "/home/pi/a.avi")


def test_an_error_stays_short_whatever_was_found(refusal):
    assert len(refusal(f"[source]\nsize = '{'x' * 9999}'")) < 300
    assert len(refusal(f"[{'x' * 9999}]")) < 400


def test_an_error_of_the_command_line_names_the_flag(wording):
    with pytest.raises(OptionsError, match=wording):
        load_settings(None, {"collect": {"quota_mb": "x"}})


def test_relative_paths_are_relative_to_the_file(write, tmp_path):
    text = """
    model.bundle = "parts.bundle"
    source.address = "videos/a.avi"
    output = {jsonl = "a.jsonl", csv = "/tmp/a.csv"}
    collect.folder = "kept"
    """
    found = load_settings(write(text))
    assert found.model.bundle == str(tmp_path / "parts.bundle")
    assert found.source.address == str(tmp_path / "videos/a.avi")
    assert (found.output.jsonl, found.output.csv) == (str(tmp_path / "a.jsonl"), "/tmp/a.csv")
    assert found.collect.folder == str(tmp_path / "kept")


@pytest.mark.parametrize(
    "address", ["0", "-", "pattern", "picamera", "rtsp://host/a", "/dev/video0"]
)
def test_what_is_no_relative_path_stays_as_it_is(address, write):
    assert load_settings(write(f"source.address = '{address}'")).source.address == address


def test_paths_of_the_command_line_stay_as_they_are(write):
    assert load_settings(write(""), {"output": {"csv": "a.csv"}}).output.csv == "a.csv"


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"#" * 1_000_001)])
def test_what_cannot_be_a_settings_file_is_refused(make, tmp_path, wording):
    make(tmp_path / "x.toml")
    with pytest.raises(OptionsError, match=wording[0]):
        load_settings(tmp_path / "x.toml")
    with pytest.raises(OptionsError, match=wording[1]):
        load_settings(tmp_path / "missing.toml")


def test_every_option_has_a_meaning():
    assert [
        path for path, option in list_options(Settings).items() if len(option.meaning) < 10
    ] == []


def test_every_option_without_a_default_has_an_example():
    """In `Settings.EXAMPLES`; its file would have a line that is not valid otherwise."""
    options = list_options(Settings).values()
    assert [one.path for one in options if one.default is None and one.example is None] == []


def test_no_two_options_share_a_flag():
    flags = [option.flag for option in list_options(Settings).values()]
    assert len(set(flags)) == len(flags)


def test_the_example_file_holds_the_defaults(write):
    assert load_settings(write(describe_settings())) == Settings()


def test_the_example_file_shows_every_option_and_each_line_is_valid(write):
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", describe_settings())
    shown = {
        f"{section}.{name}" for section, table in tomllib.loads(text).items() for name in table
    }
    assert shown == set(list_options(Settings))
    found = load_settings(write(text))
    for option in list_options(Settings).values():
        if option.default not in (None, "") and not option.is_path:
            assert getattr(getattr(found, option.section), option.name) == option.default


def options_values() -> st.SearchStrategy[dict[str, dict[str, object]]]:
    """Values that may be right, by section and field."""
    text = st.text(max_size=20)
    value = st.one_of(
        text, st.integers(), st.floats(), st.booleans(), st.lists(text, max_size=3), st.none()
    )
    likely = st.sampled_from(["0", "1", "5", "0.5", "640x480", "none", "true", "litert", "x" * 16])
    names = sorted({option.name for option in list_options(Settings).values()})
    fields = st.dictionaries(st.sampled_from(names) | text, value | likely, max_size=4)
    return st.dictionaries(
        st.sampled_from(sorted(list_sections(Settings))) | text, fields, max_size=3
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(options_values())
def test_any_values_are_settings_or_one_error(values):
    with suppress(OptionsError):
        assert isinstance(load_settings(None, values), Settings)


@st.composite
def single_values(draw):
    option = draw(st.sampled_from(sorted(list_options(Settings))))
    text = draw(st.text(max_size=20) | st.from_regex(r"\A[0-9.x,+-]{1,8}\Z"))
    return list_options(Settings)[option], text


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(single_values())
def test_settings_written_to_a_file_come_back_equal(write, case):
    option, text = case
    value = text.split(",") if option.path == "collect.what" else text
    try:
        found = load_settings(None, {option.section: {option.name: value}})
    except OptionsError:
        return
    file = write(describe_settings(found))
    again = load_settings(file)
    ours, theirs = (getattr(getattr(s, option.section), option.name) for s in (found, again))
    if option.is_path or option.path == "source.address":
        assert theirs in (ours, str(file.parent / os.path.expanduser(ours)))
    else:
        assert theirs == ours


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(alphabet="[]{}=.,'\"#\n \\0159aeinfot_-:", max_size=60).map(str.encode)
)
def test_any_file_is_settings_or_one_error(write, data):
    with suppress(OptionsError):
        assert isinstance(load_settings(write(data)), Settings)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_an_example_file_with_damage_is_settings_or_one_error(write, data):
    lines = re.sub(r"(?m)^# (\w+ = )", r"\1", describe_settings()).splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith("#")]
    text = "".join(lines)
    place = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 20))
    added = data.draw(st.text(alphabet="[]{}=.,'\"#\n 0159aeinf_-", max_size=6))
    with suppress(OptionsError):
        damaged = write(text[:place] + added + text[place + removed :])
        assert isinstance(load_settings(damaged), Settings)


def test_deep_nesting_is_refused(refusal):
    assert "not valid TOML: too deeply nested" in refusal("a = " + "[" * 100_000)


def test_loading_settings_imports_neither_numpy_nor_opencv(run_python):
    code = (
        "import sys, edgetl_runtime.settings.file, edgetl_runtime.options.flags\n"
        "print({'numpy', 'cv2'} & set(sys.modules))"
    )
    assert run_python(code).stdout == "set()\n"


def test_a_file_may_begin_with_a_byte_order_mark(write):
    assert load_settings(write(b"\xef\xbb\xbf[pace]\nevery = 3\n")).pace.every == 3


@pytest.mark.parametrize("character", ["\\n", "\\r", "\\u001b", "\\u0085", "\\u2028", "\\u0000"])
@pytest.mark.parametrize(
    "option",
    ["output.jsonl", "collect.folder", "service.state_dir", "model.bundle", "output.mqtt_topic"],
)
def test_text_with_a_control_character_is_refused(write, option, character):
    section, name = option.split(".")
    file = write(f'[{section}]\n{name} = "/x{character}ExecStartPre=+/bin/true"\n')
    with pytest.raises(OptionsError, match=f"{name}: expected "):
        load_settings(file)


@pytest.mark.parametrize(
    "token", ["short", "with a space in it", "geheimes-zeichen-ä", "geheim-€-1234567"]
)
def test_a_token_that_no_header_can_carry_is_refused(refusal, token):
    said = refusal(f'[serve]\ntoken = "{token}"\n')
    assert "serve.token: expected 16 or more printable ASCII characters" in said
    assert token not in said


def test_marks_that_turn_text_round_are_escaped_and_read_again(tmp_path):
    address = "http://a/\u202egpj.\u2066\U000e0041"
    file = tmp_path / "a.toml"
    settings = load_settings(None, {"output": {"post": address}})
    file.write_text(describe_settings(settings), encoding="utf-8")
    lines = file.read_text(encoding="utf-8").split("\n")
    assert all(line.isprintable() for line in lines)
    assert load_settings(file).output.post == address


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path, wording):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OptionsError, match=wording):
        load_settings(pipe)


def test_a_pipe_is_read_to_its_end_however_slowly_it_is_written(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    slowly = f"exec > {pipe}; sleep 0.2; echo '[serve]'; sleep 0.2; echo 'port = 9'"
    with subprocess.Popen(["sh", "-c", slowly]) as writer:
        try:
            assert load_settings(pipe).serve.port == 9
        finally:
            writer.kill()


def test_brackets_without_an_end_are_one_error(tmp_path, wording):
    file = tmp_path / "a.toml"
    file.write_text(f"x = {'[' * 3000}")
    with pytest.raises(OptionsError, match=wording):
        load_settings(file)


@pytest.mark.parametrize(
    ("section", "name", "value", "found"),
    [
        ("serve", "token", "x" * 15, "expected 16 or more .*, found 15 characters"),
        ("serve", "token", "x", "without spaces, found 1 character$"),
        ("serve", "token", 1234567890123456789, "found not text; put it in quotes"),
        ("output", "name", "a\0b", "such as door, without control characters, found"),
        ("serve", "token", "x y" * 10, "without spaces, found with other characters among them"),
        ("pace", "max_fps", "5\a", r"expected a number above 0 to 1,000, found '5.x07'"),
        ("output", "name", "\xc4", "up to 63 letters a-z and A-Z, digits"),
    ],
)
def test_what_is_wrong_with_a_value_is_said(section, name, value, found):
    with pytest.raises(OptionsError, match=found):
        load_settings(None, {section: {name: value}})
