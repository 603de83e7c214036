"""From settings to outputs, and the terminal."""

import codecs
import contextlib
import json
import os
import threading

import pytest

from edgetl_runtime.errors import OptionsError, OutputError
from edgetl_runtime.outputs.opening import open_outputs
from edgetl_runtime.outputs.terminal import Terminal, show_answer
from edgetl_runtime.settings.sections import CollectSettings, OutputSettings, PaceSettings, Settings


@pytest.fixture
def open_all():
    def open_all(collect=None, **options):
        settings = Settings(output=OutputSettings(**options), collect=collect or CollectSettings())
        return open_outputs(settings, find_digest=lambda: "")

    return open_all


@pytest.mark.parametrize("option", ["jsonl", "csv", "video"])
def test_a_dash_is_no_file(open_all, option):
    with pytest.raises(OptionsError, match=f"{option}: - is not a file; .* use --json"):
        open_all(**{option: "-"}, terminal="none")


def test_two_outputs_in_one_file_are_refused(open_all, tmp_path, wording):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OptionsError, match=wording):
        open_all(jsonl=str(tmp_path / "a"), csv=str(tmp_path / "link"), terminal="none")


def test_pictures_and_collected_frames_in_one_folder_are_refused(open_all, tmp_path, wording):
    folder = str(tmp_path / "kept")
    collect = CollectSettings(what=("sampled",), folder=f"{tmp_path}/../{tmp_path.name}/kept")
    with pytest.raises(OptionsError, match=wording):
        open_all(collect, pictures=folder, terminal="none")
    # What is not collected needs no folder.
    assert open_all(CollectSettings(folder=folder), pictures=folder, terminal="none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["jsonl", "csv", "video", "pictures", "collect.folder"])
def test_an_address_is_no_file(open_all, option):
    address, collect = "https://host/answers.avi", None
    if option == "collect.folder":
        collect = CollectSettings(what=("sampled",), folder=address)
    flags = {} if collect else {option: address}
    with pytest.raises(
        OptionsError, match=rf"{option}: .* is an address, not a (file|folder); --post "
    ):
        open_all(collect, **flags, terminal="none")


@pytest.mark.parametrize("option", ["jsonl", "csv"])
@pytest.mark.parametrize("name", ["mine", "mine.1"])
def test_a_file_of_somebody_else_is_not_written_to(open_all, tmp_path, option, name):
    (tmp_path / name).write_text("precious\n")
    with pytest.raises(OptionsError, match=rf"{option}: .*{name} contains something other"):
        open_all(**{option: str(tmp_path / "mine")}, terminal="none")
    assert (tmp_path / name).read_text() == "precious\n"


@pytest.mark.parametrize("left", [b"", b"\0" * 100, b'{"boo', b'\0\n{"boot_id":"'])
def test_what_a_power_cut_left_is_ours(open_all, tmp_path, left):
    (tmp_path / "mine").write_bytes(left)
    assert open_all(jsonl=str(tmp_path / "mine"), terminal="none")


@pytest.mark.parametrize("option", ["jsonl", "csv"])
def test_answers_of_an_earlier_run_are_gone_on_with(open_all, make_answer, tmp_path, option):
    path = tmp_path / "mine"
    for _ in range(2):
        (output,) = open_all(**{option: str(path)}, terminal="none")
        output.write(make_answer())
        output.close()
    assert len(path.read_text().splitlines()) == (2 if option == "jsonl" else 3)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_by_default_there_is_the_terminal(open_all):
    (terminal,) = open_all()
    assert terminal.name == "terminal"


def test_every_option_gives_an_output_of_its_own(open_all, tmp_path):
    outputs = open_all(
        collect=CollectSettings(what=("unsure",), folder=str(tmp_path / "collected")),
        terminal="json",
        jsonl=str(tmp_path / "a.jsonl"),
        csv=str(tmp_path / "a.csv"),
        video=str(tmp_path / "a.mp4"),
        pictures=str(tmp_path / "events"),
        post="http://127.0.0.1:9/",
        command="true",
        callback="builtins:print",
    )
    names = [output.name for output in outputs]
    assert sorted(names) == sorted(
        "jsonl csv terminal video pictures collect command callback post".split()
    )
    assert os.listdir(tmp_path) == []
    for output in outputs:
        output.close()


@pytest.mark.parametrize("mark", [True, False])
def test_a_csv_has_a_mark_if_it_is_asked_for(open_all, tmp_path, make_answer, mark):
    path = tmp_path / "a.csv"
    (output,) = open_all(terminal="none", csv=str(path), csv_mark=mark)
    output.write(make_answer())
    output.close()
    assert path.read_bytes().startswith(codecs.BOM_UTF8) is mark


def test_nothing_asked_for_is_nothing(open_all):
    assert open_all(terminal="none") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jsonl": "."}, "jsonl: . is a folder"),
        ({"csv": "/"}, "csv: / is a folder"),
        ({"video": "new.mov"}, "video: expected a name that ends in .avi or .mp4"),
        ({"pictures": __file__}, "pictures: .* is a file"),
        ({"post": "nowhere"}, "post: expected an address"),
        ({"command": ""}, "command: expected"),
        ({"callback": "x"}, "callback: expected"),
        ({"mqtt": "broker"}, "mqtt: expected mqtt://"),
        ({"mqtt": "mqtt://h:99999"}, "mqtt: "),
        ({"mqtt": "mqtt://host/topic"}, "set the topic with --mqtt-topic"),
    ],
)
def test_a_bad_option_is_named(open_all, options, message):
    with pytest.raises(OptionsError, match=message):
        open_all(**options)


def test_a_collecting_folder_that_is_a_file_is_named(open_all, wording):
    with pytest.raises(OptionsError, match=wording):
        open_all(collect=CollectSettings(what=("sampled",), folder=__file__))


def test_a_password_for_the_broker_in_the_address_is_refused_and_not_shown(open_all, wording):
    with pytest.raises(OptionsError, match=wording) as caught:
        open_all(mqtt="mqtt://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a#", "/a", "a/"])
def test_a_topic_that_is_none_is_refused(open_all, topic, wording):
    pytest.importorskip("paho.mqtt")
    with pytest.raises(OptionsError, match=wording):
        open_all(mqtt="mqtt://127.0.0.1:1", mqtt_topic=topic)


def test_the_video_of_a_file_has_the_rate_of_its_answers(tmp_path, make_answer, picture):
    import cv2

    settings = Settings(
        output=OutputSettings(terminal="none", video=str(tmp_path / "a.avi")),
        pace=PaceSettings(every=3),
    )
    (video,) = open_outputs(settings, find_digest=str, live=False, find_fps=lambda: 30.0)
    for _ in range(4):
        video.write(make_answer(picture=picture))
    video.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.avi"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    capture.release()


def test_a_line_shows_the_frame_its_times_and_the_stable_label(make_answer):
    line = show_answer(make_answer(7, label="washer"), 3)
    assert line == (
        "camera#7  gear 75%  [spring 19%, washer 6%]  3.8 ms, age 15.0 ms, stable washer"
    )
    assert show_answer(make_answer(label=None, stale=True), 1).endswith("too old")
    nothing = show_answer(make_answer(label=None, scores=(0.4, 0.3, 0.3)), 1)
    assert "camera#0  (unknown)  [gear 40%]" in nothing
    assert nothing.endswith("stable (unknown)")


def test_a_label_cannot_command_the_terminal(make_answer):
    line = show_answer(make_answer(labels=("\x1b[2Jgear", "b", "c")), 1)
    assert "\x1b" not in line
    assert r"\x1b[2Jgear" in line


def test_the_terminal_prints_lines_events_or_json(pipe, make_answer):
    reader, writer = pipe
    changed = make_answer(4, label="gear", previous=None)
    assert not Terminal("event", 3).accepts(make_answer())
    Terminal("event", 3, descriptor=writer).write(changed)
    Terminal("line", 3, descriptor=writer).write(make_answer())
    Terminal("json", 3, descriptor=writer).write(changed)
    event, line, record = os.read(reader, 10_000).decode().splitlines()
    assert event == "2026-05-28T20:26:40.250Z  (unknown) -> gear 75%  camera#4"
    assert line.startswith("camera#0  gear 75%")
    assert json.loads(record)["event"]["label"] == "gear"


def test_a_reader_that_has_gone_is_told_once(pipe, make_answer):
    reader, writer = pipe
    gone = []
    terminal = Terminal("line", 3, descriptor=writer, on_gone=lambda: gone.append(1))
    os.close(reader)
    for _ in range(3):
        terminal.write(make_answer())
    assert gone == [1]


def test_without_anybody_to_tell_a_reader_that_has_gone_is_a_failure(pipe, make_answer, wording):
    reader, writer = pipe
    os.close(reader)
    with pytest.raises(OutputError, match=wording):
        Terminal("line", 3, descriptor=writer).write(make_answer())


def test_a_terminal_that_nobody_reads_never_slows_a_camera(
    pipe, start_worker, make_answer, wait_until
):
    reader, writer = pipe
    worker = start_worker(Terminal("json", 3, descriptor=writer))
    for index in range(5000):
        worker.publish(make_answer(index))
    assert worker.status().dropped > 3000
    # Whoever reads on at last gets whole lines.
    text = bytearray()
    drain = threading.Thread(target=lambda: text.extend(os.read(reader, 1 << 20)))
    drain.start()
    wait_until(lambda: text)
    drain.join()
    assert json.loads(bytes(text).splitlines()[0])["source"] == "camera"
    os.close(reader)
