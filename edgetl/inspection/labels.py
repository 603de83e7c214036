"""Problems that a backbone's features show: wrong labels, outliers, the same object twice.

Wrong labels are found by confident learning (Northcutt, Jiang and Chuang 2021, "Confident
Learning: Estimating Uncertainty in Dataset Labels", cleanlab) on predictions of heads that did
not learn from the photo, and weighed against its nearest neighbours. The thresholds were chosen
on TrashNet with mobilenet_v2_0.35; distances count in units of the data set's own spread, so
that they carry over to other backbones.
"""

import warnings
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, Example
from edgetl.inspection.photos import Issue, Sure
from edgetl.training.cross_validation import FOLDS, predict_out_of_fold
from edgetl_export.progress import track
from edgetl_export.wording import percent

NEIGHBOURS = 10
# A class with fewer groups has folds that never saw it.
LEAST_GROUPS = 2 * FOLDS
# Of the median distance to the neighbours. On TrashNet: cosine 0.971, which 17 of its 18
# near-duplicate pairs reach, and 4 others, each one thing photographed twice.
SAME_THING = 0.2
# Deviations (1.4826 times the median absolute one) above the median distance. 3.5 is the usual
# bound of a modified z-score (Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers");
# each of six foreign images put into TrashNet exceeds it, and 7 of its 1,781 own.
OUTLIER, SURE_OUTLIER = 3.5, 5.0
_L2 = 0.1
_AGREEING = 0.1
_BLOCK = 1024

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class _Neighbours(msgspec.Struct, frozen=True, eq=False):
    """Nearest rows of other groups: index int64 and cosine float32, both (rows, k)."""

    index: Integers
    cosine: Floats

    @property
    def distance(self) -> Floats:
        """Mean cosine distance to them, 0..2: float32 (rows,)."""
        return np.asarray(1 - self.cosine.mean(axis=1), np.float32)


def find_feature_issues(
    manifest: DatasetManifest, features: Floats, *, seed: int = 0
) -> tuple[list[Issue], list[str]]:
    """Finds wrong labels, outliers and photos of the same thing.

    Memory and time of the comparison grow with a block of rows and with the square of the
    photos: 1,800 take a second, 100,000 some minutes.

    Args:
        manifest: The photos.
        features: float32 (examples, features), in the order of the examples.
        seed: Of the folds.

    Returns:
        The issues, and what could not be looked for, with the reason.
    """
    names, groups = np.unique([one.group for one in manifest.examples], return_inverse=True)
    if len(names) <= NEIGHBOURS:
        return [], [f"outliers and labels need more than {NEIGHBOURS} different photos"]
    near = _find_neighbours(features, groups.astype(np.int64))
    issues = [*_find_same_things(manifest, near), *_find_outliers(manifest, near)]
    found, left_out = _find_wrong_labels(manifest, features, groups.astype(np.int64), near, seed)
    return issues + found, left_out


def _find_neighbours(features: Floats, groups: Integers) -> _Neighbours:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, 1e-12)
    indices, cosines = [], []
    starts = range(0, len(unit), _BLOCK)
    for start in track(starts, "comparing features", len(starts)):
        cosine = unit[start : start + _BLOCK] @ unit.T
        cosine[groups[start : start + _BLOCK, np.newaxis] == groups] = -1
        best = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        values = np.take_along_axis(cosine, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices.append(np.take_along_axis(best, order, axis=1))
        cosines.append(np.take_along_axis(values, order, axis=1))
    return _Neighbours(np.concatenate(indices).astype(np.int64), np.concatenate(cosines))


def _find_same_things(manifest: DatasetManifest, near: _Neighbours) -> Iterator[Issue]:
    examples = manifest.examples
    closest = SAME_THING * float(np.median(near.distance))
    pairs = {
        (min(row, other), max(row, other)): float(cosine)
        for row, (others, cosines) in enumerate(zip(near.index, near.cosine, strict=True))
        for other, cosine in zip(others.tolist(), cosines, strict=True)
        if 1 - cosine <= closest
    }
    for (one, other), cosine in sorted(pairs.items(), key=lambda pair: -pair[1]):
        yield _describe_pair(examples[one], examples[other], cosine)


def _describe_pair(one: Example, other: Example, cosine: float) -> Issue:
    parts = {one.split, other.split}
    leaks = "train" in parts and len(parts) > 1
    if leaks and one.split == "train":
        one, other = other, one
    labels = "" if one.label == other.label else f", labelled {one.label} and {other.label}"
    where = f"; one is in train, one in {one.split}" if leaks else ""
    return Issue(
        "leak" if leaks else "near_duplicate",
        (one.path, other.path),
        f"possibly the same object photographed twice{labels} (feature cosine {cosine:.3f}){where}",
        "possible",
        "If it is one object, keep one photo, or put both into the same split."
        if leaks
        else "If it is the same shot, keep one.",
        label=one.label,
        score=round(cosine, 4),
    )


def _find_outliers(manifest: DatasetManifest, near: _Neighbours) -> Iterator[Issue]:
    distance = near.distance.astype(np.float64)
    middle = float(np.median(distance))
    spread = 1.4826 * float(np.median(np.abs(distance - middle)))
    if spread == 0:
        return
    deviations = (distance - middle) / spread
    for row in np.argsort(-deviations, kind="stable"):
        if deviations[row] < OUTLIER:
            return
        example = manifest.examples[row]
        sure: Sure = "likely" if deviations[row] >= SURE_OUTLIER else "possible"
        yield Issue(
            "outlier",
            (example.path,),
            f"unlike all other photos: {distance[row] / middle:.1f} times the usual distance to "
            f"its {NEIGHBOURS} nearest",
            sure,
            f"If it is not a {example.label}, delete it; if it is, add more photos like it.",
            label=example.label,
            score=round(float(1 - 1 / max(deviations[row], 1.0)), 4),
        )


def _find_wrong_labels(
    manifest: DatasetManifest,
    features: Floats,
    groups: Integers,
    near: _Neighbours,
    seed: int,
) -> tuple[list[Issue], list[str]]:
    examples = manifest.examples
    labels, left_out = _choose_labels(manifest)
    if len(labels) < 2:
        return [], left_out
    kept = np.array([n for n, one in enumerate(examples) if one.label in labels], np.int64)
    classes = np.array([labels.index(examples[n].label) for n in kept], np.int64)
    chances = predict_out_of_fold(
        features[kept],
        classes,
        groups[kept],
        len(labels),
        l2=_L2,
        seed=seed,
    )
    given = np.array([one.label for one in examples])
    agreeing = (given[near.index] == given[:, np.newaxis]).mean(axis=1)
    contradicted = _contradicted(manifest)
    issues = []
    for row in _suspect(classes, chances):
        example = examples[kept[row]]
        own, best = float(chances[row, classes[row]]), int(chances[row].argmax())
        if best != classes[row] and example.group not in contradicted:
            issues.append(
                _describe_label(
                    example,
                    labels[best],
                    own,
                    float(chances[row, best]),
                    float(agreeing[kept[row]]),
                )
            )
    return sorted(issues, key=lambda one: (one.sure, -(one.score or 0))), left_out


def _choose_labels(manifest: DatasetManifest) -> tuple[list[str], list[str]]:
    """Classes with enough groups to be judged; and the others, in words."""
    counts = Counter(label for label, _ in {(one.label, one.group) for one in manifest.examples})
    rare = [label for label in manifest.labels if counts[label] < LEAST_GROUPS]
    left_out = [
        f"wrong labels of {', '.join(rare)}: a class needs {LEAST_GROUPS} different photos; add "
        "some"
    ]
    return [label for label in manifest.labels if label not in rare], left_out if rare else []


def _suspect(classes: Integers, chances: Floats) -> list[int]:
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():  # about classes in which it finds nothing
        warnings.simplefilter("ignore")
        rows = find_label_issues(
            classes,
            chances,
            filter_by="both",
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    return [int(row) for row in rows]


def _contradicted(manifest: DatasetManifest) -> set[str]:
    """Groups with two labels; they are a finding of their own."""
    pairs = {(one.group, one.label) for one in manifest.examples}
    return {group for group, count in Counter(group for group, _ in pairs).items() if count > 1}


def _describe_label(
    example: Example, suggested: str, own: float, best: float, agreeing: float
) -> Issue:
    # Both judges: the head's doubt alone is often the head's own mistake.
    sure: Sure = "likely" if agreeing <= _AGREEING else "possible"
    votes = round(agreeing * NEIGHBOURS)
    seen = {0: "none", 1: "only one"}.get(votes, str(votes))
    verb = "is" if votes < 2 else "are"
    return Issue(
        "wrong_label",
        (example.path,),
        f"labelled {example.label} ({percent(own, 0)}), looks like {suggested} "
        f"({percent(best, 0)}); {seen} of its {NEIGHBOURS} nearest photos {verb} {example.label}",
        sure,
        f"Check it: move it to {suggested}, or keep it if the label is correct.",
        label=example.label,
        suggested=suggested,
        score=round(1 - (own + agreeing) / 2, 4),
    )
