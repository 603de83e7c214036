"""What detectors of unknown things are judged on: photos, views of photos, and frames of videos.

What a detector sees of them are features; here they are made and kept. A network's maps are pooled
on LiteRT: the mean of each channel, its maximum, and the mean of its squares.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edgetl.augmentation.strengths import PRESETS, Augmentation
from edgetl.augmentation.views import make_view
from edgetl.dataset.manifest import scan
from edgetl.networks.backbones import find_backbone
from edgetl.networks.head import HEAD
from edgetl.networks.model import build_extractor, load_network
from edgetl.networks.weights import Weights, weights_file_name
from edgetl.run import Run
from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.graph.conversion import convert_to_tflite, freeze
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.image.preprocessing import Frame, Preprocessing

EVERY = 4  # frames of a video
POOLINGS = ("mean", "max", "square")
VIDEOS = {"road": "car-detection.mp4", "hand": "again.mkv", "bottle": "bottle-detection.mp4"}
SHIFTS = ("half", "full", "double", "160 px", "webcam")
Alter = Callable[[Frame, str], Frame]


class Source(msgspec.Struct, frozen=True):
    """Photos of a kind, or a video.

    Attributes:
        files: The photos, or the one video.
        labels: What each shows; empty for what has no labels.
        alter: What is done to a photo, given its hash.
    """

    files: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    alter: Alter | None = None

    @property
    def is_video(self) -> bool:
        return self.files[0].suffix in (".mkv", ".mp4")

    def read(self, preprocessing: Preprocessing) -> Iterator[Frame]:
        """The model's inputs, read side by side."""
        if self.is_video:
            for frame in read_frames(self.files[0]):
                if frame.index % EVERY == 0:
                    yield preprocessing.apply(frame.image)
            return

        def prepare(file: Path) -> Frame:
            photo = read_picture(file)
            if self.alter:
                photo = self.alter(photo, hashlib.sha256(file.read_bytes()).hexdigest())
            return preprocessing.apply(photo)

        yield from share_out(lambda: prepare, self.files)


def list_sources(data: Path, more: Path | None) -> dict[str, Source]:
    """All sources by name.

    `train` trains heads and detectors, `train 1` and `train 2` are views of it by other cameras,
    `val` chooses weights, `test` is known, and each of SHIFTS is what a camera might make of it.
    Without `more` the validation photos are both `val` and `test`.
    """
    manifest = scan(data / "trashnet")
    train, val = (_label(manifest, part) for part in ("train", "val"))
    test = _find_photos(more / "trashnet_other") if more else val
    camera = PRESETS["camera"]
    found = {"train": Source(*train), "val": Source(*val), "test": Source(*test)}
    for number in (1, 2):
        found[f"train {number}"] = Source(*train, view_by(camera, number))
    alterations = (
        view_by(_scale(0.5), 21),
        view_by(camera, 22),
        view_by(_scale(2), 23),
        lambda photo, digest: _shrink(photo, 160),
        lambda photo, digest: _compress(_shrink(photo, 320), 30),
    )
    found |= {name: Source(*test, alter) for name, alter in zip(SHIFTS, alterations, strict=True)}
    if more:
        found["bees"] = Source(_find_photos(more / "hymenoptera_data")[0])
    found["photos"] = Source(tuple(sorted((data / "photos").iterdir())))
    found |= {name: Source((data / "videos" / file,)) for name, file in VIDEOS.items()}
    return found | {"rubbish": Source(*_find_photos(data / "rubbish"))}


def _label(manifest, part: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    entries = manifest.select(part)
    return tuple(manifest.file(one) for one in entries), tuple(one.label for one in entries)


def _find_photos(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    files = tuple(sorted(file for file in folder.rglob("*") if file.is_file()))
    return files, tuple(file.parent.name for file in files)


def view_by(strengths: Augmentation, number: int) -> Alter:
    return lambda photo, digest: make_view(photo, digest, number, strengths)


def _scale(factor: float) -> Augmentation:
    """The preset `camera`, its strengths multiplied; `jpeg` is at most 97.2, flips 0.5."""
    strengths = {
        name: factor * getattr(PRESETS["camera"], name) for name in Augmentation.__struct_fields__
    }
    strengths |= {"jpeg": min(97.2, strengths["jpeg"])}
    strengths |= {"horizontal_flip": min(0.5, strengths["horizontal_flip"])}
    return Augmentation(**strengths)


def _shrink(photo: Frame, width_px: int) -> Frame:
    height_px = round(photo.shape[0] * width_px / photo.shape[1])
    return cv2.resize(photo, (width_px, height_px), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _compress(photo: Frame, quality: int) -> Frame:
    data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[return-value]


class Space(msgspec.Struct, frozen=True, eq=False):
    """Pooled maps of all sources.

    Attributes:
        parts: Channels of each map.
        pooled: For each source float32 (photos, maps x POOLINGS x channels), or the means alone.
        head: Kernel (features, classes) and bias of the head on the means; None if untrained.
    """

    parts: tuple[int, ...]
    pooled: dict[str, np.ndarray]
    head: tuple[np.ndarray, np.ndarray] | None = None

    def take(self, source: str, pooling: str, taps: Sequence[int]) -> np.ndarray:
        """One kind of features of some maps: `mean`, `max`, `std` or `mean+std`."""
        rows = self.pooled[source]
        edges = np.cumsum([0, *self.parts]) * (rows.shape[1] // sum(self.parts))
        found = []
        for tap in taps:
            part = rows[:, edges[tap] : edges[tap + 1]]
            if part.shape[1] == self.parts[tap]:
                found.append(part)
                continue
            mean, most, square = np.split(part, len(POOLINGS), axis=1)
            std = np.sqrt(np.maximum(square - mean * mean, 0))
            kinds = {"mean": mean, "max": most, "std": std}
            found += [kinds[one] for one in pooling.split("+")]
        return np.concatenate(found, axis=1)


def open_space(network: str, sources: dict[str, Source], data: Path, kept: Path) -> Space:
    """The features by a backbone's name or a run's folder; those in `kept` are not made again."""
    folder = Path(network)
    run = Run.open(folder) if folder.is_dir() else None
    name = f"run-{run.file.model_sha256[:12]}" if run else network
    preprocessing = run.spec.preprocessing if run else _preprocess_for(network)
    load = cache(lambda: run.load_model() if run else _load(network, data))
    hire = cache(lambda: _make_pooling(load()))
    pooled = {}
    for source, one in sources.items():
        place = kept / name / f"{source}.npy"
        if not place.exists() or (not one.is_video and len(np.load(place, "r")) != len(one.files)):
            place.parent.mkdir(parents=True, exist_ok=True)
            print(f"{name}: {source}", flush=True)
            np.save(place, np.stack(list(share_out(hire(), list(one.read(preprocessing))))))
        pooled[source] = np.load(place)
    places = kept / name / "parts.npz"
    if not places.exists():
        model = load()
        kernel = model.get_layer(HEAD).get_weights() if run else []
        parts = [one.input.shape[-1] for one in _find_pools(model)]
        np.savez(places, *kernel, parts=parts)
    with np.load(places) as arrays:
        head = (arrays["arr_0"], arrays["arr_1"]) if run else None
        return Space(tuple(arrays["parts"].tolist()), pooled, head)


def _preprocess_for(network: str) -> Preprocessing:
    size_px = find_backbone(network).size_px
    return Preprocessing(width_px=size_px, height_px=size_px)


def _load(network: str, data: Path):
    backbone = find_backbone(network)
    file = data / "weights" / weights_file_name(backbone, backbone.size_px)
    weights = Weights(source=str(file), path=file, digest="")
    loaded = load_network(backbone, weights, backbone.size_px)
    return build_extractor(backbone, loaded, backbone.size_px)


def _find_pools(model) -> list:
    return [layer for layer in model.layers if layer.name.startswith("pool_")]


def _make_pooling(model):
    """Hires workers that run the network and pool its maps, on LiteRT."""
    import keras
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    rows = []
    for pool in _find_pools(model):
        square = keras.ops.square(pool.input)
        most = keras.layers.GlobalMaxPooling2D()(pool.input)
        rows += [pool.output, most, keras.layers.GlobalAveragePooling2D()(square)]
    pooling = keras.Model(model.input, keras.layers.Concatenate()(rows))
    frozen = freeze(pooling, (1, *model.input.shape[1:]))
    graph = convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))

    def hire():
        engine = Interpreter(model_content=graph, num_threads=1)
        engine.allocate_tensors()
        start, end = engine.get_input_details()[0], engine.get_output_details()[0]

        def look(pixels: Frame) -> np.ndarray:
            engine.set_tensor(start["index"], pixels[np.newaxis].astype(np.float32))
            engine.invoke()
            return engine.get_tensor(end["index"])[0].copy()

        return look

    return hire
