"""The shipped files: what they say of unknown things, what it costs, and what learning changes."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rejection_candidates import Candidate, Fold, Score, shipped
from rejection_judging import COLUMNS, Judge, Verdict
from rejection_sources import EVERY, Source, Space

from edgetl_export.evaluate.scoring import look
from edgetl_export.evaluate.tensors import describe
from edgetl_export.graph.hiding import hide
from edgetl_export.unknown.detecting import PHOTOS, SHARE_OF_BYTES, measure_lead
from edgetl_export.unknown.detector import MOST_PROTOTYPES, Knownness, sum_up
from edgetl_export.unknown.litert_detector import add_to_tflite
from edgetl_export.unknown.onnx_detector import add_to_onnx
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.learning.learned import Learned
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.student import Student, read_lessons
from edgetl_runtime.teaching.frames import Collector
from edgetl_runtime.teaching.lesson import take_lesson

VARIANTS = ("litert-int8", "litert-float32", "onnx-int8")
OTHER_BYTES = 4096
ROUNDS = 150
TRAINING = ("train", "train 1", "train 2")
CERTAIN = 1e6
KEYS = ("scores", "features")


class Examined(msgspec.Struct, frozen=True, eq=False):
    """What a file says of all sources.

    Attributes:
        scores: For each source float32 (photos, outputs).
        features: For each source float32 (photos, features).
        judge: Judges by them.
    """

    scores: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    judge: Judge

    def score(self, fold: Fold) -> Score:
        """By how much the best class leads the unknown.

        Without a class, that of a detector and a head made again on the features of this file.
        """
        if fold.left_out is not None:
            return shipped(rounded=True, photos=PHOTOS)(fold)
        return lambda source: measure_lead(self.scores[source])


def judge_bundle(path: Path, sources: dict[str, Source], kept: Path) -> dict[str, Examined]:
    bundle = Bundle.open(path)
    if not bundle.manifest.unknown_label:
        raise SystemExit(f"{path} has no unknown class; export it with: edgetl export")
    names = [one.name for one in bundle.manifest.variants if one.name in VARIANTS]
    examined = examine(bundle, names, thin_out(sources), kept / f"bundle-{bundle.sha256[:12]}")
    print(f"\n{path}")
    show_header()
    for name, one in examined.items():
        for title, least in (("own threshold", 0.0), ("5 % rejected", None)):
            verdict = one.judge.judge(one.score, least=least)
            lost = one.judge.measure_false_rejects(one.score, 0.0) if least == 0.0 else 0.05
            show_row(f"{name}, {title}", lost, verdict, one.judge.measure_far(one.score))
    return examined


def show_header() -> None:
    cells = ("rejected", *COLUMNS, "far AUROC")
    print(f"{'':<36}" + "".join(f"{one:>11}" for one in cells))


def show_row(title: str, rejected: float, verdict: Verdict, far: float) -> None:
    cells = [
        "-" if np.isnan(cell) else f"{cell:.3f}" if column == "near" else f"{cell:.0%}"
        for column, cell in zip(COLUMNS, verdict.cells, strict=True)
    ]
    line = "".join(f"{cell:>11}" for cell in (f"{rejected:.1%}", *cells, f"{far:.4f}"))
    print(f"{title:<36}{line}", flush=True)


def thin_out(sources: dict[str, Source]) -> dict[str, Source]:
    """With as many training photos as `edgetl export` sums up."""
    count = len(sources["train"].files)
    some = np.random.default_rng(0).permutation(count)[:PHOTOS]
    thinned = {}
    for name in TRAINING:
        one = sources[name]
        files, labels = ([each[n] for n in some] for each in (one.files, one.labels))
        thinned[name] = Source(tuple(files), tuple(labels), one.alter)
    return sources | thinned


def examine(
    bundle: Bundle, names: Iterable[str], sources: dict[str, Source], kept: Path
) -> dict[str, Examined]:
    """What each file says of all sources; what is in `kept` is not computed again."""
    kept.mkdir(parents=True, exist_ok=True)
    variants = [bundle.variant(name) for name in names]
    for source, one in sources.items():
        places = {variant.name: kept / f"{variant.name}, {source}.npz" for variant in variants}
        if all(place.exists() for place in places.values()):
            continue
        inputs = list(one.read(bundle.manifest.preprocessing))
        for variant in variants:
            tensors = (variant.input, variant.output)
            seen = look(
                variant.engine, bundle.read(variant), tensors, variant.hidden, "features", inputs
            )
            scores, features = ([getattr(one, key) for one in seen] for key in KEYS)
            np.savez(places[variant.name], scores=scores, features=features)
    return {one.name: _gather(bundle, one, sources, kept) for one in variants}


def _gather(bundle: Bundle, variant: Variant, sources: dict[str, Source], kept: Path) -> Examined:
    found: dict[str, dict[str, np.ndarray]] = {key: {} for key in KEYS}
    for source in sources:
        with np.load(kept / f"{variant.name}, {source}.npz") as arrays:
            for key in KEYS:
                found[key][source] = arrays[key]
    memory = read_memory(bundle, variant)
    space = Space(variant.hidden.map_channels, found["features"], (memory.kernel, memory.bias))
    # Of the file without its detector.
    share = SHARE_OF_BYTES / (1 + SHARE_OF_BYTES)
    prototypes = count_prototypes(variant.bytes, len(memory.kernel), share)
    return Examined(**found, judge=Judge(space, space, sources, prototypes))


def count_prototypes(file_bytes: int, features: int, share: float) -> int:
    return int(min(MOST_PROTOTYPES, (share * file_bytes - OTHER_BYTES) // (features + 4)))


def compare_costs(path: Path) -> None:
    """Bytes and time of the files of a bundle without an unknown class, and with a detector."""
    bundle = Bundle.open(path)
    if bundle.manifest.unknown_label:
        raise SystemExit(f"{path} has an unknown class; give one that was exported without it")
    size = bundle.manifest.preprocessing
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (size.height_px, size.width_px, 3), dtype=np.uint8)
    print(f"\n{path}: one thread, minima of {ROUNDS}, in turn")
    for variant in bundle.manifest.variants:
        plain = bundle.read(variant)
        detected, prototypes = add_detector(variant, plain, random)
        before_ms, after_ms = time_in_turn(variant, (plain, detected), pixels)
        print(
            f"{variant.name:<16}{prototypes:>4} prototypes  "
            f"bytes {len(plain):,} -> {len(detected):,} ({len(detected) / len(plain) - 1:+.1%})  "
            f"invoke {before_ms:.2f} -> {after_ms:.2f} ms ({after_ms / before_ms - 1:+.1%})",
            flush=True,
        )


def add_detector(variant: Variant, plain: bytes, random: np.random.Generator) -> tuple[bytes, int]:
    """A detector of the usual size, of random prototypes."""
    hidden = hide(variant.engine, plain)
    features = len(hidden.head.kernel)
    prototypes = count_prototypes(len(plain), features, SHARE_OF_BYTES)
    rows = np.abs(random.normal(size=(4 * MOST_PROTOTYPES, features))).astype(np.float32)
    none = np.zeros(len(rows), np.int64)
    means = sum_up(rows, none, 1, prototypes, 0, hidden.outputs.map_channels)
    add = add_to_tflite if variant.engine == "litert" else add_to_onnx
    return add(plain, Knownness(means, 20.0).make_detector(3.0)), prototypes


def time_in_turn(variant: Variant, files: Sequence[bytes], pixels: np.ndarray) -> list[float]:
    """The least time of each file, ms."""
    kind = variant.engine
    engines = [open_engine(kind, one, describe(kind, one), 1) for one in files]
    times_s: list[list[float]] = [[] for _ in files]
    for _ in range(ROUNDS):
        for engine, taken in zip(engines, times_s, strict=True):
            start_s = time.perf_counter()
            engine.run(pixels)
            taken.append(time.perf_counter() - start_s)
    return [min(one) * 1e3 for one in times_s]


def learn_scene(path: Path, sources: dict[str, Source], label: str, examined: Examined) -> None:
    """Known bottles elsewhere, before and after a file has watched them for half of the video."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "learning.bundle"
        shutil.copytree(path, copy)
        student = Student.open(copy, variant="litert-int8", threads=1)
        first, second = split_video(sources["bottle"].files[0], student)
        take = first.finish()
        report = take_lesson(student, take, "scene", label)
        print(f"\nlearn-scene --label {label}: {report.frames} frames, {report.refused or 'kept'}")
        print(f"validation photos right: {report.kept.before} -> {report.kept.after}")
        if not report.stored:
            return
        learned = student.fit(read_lessons(Overlay.open(student.bundle), student))
        print("frames of the second half")
        apply = student.bundle.manifest.preprocessing.apply
        show_frames(learned, student, [apply(frame) for frame in second])
        print("the same frames, with another thing pasted into their middle")
        strange = [read_picture(file) for file in sources.get("bees", sources["photos"]).files]
        pasted = [paste(frame, strange[n % len(strange)]) for n, frame in enumerate(second)]
        show_frames(learned, student, [apply(frame) for frame in pasted])
        show_learned(examined, learned)


def split_video(video: Path, student: Student) -> tuple[Collector, list[Frame]]:
    """The lesson's frames from the first half, and every fourth of the second."""
    frames = [frame.image for frame in read_frames(video)]
    middle = len(frames) // 2
    collector = Collector(alike=False)
    for frame in frames[:middle]:
        collector.add(frame, student.bundle.manifest.preprocessing.apply(frame))
    return collector, frames[middle::EVERY]


def paste(frame: Frame, thing: Frame) -> Frame:
    """A photo over the middle of a frame, a quarter of its area."""
    height, width = (length // 2 for length in frame.shape[:2])
    pasted = frame.copy()
    place = slice(height // 2, height // 2 + height), slice(width // 2, width // 2 + width)
    pasted[place] = cv2.resize(thing, (width, height), interpolation=cv2.INTER_AREA)
    return pasted


def show_frames(learned: Learned, student: Student, inputs: list[Frame]) -> None:
    seen = [student.engine.look(one) for one in inputs]
    names = student.bundle.manifest.outputs
    before = [names[int(one.scores.argmax())] for one in seen]
    after = [learned.labels[int(learned.score(one, 1.0).argmax())] for one in seen]
    for title, said in (("before", before), ("after", after)):
        shares = (f"{name} {said.count(name) / len(said):.1%}" for name in sorted(set(said)))
        print(f"  {title}: {', '.join(shares)}")
    familiar = is_familiar(learned, np.stack([one.features for one in seen])).mean()
    print(f"  looks like the first half: {familiar:.1%}")


def is_familiar(learned: Learned, features: np.ndarray) -> np.ndarray:
    return learned.familiar.find(features, len(learned.labels)).any(axis=1)


def show_learned(examined: Examined, learned: Learned) -> None:
    show_header()
    changed = change(examined, learned)
    for title, one in (("before", examined.score), ("after", changed)):
        judge = examined.judge
        lost = judge.measure_false_rejects(one, 0.0)
        show_row(
            f"own threshold, {title}", lost, judge.judge(one, least=0.0), judge.measure_far(one)
        )


def change(examined: Examined, learned: Learned) -> Candidate:
    """How far ahead of the unknown the best class is, once the place was learned."""

    def make(fold: Fold) -> Score:
        before = examined.score(fold)
        classes = [n for n in range(learned.own.bias.size) if n != fold.left_out]

        def score(source: str) -> np.ndarray:
            features = examined.features[source]
            fitted = (features @ learned.head.kernel + learned.head.bias)[:, classes].max(axis=1)
            own = (features @ learned.own.kernel + learned.own.bias)[:, classes].max(axis=1)
            known = is_familiar(learned, features)
            return before(source) + fitted - own + CERTAIN * known

        return score

    return make
