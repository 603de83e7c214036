"""Drift: does the device see what the validation photos showed?

Nobody knows the truth about the frames, so accuracy cannot be measured. Shares of labels, mean
confidence and rejections can, and change when camera, light or things change. They may also
differ rightly: photos are taken of every class alike, a belt carries mostly one.

Frames a fraction of a second apart show the same thing: a thousand of them are not a thousand
observations. So only one answer in ten seconds counts, and what chance allows is reckoned with the
number of *visits* (runs of one label among those answers), of which several seconds to hours show
one thing. Verdicts wait until there are thirty.
"""

import math
import threading
from collections import Counter, deque
from collections.abc import Mapping
from itertools import groupby
from statistics import NormalDist
from typing import Final

import msgspec

from edgetl_runtime.bundle.manifest import VariantMetrics
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.text.wording import count_noun

DAY_S: Final = 86_400.0
SPACING_S: Final = 10.0
LEAST_VISITS: Final = 30
# The population stability index and its two thresholds are those of credit scoring: Siddiqi 2006,
# "Credit Risk Scorecards", below 0.1 no change, from 0.25 on a major one.
SOME_SHIFT: Final = 0.1
LARGE_SHIFT: Final = 0.25
# Points of share; less is no reason to look.
CONFIDENCE_DROP: Final = 0.1
REJECT_RISE: Final = 0.1
_SURE: Final = 0.99
# A class that one side never saw would make the index infinite.
_LEAST_SHARE: Final = 1e-3
_SHARES_MAY_DIFFER: Final = (
    "label shares may differ without drift: photos are chosen, a camera's frames are not"
)


class DriftReport(msgspec.Struct, frozen=True):
    """Drift: the answers of the last day compared with the validation photos.

    Attributes:
        answers: Counted ones, at most one in ten seconds.
        visits: Runs of one label among them; as many observations as can be called independent.
        label_shares: Label -> share of the answers with a label, 0..1.
        mean_confidence: Mean of the highest score, 0..1; None without answers.
        reject_rate: Share of answers without a label, 0..1; None without answers.
        expected_label_shares: Label shares of the validation photos; None if not in the bundle.
        expected_mean_confidence: Mean confidence on the validation photos, 0..1, or None.
        expected_reject_rate: Reject rate on the validation photos, 0..1, or None.
        stability_index: Population stability index of the shares of labels: the sum over labels of
            (share - expected) ln(share / expected); 0 is equal. None where it cannot be told.
        chance_limit: An index up to here happens by chance in 99 of 100 cases with so few visits.
        verdicts: What is worth a look, one sentence each; empty: nothing.
        notes: How far the figures can be trusted.
    """

    answers: int
    visits: int
    label_shares: dict[str, float]
    mean_confidence: float | None
    reject_rate: float | None
    expected_label_shares: dict[str, float] | None
    expected_mean_confidence: float | None
    expected_reject_rate: float | None
    stability_index: float | None
    chance_limit: float | None
    verdicts: tuple[str, ...]
    notes: tuple[str, ...]


class _Seen(msgspec.Struct, frozen=True):
    answered_s: float
    label: str | None
    score: float


class Drift:
    """Collects what is needed for a report; at most a day of it, one answer in ten seconds."""

    def __init__(
        self, expected: VariantMetrics, *, spacing_s: float = SPACING_S, window_s: float = DAY_S
    ) -> None:
        """Nothing was seen yet.

        Args:
            expected: Of the variant in use.
            spacing_s: Least time between two answers that count; 0 for single images.
            window_s: How far back a report looks.
        """
        self._expected = expected
        self._spacing_s, self._window_s = spacing_s, window_s
        most = math.ceil(window_s / max(spacing_s, SPACING_S))
        self._seen: deque[_Seen] = deque(maxlen=most)
        self._next_s = float("-inf")
        # A report is asked for on another thread than answers are added on.
        self._lock = threading.Lock()

    def add(self, prediction: Prediction) -> None:
        """Counts an answer, unless one was counted less than `spacing_s` ago."""
        if prediction.answered_s < self._next_s:
            return
        self._next_s = prediction.answered_s + self._spacing_s
        seen = _Seen(prediction.answered_s, prediction.label, prediction.score)
        with self._lock:
            self._seen.append(seen)

    def report(self) -> DriftReport:
        """Compares the last day, up to the newest answer, with the validation photos."""
        seen = self._list_recent()
        named = Counter(one.label for one in seen if one.label is not None)
        shares = {label: count / named.total() for label, count in named.most_common()}
        visits = sum(1 for _ in groupby(one.label for one in seen))
        expected = self._expected
        index = limit = None
        if expected.label_shares and named:
            index = measure_stability_index(shares, expected.label_shares)
            classes = len(expected.label_shares)
            limit = find_chance_limit(classes, visits, expected.examples)
        report = DriftReport(
            answers=len(seen),
            visits=visits,
            label_shares=shares,
            mean_confidence=sum(one.score for one in seen) / len(seen) if seen else None,
            reject_rate=1 - named.total() / len(seen) if seen else None,
            expected_label_shares=expected.label_shares,
            expected_mean_confidence=expected.mean_confidence,
            expected_reject_rate=expected.reject_rate,
            stability_index=index,
            chance_limit=limit,
            verdicts=(),
            notes=_list_notes(visits, expected),
        )
        return msgspec.structs.replace(report, verdicts=_judge(report))

    def _list_recent(self) -> list[_Seen]:
        with self._lock:
            seen = list(self._seen)
        since_s = seen[-1].answered_s - self._window_s if seen else 0.0
        return [one for one in seen if one.answered_s > since_s]


def measure_stability_index(shares: Mapping[str, float], expected: Mapping[str, float]) -> float:
    """The population stability index; 0 for equal shares.

    Args:
        shares: Label -> share, 0..1; a missing label has none.
        expected: Label -> share on the validation photos, 0..1.
    """
    total = 0.0
    for label in shares.keys() | expected.keys():
        found = max(shares.get(label, 0.0), _LEAST_SHARE)
        wanted = max(expected.get(label, 0.0), _LEAST_SHARE)
        total += (found - wanted) * math.log(found / wanted)
    return total


def find_chance_limit(classes: int, seen: int, photos: int) -> float:
    """The index that equal shares stay below in 99 of 100 cases.

    With equal shares the index is distributed as (1/seen + 1/photos) times chi-squared with
    classes - 1 degrees of freedom (Yurdakul 2018, "Statistical Properties of Population Stability
    Index"), whose quantile is that of Wilson and Hilferty 1931, good to a per cent.

    Args:
        classes: Number of labels.
        seen: Independent observations on the device.
        photos: Validation photos.
    """
    freedom = max(1, classes - 1)
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + NormalDist().inv_cdf(_SURE) * math.sqrt(spread)) ** 3
    return quantile * (1 / max(1, seen) + 1 / max(1, photos))


def _list_notes(visits: int, expected: VariantMetrics) -> tuple[str, ...]:
    notes = [_SHARES_MAY_DIFFER]
    if expected.label_shares is None:
        notes.append("the bundle has no expected values; export it again to compare")
    if visits < LEAST_VISITS:
        found = f"{count_noun(visits, 'visit')} of {LEAST_VISITS}"
        notes.append(f"not enough frames for a result yet: {found}")
    return tuple(notes)


def _judge(report: DriftReport) -> tuple[str, ...]:
    if report.visits < LEAST_VISITS:
        return ()
    found = (_judge_shares(report), _judge_confidence(report), _judge_rejects(report))
    return tuple(filter(None, found))


def _judge_shares(report: DriftReport) -> str:
    index, limit, expected = (
        report.stability_index,
        report.chance_limit,
        report.expected_label_shares,
    )
    if index is None or limit is None or expected is None or index < max(SOME_SHIFT, limit):
        return ""
    changes = {
        label: report.label_shares.get(label, 0.0) - expected.get(label, 0.0)
        for label in report.label_shares.keys() | expected.keys()
    }
    label = max(sorted(changes), key=lambda one: abs(changes[one]))
    size = "much" if index >= LARGE_SHIFT else "somewhat"
    return (
        f"labels differ {size} from those of the photos (stability index {index:.2f}): {label} is "
        f"{report.label_shares.get(label, 0.0):.0%} of the labels, expected "
        f"{expected.get(label, 0.0):.0%}"
    )


def _judge_confidence(report: DriftReport) -> str:
    found, expected = report.mean_confidence, report.expected_mean_confidence
    if found is None or expected is None or expected - found < CONFIDENCE_DROP:
        return ""
    return (
        f"mean confidence is lower than on the photos: {found:.0%}, expected "
        f"{expected:.0%}; has light, camera or distance changed?"
    )


def _judge_rejects(report: DriftReport) -> str:
    found, expected = report.reject_rate, report.expected_reject_rate
    if found is None or expected is None or found - expected < REJECT_RISE:
        return ""
    return (
        f"{found:.0%} of the answers have no label, expected {expected:.0%}; collect rejected "
        "frames and look at them"
    )
