"""Classifies pictures with MediaPipe Tasks; runs in MediaPipe's own environment.

    .venv-mediapipe/bin/python benchmarks/mediapipe_client.py MODEL.tflite PICTURE... [--runs N]

Prints one JSON object: `labels` (the best label of each picture, null where the model's
threshold rejects all), `metadata` (what MediaPipe's own reader finds in the model), and with
--runs the `ms` of each repeated call on the first picture.
"""

import argparse
import io
import json
import time
import zipfile

import mediapipe as mp
from mediapipe.tasks.metadata.metadata_schema_py_generated import ModelMetadata, ModelMetadataT
from mediapipe.tasks.metadata.schema_py_generated import Model
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--runs", type=int, default=0)
    options = parser.parse_args()
    with open(options.model, "rb") as file:
        model = file.read()
    base = BaseOptions(model_asset_buffer=model)
    settings = ImageClassifierOptions(base_options=base, max_results=1)
    with ImageClassifier.create_from_options(settings) as classifier:
        pictures = [mp.Image.create_from_file(path) for path in options.pictures]
        labels = [name(classifier.classify(picture)) for picture in pictures]
        ms = [timed(classifier, pictures[0]) for _ in range(options.runs)]
    print(json.dumps({"labels": labels, "metadata": describe(model), "ms": ms}))


def name(result) -> str | None:
    categories = result.classifications[0].categories
    return categories[0].category_name if categories else None


def describe(model: bytes) -> dict[str, object]:
    tree = ModelMetadataT.InitFromObj(ModelMetadata.GetRootAs(metadata_of(model), 0))
    (graph,) = tree.subgraphMetadata
    (image,), (scores,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    size = image.content.contentProperties.defaultSize
    units = [unit.options for unit in scores.processUnits or []]
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        labels = archive.read(scores.associatedFiles[0].name.decode()).decode()
    return {
        "name": tree.name.decode(),
        "labels": labels.split("\n")[:-1],
        "size": [size.height, size.width],
        "threshold": units[0].globalScoreThreshold if units else 0.0,
        "custom": {
            one.name.decode(): json.loads(bytes(one.data)) for one in graph.customMetadata or []
        },
    }


def metadata_of(model: bytes) -> bytes:
    root = Model.GetRootAs(model, 0)
    entries = [root.Metadata(n) for n in range(root.MetadataLength())]
    (entry,) = [one for one in entries if one.Name() == b"TFLITE_METADATA"]
    return root.Buffers(entry.Buffer()).DataAsNumpy().tobytes()


def timed(classifier, picture) -> float:
    start = time.perf_counter()
    classifier.classify(picture)
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
