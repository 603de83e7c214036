"""Images as programs have them: paths and arrays, of either order of colours."""

import cv2
import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.loading import load_image

RED_AS_BGR = np.full((48, 64, 3), (0, 0, 255), np.uint8)
RED_AS_RGB = RED_AS_BGR[:, :, ::-1]


@pytest.fixture
def red_file(tmp_path):
    path = tmp_path / "red.png"
    assert cv2.imwrite(str(path), RED_AS_BGR)
    return path


def test_a_file_and_arrays_of_either_order_are_one_image(red_file):
    alpha = np.zeros((48, 64, 1), np.uint8)
    for image, color in (
        (RED_AS_BGR, "bgr"),
        (RED_AS_RGB, "rgb"),
        (np.concatenate([RED_AS_RGB, alpha], axis=2), "rgb"),
        (red_file, "bgr"),
        (str(red_file), "rgb"),
    ):
        assert np.array_equal(load_image(image, color=color)[:, :, :3], RED_AS_BGR)


def test_the_classifier_gives_the_model_the_same_pixels(red_file, bundle, fake_engine):
    engine = fake_engine(0.2, 0.5, 0.3)
    classifier = Classifier(bundle, bundle.variant(), engine)
    classifier(RED_AS_BGR)
    classifier(RED_AS_RGB, color="rgb")
    classifier(red_file)
    classifier.classify_batch([red_file, RED_AS_RGB], color="rgb")
    assert len(engine.pixels) == 5
    assert all((pixels == (255, 0, 0)).all() for pixels in engine.pixels)


def test_a_batch_has_an_answer_for_each_image_in_their_order(tiny, red_file):
    classifier = Classifier.open(tiny)
    images = [red_file, np.zeros((8, 8, 3), np.uint8), np.full((40, 30), 128, np.uint8)]
    scores = [one.scores for one in classifier.classify_batch(iter(images))]
    assert [one.tolist() for one in scores] == [classifier(one).scores.tolist() for one in images]


def test_a_file_that_is_no_image_is_named(tmp_path, bundle, fake_engine, wording):
    (tmp_path / "notes.txt").write_text("hello")
    classifier = Classifier(bundle, bundle.variant(), fake_engine(0.2, 0.5, 0.3))
    with pytest.raises(FrameError, match=wording[0]):
        classifier(tmp_path / "notes.txt")
    with pytest.raises(FrameError, match=wording[1]):
        classifier.classify_batch([tmp_path / "missing.jpg"])


@pytest.mark.parametrize("image", [None, 5, b"bytes", [1, 2]])
def test_what_is_no_image_is_refused_with_what_is_expected(image, wording):
    with pytest.raises(FrameError, match=wording):
        load_image(image)


def test_an_unknown_order_of_colours_is_refused(wording):
    with pytest.raises(FrameError, match=wording):
        load_image(RED_AS_RGB, color="RGB")


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8)])
def test_an_array_of_another_form_is_refused_in_either_order(wrong, bundle, fake_engine, wording):
    classifier = Classifier(bundle, bundle.variant(), fake_engine(0.2, 0.5, 0.3))
    for color in ("bgr", "rgb"):
        with pytest.raises(FrameError, match=wording):
            classifier(wrong, color=color)
