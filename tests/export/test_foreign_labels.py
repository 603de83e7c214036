"""Files of labels, as people and programs write them."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from edgetl_export.load.labels import check_count, find_repeated, read_labels, suggest_label
from edgetl_runtime.errors import ExportError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.txt"


@pytest.mark.parametrize(
    "text",
    [
        "a\nb b\n",
        "\ufeffa\r\nb b\r\n",
        "a\rb b\r\r",
        "0 a\n1 b b\n\n",
        "0: a\n1: b b",
        "0\ta\n1\tb b",
        "0,a\n1,b b",
        "1 b b\n0 a",
        "a,0\nb b,1",
        "index,label\n0,a\n1,b b",
        "label\tindex\na\t0\nb b\t1\n",
        "n01440764 a\nn01443537 b b\n",
        '["a", "b b"]',
        '{"0": "a", "1": "b b"}',
        '{"1": "b b", "0": "a"}',
        '{"a": 0, "b b": 1}',
        '{"0": ["n01440764", "a"], "1": ["n01443537", "b b"]}',
        '{"model_type": "vit", "id2label": {"0": "a", "1": "b b"}, "flag": true}',
        "{0: 'a',\n 1: 'b b'}",
        '{"label_names": ["a", "b b"]}',
        "['a', 'b b']",
    ],
)
def test_labels_are_read_in_every_usual_notation(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    assert read_labels(file) == ("a", "b b")


@pytest.mark.parametrize(
    "lines",
    [
        ["0", "1", "2"],
        ["3 musketeers", "101 dalmatians"],
        ["1 cent", "2 cent"],
        ["[unknown]", "known"],
        ["n01440764", "n01443537"],
        ["part 1", "part 10", "part 2"],
        ["a, the first", "b, the second"],
    ],
)
def test_labels_that_only_look_like_a_notation_stay_as_they_are(
    file: Path, lines: list[str]
) -> None:
    file.write_text("\n".join(lines))
    assert read_labels(file) == tuple(lines)


def test_a_label_that_is_there_twice_gets_the_number_of_its_output(file: Path) -> None:
    # As ImageNet's: a bird and a machine.
    file.write_text("cock\ncrane\ntench\ncrane\nmaillot\nmaillot\n")
    labels = read_labels(file)
    assert labels == ("cock", "crane (1)", "tench", "crane (3)", "maillot (4)", "maillot (5)")
    assert find_repeated(labels) == {
        "crane": ["crane (1)", "crane (3)"],
        "maillot": ["maillot (4)", "maillot (5)"],
    }
    assert suggest_label("crane", labels) == (", which has it 2 times, as crane (1) and crane (3)")
    assert suggest_label("cocks", labels) == ", which has cock"
    assert suggest_label("zebra", labels) == ""


def test_a_label_is_as_long_as_a_bundle_takes_it(file: Path, wording: str) -> None:
    file.write_text(f"{'a' * 255}\nb\n")
    assert read_labels(file) == ("a" * 255, "b")
    # The number that tells it from its namesake counts.
    file.write_text(f"{'a' * 252}\n" * 2)
    with pytest.raises(ExportError, match=wording):
        read_labels(file)


def test_labels_in_json_are_composed_as_those_of_photos_are(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(r'["A\u0308pfel", "Birnen"]')
    assert read_labels(tmp_path / "l.json") == ("\u00c4pfel", "Birnen")


def test_a_label_with_a_number_of_its_own_is_not_taken_for_a_repeated_one(
    file: Path, wording: str
) -> None:
    file.write_text("size (0)\nsize (1)\nother (7)\n")
    assert read_labels(file) == ("size (0)", "size (1)", "other (7)")
    file.write_text("a\na\na (0)\n")
    with pytest.raises(ExportError, match=wording):
        read_labels(file)


def test_a_file_that_never_ends_is_no_list_of_labels(wording: str) -> None:
    with pytest.raises(ExportError, match=wording):
        read_labels(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.txt", "a\n\nb\n", "line 2 is empty"),
        ("l.txt", "a\nb\x07\n", "line 2: the label .* unprintable"),
        ("l.txt", "0: a\n1:\n", "the number 1 has no label"),
        ("l.txt", "a", "has 1 label"),
        ("l.txt", f"a\n{'ä' * 128}\n", "line 2: the label ääääääääääääääääääää... has 256 bytes"),
        ("l.json", "a\nb", "is not JSON"),
        ("l.json", "[1, 2]", "the label of output 0 is not text"),
        ("l.json", '{"0": "a", "2": "b"}', "its numbers are not 0, 1, 2"),
        ("l.json", '{"a": 1, "b": 2}', "its numbers are not 0, 1, 2"),
        ("l.json", '{"a": {"b": 1}}', "its numbers are not"),
        ("l.json", "[" * 5000, "is not JSON"),
    ],
)
def test_a_file_of_something_else_is_one_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ExportError, match=words):
        read_labels(tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "outputs", "words"),
    [
        (1000, 1001, "add a first line: background"),
        (["background", *map(str, range(1000))], 1000, "no output for background.* remove line 1"),
        (["Label", *map(str, range(9))], 9, "looks like a heading: remove it"),
        (5, 9, "in the order of the outputs$"),
        (3, 1, "1 output; expected 2 lines"),
    ],
)
def test_another_number_of_labels_than_outputs_is_explained(
    file: Path, labels: int | list[str], outputs: int, words: str
) -> None:
    names = list(map(str, range(labels))) if isinstance(labels, int) else labels
    with pytest.raises(ExportError, match=words):
        check_count(file, names, outputs)


def test_two_labels_fit_one_output_or_two(file: Path) -> None:
    file.write_text(json.dumps(["a", "b"]))
    fitting = []
    for outputs in range(1, 5):
        with suppress(ExportError):
            check_count(str(file), read_labels(file), outputs)
            fitting.append(outputs)
    assert fitting == [1, 2]
