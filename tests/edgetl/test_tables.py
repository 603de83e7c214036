"""Data sets as CSV and JSONL files: what is read, and what is said of bad rows."""

import json
from pathlib import Path

import pytest

from edgetl.dataset.manifest import DatasetManifest, scan, scan_to_score
from edgetl.dataset.tables import list_table
from edgetl_runtime.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos in one folder, without classes."""
    import cv2
    import numpy as np

    (tmp_path / "pics").mkdir()
    for number in range(12):
        picture = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "pics" / f"{number}.png"), picture)
    return tmp_path


def write(folder: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rows(split: str = "") -> str:
    lines = [f"pics/{n}.png,{'nut' if n % 2 else 'bolt'}{split}" for n in range(12)]
    return "\n".join(lines) + "\n"


def labels(manifest: DatasetManifest) -> dict[str, str]:
    return {one.path: one.label for one in manifest.examples}


def refuse(folder: Path, text: str, match: str, name: str = "photos.csv") -> None:
    with pytest.raises(DatasetError, match=match):
        scan_to_score(write(folder, text, name))


def test_a_csv_names_paths_and_labels(folder: Path) -> None:
    manifest = scan(write(folder, "path,label\n" + rows()))
    assert labels(manifest)["pics/3.png"] == "nut"
    assert len(manifest.examples) == 12
    assert manifest.root == str(folder)
    assert manifest.file(manifest.examples[0]).is_file()


def test_a_jsonl_gives_the_same_as_a_csv(folder: Path) -> None:
    lines = [
        json.dumps({"path": f"pics/{n}.png", "label": "nut" if n % 2 else "bolt", "more": 1})
        for n in range(12)
    ]
    by_csv = scan(write(folder, "path,label\n" + rows()))
    assert scan(write(folder, "\n".join(lines), "photos.jsonl")) == by_csv


def test_splits_of_the_table_are_kept(folder: Path) -> None:
    text = "path,label,split\n" + "".join(
        f"pics/{n}.png,{'nut' if n % 2 else 'bolt'},{'Train' if n < 8 else 'valid'}\n"
        for n in range(12)
    )
    manifest = scan(write(folder, text))
    assert {one.path for one in manifest.select("val")} == {f"pics/{n}.png" for n in range(8, 12)}


def test_rows_without_a_split_are_put_into_one(folder: Path) -> None:
    manifest = scan(write(folder, "path,label,split\n" + rows(",")))
    assert manifest.select("train")
    assert manifest.select("val")


def test_scoring_puts_rows_without_a_split_into_test(folder: Path) -> None:
    assert len(scan_to_score(write(folder, "path,label\n" + rows())).select("test")) == 12


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_other_programs_are_read(folder: Path, delimiter: str) -> None:
    text = ("Label,Path,notes\r\n" + "nut,pics/1.png,mine\r\n").replace(",", delimiter)
    manifest = scan_to_score(write(folder, text, encoding="utf-8-sig"))
    assert labels(manifest) == {"pics/1.png": "nut"}


def test_labels_may_hold_commas_quotes_and_any_script(folder: Path) -> None:
    text = 'path,label\npics/1.png,"nut, ""small"" <b>"\npics/2.png, 螺母 🔩 \n'
    assert labels(scan_to_score(write(folder, text))) == {
        "pics/1.png": 'nut, "small" <b>',
        "pics/2.png": "螺母 🔩",
    }


def test_a_missing_file_is_skipped_with_the_reason(folder: Path) -> None:
    manifest = scan_to_score(write(folder, "path,label\npics/1.png,nut\npics/gone.png,nut\n"))
    assert [(one.path, one.reason) for one in manifest.skipped] == [
        ("pics/gone.png", "no such file")
    ]


def test_a_row_that_is_there_twice_counts_once(folder: Path) -> None:
    manifest = scan_to_score(write(folder, "path,label\npics/1.png,nut\n./pics/1.png,nut\n"))
    assert len(manifest.examples) == 1
    assert manifest.skipped[0].reason == "listed again in line 3"


def test_an_absolute_path_inside_the_folder_is_read(folder: Path) -> None:
    manifest = scan_to_score(write(folder, f"path,label\n{folder}/pics/1.png,nut\n"))
    assert labels(manifest) == {"pics/1.png": "nut"}


def test_a_path_through_a_link_to_the_folder_is_read(folder: Path) -> None:
    link = folder.with_name(f"{folder.name}_link")
    link.symlink_to(folder)
    write(folder, f"path,label\n{link}/pics/1.png,nut\n")
    assert labels(scan_to_score(link / "photos.csv")) == {"pics/1.png": "nut"}


@pytest.mark.parametrize("path", ["../secret.png", "pics/../../secret.png", "/etc/secret.png"])
def test_a_path_that_leaves_the_folder_is_refused(folder: Path, path: str) -> None:
    refuse(folder, f"path,label\npics/1.png,nut\n{path},nut\n", r"line 3: .* is not inside")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "line 1: expected a header with path and label"),
        ("pics/1.png,nut\n", "line 1: expected a header with path and label"),
        ("path,label\n", "lists no photos"),
        ("path,label,path\na,b,c\n", "a column appears twice"),
        ("path,label,spilt\na,b,train\n", "unknown column spilt; did you mean split"),
        ("path,label\npics/1.png\n", "line 2: 1 cell, the header has 2; add the missing cells"),
        ("path,label\npics\\1.png,a\n", "line 2: .* does not exist; write paths with / between"),
        ("path,label\nhttps://x.org/1.png,a\n", "line 2: https://x.org/1.png is a URL"),
        ("path,label\n\npics/1.png,a,b\n", "line 3: 3 cells, the header has 2"),
        ("path,label\npics/1.png,  \n", "line 2: the label is empty"),
        ("path,label\n,nut\n", "line 2: the path is empty"),
        ('path,label\npics/1.png,"a\nb"\n', "line 3: the label 'a.nb' has a line break"),
        ("path,label\npics/1.png,nut\npics/1.png,bolt\n", "line 3: .* bolt here and nut in line 2"),
        (
            "path,label,split\npics/1.png,nut,odd\n",
            "line 2: unknown split 'odd'; expected train",
        ),
        ('path,label\n"pics/1.png,nut\n', "not valid CSV"),
    ],
)
def test_bad_rows_are_refused_by_line(folder: Path, text: str, match: str) -> None:
    refuse(folder, text, match)


@pytest.mark.parametrize(
    "line",
    ['{"path": "pics/1.png"}', '{"path": "pics/1.png", "label": 3}', "pics/1.png", '["a", "b"]'],
)
def test_bad_lines_of_a_jsonl_are_refused_by_number(folder: Path, line: str) -> None:
    good = '{"path": "pics/1.png", "label": "nut"}'
    refuse(folder, f"{good}\n{line}\n", "line 2: .*expected an object", "photos.jsonl")


def test_half_a_character_in_a_jsonl_is_told_as_what_it_is(folder: Path) -> None:
    line = '{"path": "pics/1.png", "label": "\\ud800"}\n'
    refuse(folder, line, "line 1: half of a .u pair", "photos.jsonl")


def test_a_table_that_is_not_utf_8_is_refused(folder: Path, wording: str) -> None:
    with pytest.raises(DatasetError, match=wording):
        list_table(write(folder, "path,label\npics/1.png,Schlüssel\n", encoding="latin-1"))


def test_another_kind_of_file_is_refused(folder: Path) -> None:
    refuse(folder, "x", "is not a folder, .csv or .jsonl file", "photos.xlsx")


def test_a_table_of_missing_photos_says_so(folder: Path, wording: str) -> None:
    with pytest.raises(DatasetError, match=wording):
        scan(write(folder, "path,label\n1.png,nut\n2.png,bolt\n"))


@pytest.mark.parametrize("split", ["", "train"])
def test_the_label_unknown_is_no_class(folder: Path, split: str) -> None:
    head = "path,label,split\n" if split else "path,label\n"
    text = head + rows("," * bool(split)).replace("pics/2.png,bolt", "pics/2.png,_unknown_")
    text = text.replace("_unknown_,", f"_unknown_,{split}")
    manifest = scan(write(folder, text))
    assert manifest.labels == ("bolt", "nut")
    assert [one.path for one in manifest.unknown] == ["pics/2.png"]
    assert len(manifest.examples) == 11
    line = json.dumps({"path": "pics/2.png", "label": "_unknown_"})
    lines = [json.dumps({"path": one.path, "label": one.label}) for one in manifest.examples]
    by_jsonl = scan(write(folder, "\n".join([line, *lines]), "photos.jsonl"))
    assert by_jsonl.unknown == manifest.unknown


def test_a_table_of_other_things_only_is_refused(folder: Path) -> None:
    refuse(folder, "path,label\npics/1.png,_unknown_\n", "lists no photos of a class")


@pytest.mark.parametrize(
    ("label", "match"),
    [
        *(("n/a", "line 3: the label 'n/a' has a slash"), ("..", "line 3: .* hidden or system")),
        *(("Nut", "line 3: Nut looks like nut of line 2"), ("_unsorted_", "line 3: _unsorted_ is")),
        *(("n" * 256, "line 3: .* longer than 255 bytes"), ("lost+found", "line 3: .*system")),
    ],
)
def test_a_label_that_no_folder_can_have_is_refused_by_its_line(
    folder: Path, label: str, match: str
) -> None:
    refuse(folder, f"path,label\npics/0.png,nut\npics/1.png,{label}\n", match)


def test_a_label_and_a_path_may_be_composed_or_decomposed(folder: Path) -> None:
    (folder / "pics/0.png").rename(folder / "pics/A\u0308.png")
    text = "path,label\npics/\u00c4.png,\u00c4\npics/1.png,A\u0308\npics/2.png,b\n"
    manifest = scan_to_score(write(folder, text))
    assert manifest.labels == ("b", "\u00c4")
    assert len(manifest.examples) == 3
