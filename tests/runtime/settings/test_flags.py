import argparse

import pytest

from edgetl_runtime.options.flags import add_arguments, collect_flags
from edgetl_runtime.options.option import list_options, list_sections
from edgetl_runtime.settings.file import load_settings
from edgetl_runtime.settings.sections import Settings


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="edgetl-run", allow_abbrev=False)
    add_arguments(parser, Settings, list(list_sections(Settings)), {"model.bundle": "BUNDLE"})
    return parser


@pytest.fixture
def parse(parser):
    """The settings that a command line makes."""

    def parse(*arguments: str):
        return load_settings(None, collect_flags(parser.parse_args(arguments)))

    return parse


def test_every_option_has_its_flag_and_meaning_in_the_help(parser):
    text = " ".join(parser.format_help().split())
    for option in list_options(Settings).values():
        wanted = "BUNDLE" if option.path == "model.bundle" else f"{option.flag} "
        assert wanted in text.replace(",", " ")
        assert option.meaning.replace("`", "").rstrip(".")[:20] in text


def test_flags_that_are_not_given_say_nothing(parser):
    assert collect_flags(parser.parse_args([])) == {}


def test_flags_become_settings(parse):
    found = parse(
        *("parts.bundle", "--source", "video.avi", "--size", "640x480", "--fps", "15"),
        *("--rotate", "90", "--mirror", "--no-mqtt-discovery", "--smoothing", "majority"),
        *("--smoothing-frames", "5", "--collect", "unsure,rejected", "--collect", "sampled"),
        *("--collect-folder", "kept", "--require-camera", "--command", "true", "--port", "0"),
    )
    assert (found.model.bundle, found.source.address) == ("parts.bundle", "video.avi")
    assert (found.source.size, found.source.fps, found.source.required) == ("640x480", 15.0, True)
    assert (found.view.rotate, found.view.mirror) == (90, True)
    assert (found.smoothing.method, found.smoothing.frames) == ("majority", 5)
    assert (found.collect.what, found.collect.folder) == (("unsure", "rejected", "sampled"), "kept")
    assert (found.output.command, found.output.mqtt_discovery) == ("true", False)
    assert found.serve.port == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fps", "0"], "argument --fps: expected a number above 0 to 1,000, found '0'"),
        (["--size", "x"], "argument --size: expected WIDTHxHEIGHT in pixels, such as 640x480"),
        (["--collect", "odd"], "argument --collect: expected a list, each one of"),
        (["--threads", "1025"], "argument --threads: expected a whole number from 1 to 1,024"),
        (["--rotate", "45"], "argument --rotate: expected one of: 0, 90, 180, 270, found '45'"),
        (["a", "b"], "unrecognized arguments: b"),
    ],
)
def test_a_wrong_flag_is_a_mistake_in_usage(arguments, message, parser, capsys, wording):
    with pytest.raises(SystemExit, match=wording):
        parser.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_the_bundle_may_come_after_flags(parse):
    assert parse("--every", "2", "parts.bundle", "--mirror").model.bundle == "parts.bundle"
