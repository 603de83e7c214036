"""The table [model] of a settings file is changed, and nothing else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.settings.editing import change_model, edit_model
from edgetl_runtime.settings.file import describe_settings, load_settings
from edgetl_runtime.settings.sections import Settings

CHANGES = {"variant": "onnx-int8", "threads": 3}

TEXTS = {
    "all set": (
        '# mine\n[model]\nbundle = "a"\nvariant = "x"   # why\nthreads=1\n\n[source]\nfps = 5\n',
        '# mine\n[model]\nbundle = "a"\nvariant = "onnx-int8"   # why\nthreads=3\n\n[source]\n'
        "fps = 5\n",
    ),
    "nothing set": (
        '[source]\naddress = "0"\n\n[model]\n',
        '[source]\naddress = "0"\n\n[model]\nvariant = "onnx-int8"\nthreads = 3\n',
    ),
    "last, without an end": (
        '[model]\nbundle = "a"',
        '[model]\nbundle = "a"\nvariant = "onnx-int8"\nthreads = 3',
    ),
    "no table": (
        '[source]\naddress = "0"\n',
        '[source]\naddress = "0"\n\n[model]\nvariant = "onnx-int8"\nthreads = 3\n',
    ),
    "no table and no end": (
        "[source]\nfps = 5",
        '[source]\nfps = 5\n\n[model]\nvariant = "onnx-int8"\nthreads = 3\n',
    ),
    "empty": ("", '[model]\nvariant = "onnx-int8"\nthreads = 3\n'),
    "in the middle": (
        "[pace]\nmax_fps = 3\n[model] # which\n  # a note\n  threads = 2\n[source]\nfps = 5\n",
        '[pace]\nmax_fps = 3\n[model] # which\nvariant = "onnx-int8"\n  # a note\n  threads = 3\n'
        "[source]\nfps = 5\n",
    ),
    "single quotes and spaces": (
        "[ model ]\n\tvariant\t=\t'x' #'\nthreads = 1_0\n",
        '[ model ]\n\tvariant\t=\t"onnx-int8" #\'\nthreads = 3\n',
    ),
    "quoted names": (
        '["model"]\n"variant" = "a \\" # b"\n\'threads\' = 0x2\n',
        '["model"]\n"variant" = "onnx-int8"\n\'threads\' = 3\n',
    ),
    "shown as comments": (
        '[model]\n#   What it is.\n# variant = "litert-int8"  # for example\n#   How many.\n'
        "# threads = 2  # for example\n",
        '[model]\n#   What it is.\n# variant = "litert-int8"  # for example\n'
        'variant = "onnx-int8"\n#   How many.\n# threads = 2  # for example\nthreads = 3\n',
    ),
    "a byte order mark": (
        '\ufeff[model]\nvariant = "x"\n',
        '\ufeff[model]\nvariant = "onnx-int8"\nthreads = 3\n',
    ),
}
STUBBORN = {
    "dotted": 'model.bundle = "a"\nmodel.variant = "x"\n',
    "inline": 'model = { bundle = "a", variant = "x" }\n',
    "a long string": '[model]\nbundle = "a"\nvariant = """\nx"""\n',
    "a table's name in a string": '[source]\naddress = """\\\n[model] # \\\n"""\n',
}


def write(path, text, mode=0o640):
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", TEXTS)
def test_values_change_and_every_other_line_stays(tmp_path, name, end):
    old, new = (text.replace("\n", end) for text in TEXTS[name])
    path = write(tmp_path / "my.toml", old)
    if old and "\n" not in old:
        new = new.replace("\r", "")
    change_model(path, CHANGES)
    assert path.read_bytes().decode() == (new if end in old else TEXTS[name][1])
    assert path.stat().st_mode & 0o777 == 0o640
    model = load_settings(path).model
    assert (model.variant, model.threads) == ("onnx-int8", 3)
    assert os.listdir(tmp_path) == ["my.toml"]


@pytest.mark.parametrize("name", STUBBORN)
def test_what_cannot_be_changed_line_by_line_stays_and_the_lines_are_told(tmp_path, name):
    path = write(tmp_path / "my.toml", STUBBORN[name])
    before = path.read_bytes()
    with pytest.raises(OptionsError) as caught:
        change_model(path, CHANGES)
    said = str(caught.value)
    assert "nothing was written" in said
    assert 'by hand: variant = "onnx-int8"; threads = 3' in said
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["my.toml"]


def test_a_file_that_is_not_there_is_made_with_every_option_explained(tmp_path):
    path = tmp_path / "new.toml"
    change_model(path, {"bundle": "/a b/ü.bundle", **CHANGES})
    settings = load_settings(path)
    assert settings.model.bundle == "/a b/ü.bundle"
    assert path.read_text("utf-8") == describe_settings(settings)
    assert settings.model.variant == "onnx-int8"


def test_a_file_that_config_printed_is_changed_where_the_option_is_explained(tmp_path):
    path = write(tmp_path / "my.toml", describe_settings(Settings()))
    change_model(path, {"bundle": "/a", **CHANGES})
    lines = path.read_text().splitlines()
    assert lines[lines.index('variant = "onnx-int8"') - 1].startswith("# variant = ")
    assert lines[lines.index('bundle = "/a"') - 1].startswith("# bundle = ")
    left = [one for one in lines if one.partition(" =")[0] not in ("variant", "threads", "bundle")]
    assert left == describe_settings(Settings()).splitlines()


def test_an_engine_that_is_there_is_replaced(tmp_path):
    path = write(tmp_path / "my.toml", '[model]\nengine = "litert" # e\nvariant = "litert-int8"\n')
    change_model(path, {"engine": "onnx", **CHANGES})
    assert path.read_text().startswith('[model]\nengine = "onnx" # e\nvariant = "onnx-int8"\n')


def test_a_link_stays_a_link(tmp_path):
    real = write(tmp_path / "real.toml", "[model]\nthreads = 1\n")
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    change_model(link, CHANGES)
    assert link.is_symlink()
    assert load_settings(real).model.threads == 3


def test_relative_paths_go_on_being_relative(tmp_path):
    path = write(tmp_path / "my.toml", '[model]\nbundle = "parts"\n[collect]\nfolder = "kept"\n')
    change_model(path, CHANGES)
    assert 'folder = "kept"' in path.read_text()
    assert load_settings(path).collect.folder == str(tmp_path / "kept")


def test_a_file_that_says_it_already_is_not_written(tmp_path):
    path = write(tmp_path / "my.toml", '[model]\nvariant = "onnx-int8"\nthreads = 3\n')
    before = path.stat().st_ino
    change_model(path, CHANGES)
    assert path.stat().st_ino == before


def test_a_file_that_is_wrong_is_refused(tmp_path):
    path = write(tmp_path / "my.toml", "[model]\nthreads = 0\n")
    with pytest.raises(OptionsError, match="line 2"):
        change_model(path, CHANGES)


lines = st.lists(
    st.sampled_from(
        [
            *("", "# note", "[source]", "fps = 5", "[model]", "threads = 2", "# threads = 4"),
            *('variant = "a"', "variant = 'b' # c", 'bundle = "d"', 'engine = "onnx"', "[pace]"),
            *('address = """', '"""', "model.threads = 1", "max_fps = 2"),
        ]
    ),
    max_size=8,
)


@given(lines, st.sampled_from(["\n", "\r\n"]))
def test_a_file_says_what_it_should_or_stays(tmp_path_factory, parts, end):
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    text = end.join(parts)
    path.write_bytes(text.encode())
    try:
        before = load_settings(path)
    except OptionsError:
        return
    try:
        change_model(path, CHANGES)
    except OptionsError:
        assert path.read_bytes().decode() == text
        return
    after = load_settings(path)
    assert (after.model.variant, after.model.threads) == ("onnx-int8", 3)
    assert (after.source, after.pace) == (before.source, before.pace)
    assert after.model.bundle == before.model.bundle
    changed = path.read_bytes().decode().split("\n")
    kept = [line.rstrip("\r") for line in text.split("\n")]
    mine = [line for line in kept if not line.startswith(("variant", "threads"))]
    assert all(line.rstrip("\r") in [one.rstrip("\r") for one in changed] for line in mine)


def test_a_value_that_a_line_does_not_hold_is_not_guessed():
    assert edit_model('[model]\nvariant = """\nx"""\n', CHANGES) is None
