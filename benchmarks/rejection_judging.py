"""Judges detectors where 5 % of the correctly classified known photos are rejected."""

import msgspec
import numpy as np
from rejection_candidates import OUTLIERS, Candidate, Fold
from rejection_sources import SHIFTS, Source, Space
from scipy.stats import rankdata

FALSE_REJECTS = 0.05
FAR = ("bees", "road", "hand", "photos")
# TrashNet's names of what the other sources show; a bottle may be of either.
RIGHT = {"bottle": ("glass", "plastic"), "can": ("metal",)}
COLUMNS = (*FAR, "near", *SHIFTS, "video", "video lost", "b+c", "b+c lost", "other")


class Verdict(msgspec.Struct, frozen=True):
    """Figures of a detector.

    Attributes:
        far: Share of each far source that gets a label.
        near: Mean AUROC of known photos against those of a class that was left out.
        shifts: Share of known photos under each shift that is rejected, of those that the head
            classifies correctly without the shift.
        video: Share of the frames of known bottles that is rejected; then of those among them
            that the head classifies correctly.
        rubbish: The same of photos of bottles and cans.
        other: Share of photos of batteries and cigarettes that gets a label.
    """

    far: dict[str, float]
    near: float
    shifts: dict[str, float]
    video: tuple[float, float]
    rubbish: tuple[float, float]
    other: float

    @property
    def cells(self) -> list[float]:
        """In the order of COLUMNS; what was not judged is not a number."""
        far = [self.far.get(name, np.nan) for name in FAR]
        shifts = [self.shifts[name] for name in SHIFTS]
        return [*far, self.near, *shifts, *self.video, *self.rubbish, self.other]


class Judge:
    """Judges candidates on the features of one network.

    Attributes:
        labels: The classes.
    """

    def __init__(
        self, space: Space, headed: Space, sources: dict[str, Source], prototypes: int
    ) -> None:
        self.labels = sorted(set(sources["train"].labels))
        self._truth = {
            name: np.searchsorted(self.labels, sources[name].labels)
            for name in ("train", "val", "test")
        }
        self._rubbish = np.array(sources["rubbish"].labels)
        parts = (space, headed, self._truth, prototypes)
        self._fold = Fold(*parts)
        self._folds = [Fold(*parts, left_out=n) for n in range(len(self.labels))]
        self._right = self._fold.logits("test").argmax(axis=1) == self._truth["test"]
        self._far = [name for name in FAR if name in sources]
        bottles = np.repeat("bottle", len(space.pooled["bottle"]))
        self._video_right = self._is_right("bottle", bottles)
        self._rubbish_right = self._is_right("rubbish", self._rubbish)

    def _is_right(self, source: str, shown: np.ndarray) -> np.ndarray:
        said = [self.labels[n] for n in self._fold.logits(source).argmax(axis=1)]
        return np.array([one in RIGHT.get(what, ()) for one, what in zip(said, shown, strict=True)])

    def describe_head(self) -> str:
        known = np.isin(self._rubbish, list(RIGHT))
        shifts = [
            (self._fold.logits(name).argmax(axis=1) == self._truth["test"]).mean()
            for name in SHIFTS
        ]
        shown = ", ".join(f"{name} {share:.0%}" for name, share in zip(SHIFTS, shifts, strict=True))
        rubbish = self._rubbish_right[known].mean()
        return (
            f"labels that are right: test {self._right.mean():.1%} ({shown}), bottle video "
            f"{self._video_right.mean():.0%}, bottles and cans {rubbish:.0%}"
        )

    def judge(
        self, candidate: Candidate, *, saw_road: bool = False, least: float | None = None
    ) -> Verdict:
        """Judges a candidate.

        Args:
            candidate: The detector.
            saw_road: Whether it learned from frames of the road, by which it is not judged then.
            least: What it rejects is below this; None: what rejects FALSE_REJECTS.
        """
        score = self._fold.score_by(candidate)
        if least is None:
            least = float(np.quantile(score("test")[self._right], FALSE_REJECTS))
        far = [name for name in self._far if not (saw_road and name == OUTLIERS)]
        video = score("bottle") < least
        rubbish = score("rubbish") < least
        known = np.isin(self._rubbish, list(RIGHT))
        return Verdict(
            far={name: float((score(name) >= least).mean()) for name in far},
            near=float(np.mean([self._judge_near(candidate, n) for n in range(len(self.labels))])),
            shifts={name: float((score(name)[self._right] < least).mean()) for name in SHIFTS},
            video=(video.mean(), _mean(video[self._video_right])),
            rubbish=(rubbish[known].mean(), _mean(rubbish[known & self._rubbish_right])),
            other=float((~rubbish[~known]).mean()),
        )

    def measure_far(self, candidate: Candidate) -> float:
        """AUROC of the known test photos against all that is far."""
        score = self._fold.score_by(candidate)
        return measure_auroc(score("test"), np.concatenate([score(name) for name in self._far]))

    def measure_false_rejects(self, candidate: Candidate, least: float) -> float:
        """Share of the correctly classified known test photos that is rejected."""
        return float((self._fold.score_by(candidate)("test")[self._right] < least).mean())

    def _judge_near(self, candidate: Candidate, left_out: int) -> float:
        scores = self._folds[left_out].score_by(candidate)("test")
        is_new = self._truth["test"] == left_out
        return measure_auroc(scores[~is_new], scores[is_new])


def _mean(some: np.ndarray) -> float:
    return float(some.mean()) if len(some) else np.nan


def measure_auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often a known photo has the higher score."""
    ranks = rankdata(np.concatenate([known, unknown]))
    count = len(known)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(unknown)))
