"""`edgetl inspect --app-json`: whoever follows the JSON alone gets our answers.

`Follower` is written from the words in the JSON, as an app's author would: numpy for the rules,
LiteRT's own interpreter, nothing of ours.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgetl_export.package.app_description import AppDescription, describe_for_apps
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError
from edgetl_runtime.image.preprocessing import Preprocessing

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"


def run(*arguments):
    command = [sys.executable, "-m", "edgetl.cli", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def scale_axis(values, size):
    """int64 (n, ...) to (size, ...), 256 times as large."""
    count = len(values)
    step = 1 / (size / count)
    out = np.empty((size, *values.shape[1:]), np.int64)
    for i in range(size):
        x = (i + 0.5) * step - 0.5
        j = math.floor(x)
        if j < 0:
            out[i] = 256 * values[0]
        elif j >= count - 1:
            out[i] = 256 * values[-1]
        else:
            q = round(256 * (x - j))
            out[i] = (256 - q) * values[j] + q * values[j + 1]
    return out


def scale(frame, width, height):
    rows = scale_axis(frame.astype(np.int64).swapaxes(0, 1), width).swapaxes(0, 1)
    return (scale_axis(rows, height) + 32768) >> 16


def resize(frame, width, height):
    h, w = frame.shape[:2]
    a, b = min(w, width), min(h, height)
    if a < w or b < h:
        while min(w // a, h // b) >= 8:
            frame = scale(frame, w // 2, h // 2)
            h, w = frame.shape[:2]
        while w // a >= 16:
            frame = scale(frame, w // 2, h)
            w = w // 2
        while h // b >= 16:
            frame = scale(frame, w, h // 2)
            h = h // 2
        frame = scale(scale(frame, 2 * a, 2 * b), a, b)
    if a < width or b < height:
        frame = scale(frame, width, height)
    return frame


def crop(frame, width, height):
    h, w = frame.shape[:2]
    kw = max(1, min(w, round(Fraction(h * width, height))))
    kh = max(1, min(h, round(Fraction(w * height, width))))
    left, top = (w - kw) // 2, (h - kh) // 2
    return frame[top : top + kh, left : left + kw]


def pad(frame, width, height):
    h, w = frame.shape[:2]
    most = 8 * max(width, height)
    if max(w, h) > most:
        f = most / max(w, h)
        frame = resize(frame, max(1, round(w * f)), max(1, round(h * f)))
        h, w = frame.shape[:2]
    columns = max(0, round(h * width / height) - w)
    rows = max(0, round(w * height / width) - h)
    halves = [(n // 2, n - n // 2) for n in (rows, columns)]
    return np.pad(frame, (*halves, (0, 0)), constant_values=128)


FITS = {"stretch": lambda frame, width, height: frame, "crop": crop, "pad": pad}


class Follower:
    """Follows the JSON."""

    def __init__(self, told, folder):
        self.told = told
        self.model = (folder / told["file"]).read_bytes()
        assert hashlib.sha256(self.model).hexdigest() == told["sha256"]
        assert len(self.model) == told["bytes"]

    def prepare(self, rgb):
        size = self.told["input"]["width"], self.told["input"]["height"]
        return resize(FITS[self.told["fit"]["name"]](rgb, *size), *size).astype(np.uint8)

    def invoke(self, pixels):
        image = self.told["input"]
        values = pixels[np.newaxis].astype(image["dtype"])
        if image["layout"] == "nchw":
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        if self.told["engine"] == "onnx":
            options = onnxruntime.SessionOptions()
            options.add_session_config_entry("session.x64quantprecision", "1")
            session = onnxruntime.InferenceSession(self.model, options)
            (scores,) = session.run([self.told["output"]["name"]], {image["name"]: values})
        else:
            interpreter = Interpreter(model_content=self.model)
            interpreter.allocate_tensors()
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
            interpreter.invoke()
            scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert list(scores.shape) == self.told["output"]["shape"]
        assert scores.dtype == self.told["output"]["dtype"]
        return scores[0].astype(np.float64)

    def name(self, scores):
        raised = (scores / scores.max()) ** (1 / self.told["temperature"]["value"])
        shown = raised / raised.sum()
        best = int(shown.argmax())
        known = shown[best] >= self.told["reject_threshold"]["value"]
        return (self.told["labels"][best] if known else None), shown


def read_rgb(data):
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def measure(expected, found):
    """The tolerance's measure, as `golden_tolerance` tells it."""
    wanted, got = (np.log(np.maximum(np.array(one), 0.001)) for one in (expected, found))
    wanted, got = (one - one.mean(axis=1, keepdims=True) for one in (wanted, got))
    rms = lambda values: float(np.sqrt(np.mean(values**2)))  # noqa: E731
    return rms(got - wanted) / max(rms(wanted), 0.1)


@pytest.mark.parametrize("variant", ["litert-int8", "litert-float32", "onnx-int8", "onnx-float32"])
def test_whoever_follows_the_json_alone_gets_our_answers(variant):
    done = run(TINY, "--app-json", "--variant", variant)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    follower = Follower(told, TINY)
    ours = Classifier.open(TINY, variant=variant)
    found = []
    assert len(told["golden"]) == 3
    for golden in told["golden"]:
        data = (TINY / golden["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == golden["sha256"]
        rgb = read_rgb(data)
        pixels = follower.prepare(rgb)
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == golden["input_sha256"]
        scores = follower.invoke(pixels)
        label, shown = follower.name(scores)
        prediction = ours(rgb, color="rgb")
        assert label == prediction.label == golden["label"]
        np.testing.assert_allclose(shown, prediction.scores, atol=1e-5)
        found.append(scores)
    expected = [golden["scores"] for golden in told["golden"]]
    assert measure(expected, found) < told["golden_tolerance"]["value"]
    # A wrong order of the labels is far beyond it.
    assert measure(expected, [one[::-1] for one in found]) > told["golden_tolerance"]["value"]


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_the_rules_in_words_give_the_pixels_of_our_preprocessing(fit):
    draws = np.random.default_rng(5)
    # Odd shapes: one pixel, a strip of each direction, above 8 and 16 times the input, enlarging.
    sizes = [(1, 1), (1, 900), (900, 1), (7, 3), (333, 31), (31, 333), (700, 500), (64, 48)]
    sizes += [tuple(size) for size in draws.integers(1, 260, (24, 2)).tolist()]
    for number, (width, height) in enumerate(sizes):
        frame = draws.integers(0, 256, (height, width, 3), dtype=np.uint8)
        target = ((32, 32), (24, 40), (45, 17))[number % 3]
        told = {"input": {"width": target[0], "height": target[1]}, "fit": {"name": fit}}
        follower = Follower.__new__(Follower)
        follower.told = told
        expected = Preprocessing(*target, fit=fit).apply(frame[:, :, ::-1].copy())
        np.testing.assert_array_equal(follower.prepare(frame), expected, f"{width}x{height}")


def test_the_object_is_strict_and_says_what_it_is():
    told = describe_for_apps(Bundle.open(TINY))
    again = msgspec.json.decode(msgspec.json.encode(told), type=AppDescription)
    assert again == told
    assert (told.variant, told.engine) == ("litert-int8", "litert")
    assert told.input.range == (0, 255)
    surplus = msgspec.json.encode(msgspec.to_builtins(told) | {"surplus": 1})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(surplus, type=AppDescription)


def test_a_score_below_the_threshold_has_no_label():
    bundle = Bundle.open(TINY)
    (first, *_) = bundle.manifest.variants
    calibration = msgspec.structs.replace(first.calibration, reject_threshold=1.0)
    variant = msgspec.structs.replace(first, calibration=calibration)
    manifest = msgspec.structs.replace(bundle.manifest, variants=(variant,))
    strict = msgspec.structs.replace(bundle, manifest=manifest)
    assert {one.label for one in describe_for_apps(strict).golden} == {None}
    with pytest.raises(BundleError, match="it has: litert-int8"):
        describe_for_apps(strict, "onnx-int8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--app-json", "--json"), "not both"),
        (("--variant", "litert-int8"), "--variant is for --app-json"),
    ],
)
def test_flags_that_do_not_fit_are_refused(arguments, words):
    done = run(TINY, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
