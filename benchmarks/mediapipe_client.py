"""Classifies pictures with MediaPipe Tasks; runs in MediaPipe's own environment.

    .venv-mediapipe/bin/python benchmarks/mediapipe_client.py MODEL.tflite PICTURE... [--runs N]

Prints one JSON object: `labels` (the best label of each picture), and with --runs the `ms` of
each repeated call on the first picture.
"""

import argparse
import json
import time

import mediapipe as mp
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--runs", type=int, default=0)
    options = parser.parse_args()
    with open(options.model, "rb") as file:
        base = BaseOptions(model_asset_buffer=file.read())
    settings = ImageClassifierOptions(base_options=base, max_results=1)
    with ImageClassifier.create_from_options(settings) as classifier:
        pictures = [mp.Image.create_from_file(path) for path in options.pictures]
        labels = [name(classifier.classify(picture)) for picture in pictures]
        ms = [timed(classifier, pictures[0]) for _ in range(options.runs)]
    print(json.dumps({"labels": labels, "ms": ms}))


def name(result) -> str:
    return result.classifications[0].categories[0].category_name


def timed(classifier, picture) -> float:
    start = time.perf_counter()
    classifier.classify(picture)
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
