"""How well and how fast does a device learn a class that its file has never seen?

    OMP_NUM_THREADS=1 EDGETL_TEST_DATA=... .venv/bin/python benchmarks/teaching.py --bundle BUNDLE
        [--variant NAME] [--threads 1] [--data FOLDER] [--repeats 2] [--json]

BUNDLE is one whose backbone is frozen (`edgetl train --finetune none`), so that it knows no class
of FOLDER (default: TrashNet) but by its head. The features of each photo are what the file returns.
Each class is left out in turn: a head is trained on the others, 40 photos of each and 40 others are
its memory, and the class is taught from 5, 20 and 100 photos. What is taught is compared, on photos
that nothing was fitted on, with

- imprinting: the mean of the new features is the new class's kernel (Qi et al. 2018, "Low-Shot
  Learning with Imprinted Weights"), its bias in the middle between old and new rows;
- ridge: the exporter's refit, a ridge regression to the logits of the old head;
- lda: linear discriminants of the stored and new rows alone;
- full training: a head trained on all photos of the old classes and the same new ones.

Things that were never shown are counted, too: of two kinds of rubbish that the file does not know,
batteries and cigarettes, one is taught and the other is not, and photos of both are classified.

The time is that for 10 classes of 20 photos, from the files to the head. Coral's imprinting takes
987 ms for as many on a Raspberry Pi 4 with an accelerator (coral.ai, "Weight imprinting").
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from data import test_data

from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.learning.head import fit_head
from edgetl_runtime.learning.learned import Taught, learn, recall
from edgetl_runtime.learning.student import Student

TAUGHT = (5, 20, 100)
STORED = 40
TRAINING_SHARE = 0.6
TRAINING_PENALTY = 1e-2
RIDGE_PENALTY = 1.0
SHRINKAGE = 0.5
CORAL_MS = 987
TIMED_CLASSES, TIMED_PHOTOS = 10, 20

PAIR = ("battery", "cigarette")
SEEDS = 4

Method = Callable[[Head, Memory, np.ndarray], Head]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--variant")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--times", action="store_true", help="only the times, as on a board")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    student = Student.open(options.bundle, variant=options.variant, threads=options.threads)
    folder = options.data or test_data() / "trashnet"
    files = {one.name: sorted(one.iterdir()) for one in sorted(folder.iterdir()) if one.is_dir()}
    timed = time_teaching(student, [file for several in files.values() for file in several])
    if options.times:
        print(json.dumps(timed) if options.json else describe_times(timed))
        return
    features = {label: look(student, several) for label, several in files.items()}
    rows = compare(features, options.repeats)
    beside = [*teach_beside(student)]
    if options.json:
        found = {"time": timed, "accuracy": rows, "beside": beside}
        print(json.dumps({"variant": student.variant.name} | found))
    else:
        show(student, timed, rows)
        show_beside(beside)


def look(student: Student, files: list[Path]) -> np.ndarray:
    apply = student.bundle.manifest.preprocessing.apply
    return student.look([apply(read_picture(file)) for file in files])


def time_teaching(student: Student, files: list[Path]) -> dict[str, float]:
    """Milliseconds for 10 classes of 20 photos; what the classes are does not matter here."""
    apply = student.bundle.manifest.preprocessing.apply
    count = TIMED_CLASSES * TIMED_PHOTOS
    chosen = [files[n] for n in np.linspace(0, len(files) - 1, count).round().astype(int)]
    student.look([apply(read_picture(chosen[0]))] * 5)
    begin_s = time.perf_counter()
    inputs = [apply(read_picture(file)) for file in chosen]
    prepared_s, prepared_cpu_s = time.perf_counter(), time.process_time()
    features = student.look(inputs)
    looked_s, looked_cpu_s = time.perf_counter(), time.process_time()
    parts = np.split(features, TIMED_CLASSES)
    lessons = [Taught(f"thing {n}", part) for n, part in enumerate(parts)]
    student.fit(lessons)
    fitted_s, fitted_cpu_s = time.perf_counter(), time.process_time()
    student.recall(lessons)
    done_s = time.perf_counter()
    return {
        "prepare_ms": (prepared_s - begin_s) * 1e3,
        "look_ms": (looked_s - prepared_s) * 1e3,
        "fit_ms": (fitted_s - looked_s) * 1e3,
        "check_ms": (done_s - fitted_s) * 1e3,
        # Of processor time, which other programs disturb less.
        "to_invokes": (fitted_cpu_s - prepared_cpu_s) / (looked_cpu_s - prepared_cpu_s),
    }


def compare(features: dict[str, np.ndarray], repeats: int) -> list[dict[str, object]]:
    """Mean accuracies over classes left out and repeats, for each count and method."""
    found = defaultdict(list)
    for new in range(len(features)):
        for seed in range(repeats):
            for key, figures in leave_out(list(features.values()), new, seed).items():
                found[key].append(figures)
    return [
        {"photos": taught, "method": method} | average(several)
        for (taught, method), several in sorted(found.items(), key=lambda one: one[0][0])
    ]


def average(several: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in several])) for name in several[0]}


def leave_out(features: list[np.ndarray], new: int, seed: int) -> dict:
    random = np.random.default_rng(seed)
    order = [*(n for n in range(len(features)) if n != new), new]
    shuffled = [random.permutation(features[n]) for n in order]
    cuts = [round(TRAINING_SHARE * len(one)) for one in shuffled]
    train = [one[:cut] for one, cut in zip(shuffled, cuts, strict=True)]
    held = [one[cut:] for one, cut in zip(shuffled, cuts, strict=True)]
    old = len(order) - 1
    zero = Head(np.zeros((features[0].shape[1], 2), np.float32), np.zeros(2, np.float32))
    head = fit_head(zero, *join(train[:old]), old, penalty=TRAINING_PENALTY)
    memory = make_memory(head, train[:old], held[:old])
    # The photos of the memory choose what is held back, so they are not for measuring.
    test = [*(one[STORED:] for one in held[:old]), held[old]]
    found = {(0, "old head"): measure(head, test)}
    for taught in TAUGHT:
        shown = train[old][:taught]
        heads = {name: method(head, memory, shown) for name, method in METHODS.items()}
        full = [*train[:old], shown]
        heads["full training"] = fit_head(zero, *join(full), old + 1, penalty=TRAINING_PENALTY)
        classes = [str(n) for n in range(old)]
        lessons = [Taught("new", shown)]
        learned = learn(memory, classes, lessons)
        recalled = not recall(memory, classes, lessons)[0].is_lost
        for name, one in heads.items():
            found[taught, name] = measure(one, test)
        ours = measure(learned.head, test)
        found[taught, "edgetl-run teach"] = ours | {"kept": learned.kept.ok and recalled}
    return found


def teach_beside(student: Student) -> Iterator[dict[str, object]]:
    """Shares of photos of two new things, of which one is taught and the other is not."""
    apply = student.bundle.manifest.preprocessing.apply
    seen = {}
    for thing in PAIR:
        files = sorted((test_data() / "rubbish" / thing).iterdir())
        seen[thing] = [student.engine.look(apply(read_picture(file))) for file in files]
    for new, other in (PAIR, PAIR[::-1]):
        for taught in (0, *TAUGHT):
            several = [teach_one(student, seen[new], seen[other], taught, n) for n in range(SEEDS)]
            yield {"new": new, "other": other, "photos": taught} | average(several)


def teach_one(
    student: Student, new: list[Seen], other: list[Seen], taught: int, seed: int
) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(new))
    shown, rest = order[:taught], order[max(TAUGHT) :]
    lessons = [Taught("new", np.stack([new[n].features for n in shown]))] if taught else []
    learned = student.fit(lessons)

    def classify(several: list[Seen]) -> list[str]:
        return [learned.labels[int(learned.score(one, 1.0).argmax())] for one in several]

    found, others = classify([new[n] for n in rest]), classify(other)
    unknown = student.bundle.manifest.unknown_label
    head, labels = learned.head, learned.labels[: learned.unknown]
    logits = np.stack([one.features for one in other]) @ head.kernel + head.bias
    by_head = [labels[int(one.argmax())] for one in logits[:, : len(labels)]]
    return {
        "correct": found.count("new") / len(found),
        "other_as_new": others.count("new") / len(others),
        "other_as_new_by_head": by_head.count("new") / len(by_head),
        "other_unknown": others.count(unknown) / len(others),
    }


def show_beside(rows: list[dict[str, object]]) -> None:
    print("one of two new things is taught, the other is never shown")
    print("taught     photos  correct  the other: called so  by the head alone  unknown")
    for row in rows:
        figures = f"{row['correct']:7.0%}  {row['other_as_new']:20.0%}"
        figures += f"  {row['other_as_new_by_head']:17.0%}  {row['other_unknown']:7.0%}"
        print(f"{row['new']:<9}  {row['photos']:>6}  {figures}")


def join(groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(one) for one in groups])


def make_memory(head: Head, train: list[np.ndarray], held: list[np.ndarray]) -> Memory:
    fit_rows, fit_truth = join([one[:STORED] for one in train])
    check_rows, check_truth = join([one[:STORED] for one in held])
    return Memory(
        kernel=head.kernel,
        bias=head.bias,
        rows=np.concatenate([fit_rows, check_rows]).astype(np.float16),
        classes=np.concatenate([fit_truth, check_truth]).astype(np.int16),
        held_out=np.repeat([False, True], [len(fit_rows), len(check_rows)]),
    )


def measure(head: Head, test: list[np.ndarray]) -> dict[str, float]:
    rows, truth = join(test)
    right = (rows @ head.kernel + head.bias).argmax(axis=1) == truth
    new = truth == len(test) - 1
    return {"old": right[~new].mean(), "new": right[new].mean()}


def fit_rows(memory: Memory) -> tuple[np.ndarray, np.ndarray]:
    fits = ~memory.held_out
    return memory.rows[fits].astype(np.float64), memory.classes[fits].astype(int)


def imprint(head: Head, memory: Memory, shown: np.ndarray) -> Head:
    rows, _ = fit_rows(memory)
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3 * rows.std()
    kernel = (head.kernel - head.kernel.mean(axis=1, keepdims=True)) * scale[:, None]
    bias = head.bias + mean @ head.kernel
    directions = (shown - mean) / scale
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weight = directions.mean(axis=0)
    weight *= np.linalg.norm(kernel, axis=0).mean() / np.linalg.norm(weight)
    everything = np.column_stack([kernel, weight])
    base = np.append(bias - bias.mean(), 0.0)
    logits = (np.concatenate([rows, shown]) - mean) / scale @ everything + base
    lead = logits[:, :-1].max(axis=1) - logits[:, -1]
    is_new = np.arange(len(lead)) >= len(rows)
    errors = [(lead[is_new] >= one).mean() + (lead[~is_new] < one).mean() for one in np.sort(lead)]
    base[-1] = np.sort(lead)[int(np.argmin(errors))]
    plain = everything / scale[:, None]
    return Head(plain.astype(np.float32), (base - mean @ plain).astype(np.float32))


def ridge(head: Head, memory: Memory, shown: np.ndarray) -> Head:
    rows, _ = fit_rows(memory)
    wide = head.widen(head.bias.size + 1)
    logits = rows @ head.kernel + head.bias
    logits -= logits.mean(axis=1, keepdims=True)
    high, low = np.median(logits.max(axis=1)), np.median(logits.min(axis=1))
    targets = np.concatenate(
        [
            np.column_stack([logits, logits.min(axis=1)]),
            np.tile([*[low] * head.bias.size, high], (len(shown), 1)),
        ]
    )
    everything = np.concatenate([rows, shown])
    missing = targets - everything @ wide.kernel - wide.bias
    weights = np.repeat([1 / len(rows) * head.bias.size, 1 / len(shown)], [len(rows), len(shown)])
    weights *= len(everything) / weights.sum()
    mean = np.average(everything, axis=0, weights=weights)
    shift = np.average(missing, axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    centered = (everything - mean) * root
    gram = centered @ centered.T
    penalty = RIDGE_PENALTY * np.trace(gram) / len(gram) * np.eye(len(gram))
    change = centered.T @ np.linalg.solve(gram + penalty, (missing - shift) * root)
    return Head(
        (wide.kernel + change).astype(np.float32),
        (wide.bias + shift - mean @ change).astype(np.float32),
    )


def lda(head: Head, memory: Memory, shown: np.ndarray) -> Head:
    rows, classes = fit_rows(memory)
    scale = rows.std(axis=0) + 1e-3 * rows.std()
    everything = np.concatenate([rows, shown]) / scale
    truth = np.append(classes, [head.bias.size] * len(shown))
    means = np.stack([everything[truth == n].mean(axis=0) for n in range(head.bias.size + 1)])
    rest = everything - means[truth]
    power = np.square(rest).mean() * SHRINKAGE / (1 - SHRINKAGE)
    count = len(rest)
    inner = np.linalg.solve(rest @ rest.T + count * power * np.eye(count), rest @ means.T)
    kernel = (means.T - rest.T @ inner) / power
    bias = -0.5 * (means.T * kernel).sum(axis=0)
    return Head((kernel / scale[:, None]).astype(np.float32), bias.astype(np.float32))


METHODS: dict[str, Method] = {"imprinting": imprint, "ridge": ridge, "lda": lda}


def show(student: Student, timed: dict[str, float], rows: list[dict]) -> None:
    print(f"{student.bundle.path}, {student.variant.name}, {student.engine.name}")
    print(f"{'photos':>6}  {'method':<17}  {'old classes':>11}  {'new class':>9}  accepted")
    for row in rows:
        kept = f"{row['kept']:8.0%}" if "kept" in row else ""
        figures = f"{row['old']:>11.1%}  {row['new']:>9.1%}  {kept}"
        print(f"{row['photos']:>6}  {row['method']:<17}  {figures}")
    print(describe_times(timed))


def describe_times(timed: dict[str, float]) -> str:
    total = timed["look_ms"] + timed["fit_ms"]
    return (
        f"{TIMED_CLASSES} classes of {TIMED_PHOTOS} photos: {total:.0f} ms, of that "
        f"{timed['look_ms']:.0f} ms in the model ({timed['to_invokes']:.2f} times the processor "
        "time of the invokes); "
        f"decoding and resizing {timed['prepare_ms']:.0f} ms, checks {timed['check_ms']:.0f} ms; "
        f"Coral with an accelerator: {CORAL_MS} ms"
    )


if __name__ == "__main__":
    main()
