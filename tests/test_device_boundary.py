"""The device package stays light: what it imports, what it depends on, what it promises."""

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

import edgetl_runtime

PACKAGE = Path(edgetl_runtime.__file__).parent
# What serves the page may import its server; it is only imported to serve.
MODULES = sorted(
    ".".join(("edgetl_runtime", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in PACKAGE.rglob("*.py")
    if file.stem != "__init__" and file.relative_to(PACKAGE).parts[0] != "serving"
)
# What a board has no room for; `onnx` is the format's package, not the engine.
HEAVY = {
    *("tensorflow", "keras", "onnx", "tf2onnx", "h5py", "sklearn", "scipy", "matplotlib"),
    *("PIL", "simplejpeg", "click", "rich", "jinja2", "platformdirs", "flatbuffers"),
    *("edgetl", "edgetl_export"),
}
IMPORT_AND_LIST = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(folder: Path, *names: str) -> set[str]:
    """Top-level packages in a fresh interpreter, outside the repository, after the imports."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, *names],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_no_module_of_the_device_imports_anything_heavy(tmp_path):
    assert {"edgetl_runtime.image.preprocessing", "edgetl_runtime.capture.camera"} <= set(MODULES)
    assert imported_by(tmp_path, *MODULES) & HEAVY == set()


def test_no_engine_is_imported_before_one_is_chosen(tmp_path):
    engines = {"ai_edge_litert", "tflite_runtime", "onnxruntime"}
    assert imported_by(tmp_path, *MODULES) & engines == set()


def named_by_imports(file: Path) -> set[str]:
    """Top-level packages of every import in a file, within functions, too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("room", "above"), [("export", {"edgetl"}), ("runtime", {"edgetl", "edgetl_export"})]
)
def test_the_tests_of_a_package_import_none_above_it(room, above):
    files = sorted((Path(__file__).parent / room).rglob("*.py"))
    assert len(files) > 20
    assert [file.name for file in files if named_by_imports(file) & above] == []


@pytest.mark.parametrize("name", ["edgetl_runtime", "edgetl_runtime.__main__"])
def test_help_need_not_wait_for_numpy_and_opencv(name, tmp_path):
    assert imported_by(tmp_path, name) & {"numpy", "cv2", "msgspec"} == set()


def test_the_mandatory_dependencies_are_four():
    mandatory = [line for line in requires("edgetl-runtime") if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line).group() for line in mandatory}
    # One engine by platform, and what Python has itself since 3.11; whoever adds a dependency
    # decides that here.
    assert names == {
        *("numpy", "opencv-python-headless", "msgspec", "tomli"),
        *("ai-edge-litert", "tflite-runtime"),
    }


def test_no_platform_gets_two_engines():
    (litert, tflite) = (
        next(line for line in requires("edgetl-runtime") if line.startswith(name))
        for name in ("ai-edge-litert", "tflite-runtime")
    )
    assert re.search(r"platform_machine != ['\"]armv7l['\"]", litert)
    assert re.search(r"platform_machine == ['\"]armv7l['\"]", tflite)


def test_the_public_names_are_frozen_and_each_resolves():
    assert edgetl_runtime.__all__ == [
        *("Answer", "BoardBenchmark", "Bundle", "BundleError", "Camera", "CameraError"),
        *("Classifier", "CollectSettings", "Device", "EdgetlError", "EngineError", "FrameError"),
        *("HeatMap", "ModelSettings", "OptionsError", "Output", "OutputError", "OutputSettings"),
        *("PaceSettings", "Pipeline", "Prediction", "Preprocessing", "ServeSettings"),
        *("ServiceError", "ServiceSettings", "Settings", "SmoothingSettings", "SourceSettings"),
        *("StorageError", "Video", "ViewSettings", "benchmark", "watch"),
    ]
    for name in edgetl_runtime.__all__:
        assert getattr(edgetl_runtime, name).__name__ == name
        assert name in dir(edgetl_runtime)


def test_an_unknown_name_is_an_attribute_error(wording):
    with pytest.raises(AttributeError, match=wording):
        _ = edgetl_runtime.Model
