"""The shipped files before unknown things: what they say, what it costs, and what learning changes."""

import shutil
import tempfile
import time
from collections.abc import Iterable
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
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.learning.learned import Learned
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.student import Student, read_lessons
from edgetl_runtime.teaching.frames import Collector
from edgetl_runtime.teaching.lesson import take_lesson

VARIANTS = ("litert-int8", "litert-float32", "onnx-int8")
OTHER_BYTES = 4096
ROUNDS = 150
TRAINING = ("train", "train 1", "train 2")
FIRST, SECOND = "bottle, first half", "bottle, second half"
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
    print(
        f"{'':<36}{'rejected':>11}"
        + "".join(f"{one:>11}" for one in COLUMNS)
        + f"{'far AUROC':>11}"
    )
    for name, one in examined.items():
        for title, least in (("own threshold", 0.0), ("5 % rejected", None)):
            verdict = one.judge.judge(one.score, least=least)
            lost = one.judge.measure_false_rejects(one.score, 0.0) if least == 0.0 else 0.05
            show_row(f"{name}, {title}", lost, verdict, one.judge.measure_far(one.score))
    return examined


def show_row(title: str, rejected: float, verdict: Verdict, far: float) -> None:
    cells = [
        f"{cell:.3f}" if column == "near" else f"{cell:.0%}"
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
        raise SystemExit(
            f"{path} has an unknown class; export one with: edgetl export --no-unknown"
        )
    random = np.random.default_rng(0)
    height_px, width_px = (
        bundle.manifest.preprocessing.height_px,
        bundle.manifest.preprocessing.width_px,
    )
    pixels = random.integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    print(f"\n{path}: one thread, minima of {ROUNDS}, in turn")
    for variant in bundle.manifest.variants:
        plain = bundle.read(variant)
        hidden = hide(variant.engine, plain)
        features = len(hidden.head.kernel)
        prototypes = count_prototypes(len(plain), features, SHARE_OF_BYTES)
        rows = np.abs(random.normal(size=(4 * MOST_PROTOTYPES, features))).astype(np.float32)
        none = np.zeros(len(rows), np.int64)
        means = sum_up(rows, none, 1, prototypes, 0, hidden.outputs.map_channels)
        add = add_to_tflite if variant.engine == "litert" else add_to_onnx
        files = [plain, add(plain, Knownness(means, 20.0).make_detector(3.0))]
        engines = [
            open_engine(variant.engine, one, describe(variant.engine, one), 1) for one in files
        ]
        times_s = [[], []]
        for _ in range(ROUNDS):
            for engine, taken in zip(engines, times_s, strict=True):
                start_s = time.perf_counter()
                engine.run(pixels)
                taken.append(time.perf_counter() - start_s)
        least_ms = [min(one) * 1e3 for one in times_s]
        print(
            f"{variant.name:<16}{prototypes:>4} prototypes  bytes {len(plain):,} -> "
            f"{len(files[1]):,} ({len(files[1]) / len(plain) - 1:+.1%})  invoke {least_ms[0]:.2f} -> "
            f"{least_ms[1]:.2f} ms ({least_ms[1] / least_ms[0] - 1:+.1%})",
            flush=True,
        )


def learn_scene(path: Path, sources: dict[str, Source], label: str, examined: Examined) -> None:
    """Known bottles elsewhere, before and after a file has watched them for half of the video."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "learning.bundle"
        shutil.copytree(path, copy)
        student = Student.open(copy, variant="litert-int8", threads=1)
        halves = split_video(sources["bottle"].files[0], student)
        take = halves[0].finish()
        report = take_lesson(student, take, "scene", label)
        print(f"\nlearn-scene --label {label}: {report.frames} frames, {report.refused or 'kept'}")
        print(f"validation photos right: {report.kept.before} -> {report.kept.after}")
        if not report.stored:
            return
        learned = student.fit(read_lessons(Overlay.open(student.bundle), student))
        show_learned(examined, learned, student, halves[1])


def split_video(video: Path, student: Student) -> tuple[Collector, list[np.ndarray]]:
    """The lesson's frames from the first half, and the inputs of every fourth of the second."""
    frames = [frame.image for frame in read_frames(video)]
    collector, rest = Collector(alike=False), []
    apply = student.bundle.manifest.preprocessing.apply
    for n, frame in enumerate(frames):
        if n < len(frames) // 2:
            collector.add(frame, apply(frame))
        elif n % EVERY == 0:
            rest.append(apply(frame))
    return collector, rest


def show_learned(
    examined: Examined, learned: Learned, student: Student, rest: list[np.ndarray]
) -> None:
    seen = [student.engine.look(one) for one in rest]
    names = student.bundle.manifest.outputs
    before = [names[int(one.scores.argmax())] for one in seen]
    after = [learned.labels[int(learned.score(one, 1.0).argmax())] for one in seen]
    for title, said in (("before", before), ("after", after)):
        counts = ", ".join(
            f"{name} {said.count(name) / len(said):.0%}" for name in sorted(set(said))
        )
        print(f"{SECOND}, {title}: rejected {said.count('unknown') / len(said):.1%}; {counts}")
    known = sum(learned.familiar.knows(one.features) for one in seen) / len(seen)
    print(f"looks like the first half: {known:.1%}")
    print(
        f"{'':<36}{'rejected':>11}"
        + "".join(f"{one:>11}" for one in COLUMNS)
        + f"{'far AUROC':>11}"
    )
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
            known = np.array([learned.familiar.knows(one) for one in features])
            return before(source) + fitted - own + CERTAIN * known

        return score

    return make
