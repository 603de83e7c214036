"""Other people's programs read our files: MediaPipe Tasks and ONNX Runtime."""

import ast
import json
import subprocess
from pathlib import Path

import cv2
import onnxruntime
import pytest

from edgetl.drawings import draw_part
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.classifier import Classifier

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.bundle"
MEDIAPIPE = ROOT / ".venv-mediapipe" / "bin" / "python"


@pytest.fixture
def pictures(tmp_path):
    """Of the model's own size, so that no resize rule matters."""
    files = []
    for seed in range(8):
        for part in ("gear", "spring", "washer"):
            file = tmp_path / f"{part}{seed}.png"
            cv2.imwrite(str(file), cv2.resize(draw_part(part, seed, 64), (32, 32)))
            files.append(file)
    return files


@pytest.mark.skipif(not MEDIAPIPE.is_file(), reason="`make test` installs .venv-mediapipe")
@pytest.mark.parametrize("variant", ["litert-int8", "litert-float32"])
def test_mediapipe_names_the_same_labels_as_our_runtime(variant, pictures):
    command = [MEDIAPIPE, ROOT / "benchmarks" / "mediapipe_client.py", TINY / f"{variant}.tflite"]
    result = subprocess.run([*command, *pictures], capture_output=True, text=True, check=True)
    classifier = Classifier.open(TINY, variant=variant)
    ours = [classifier(cv2.imread(str(file))).label for file in pictures]
    assert json.loads(result.stdout)["labels"] == ours
    assert len(set(ours)) > 1


@pytest.mark.parametrize("variant", ["onnx-int8", "onnx-float32"])
def test_onnx_files_tell_their_labels_to_onnx_runtime(variant):
    bundle = Bundle.open(TINY)
    session = onnxruntime.InferenceSession(bundle.read(bundle.variant(variant)))
    names = session.get_modelmeta().custom_metadata_map["names"]
    assert tuple(ast.literal_eval(names).values()) == bundle.labels
