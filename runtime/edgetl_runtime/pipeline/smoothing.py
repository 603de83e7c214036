"""From answers to single frames to a label that does not flicker."""

from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from edgetl_runtime.prediction import Prediction, Scores
from edgetl_runtime.settings.sections import SmoothingSettings


class Smoothed(NamedTuple):
    """The stable label and its score, over several frames.

    Attributes:
        label: The stable label, or None if unknown.
        score: Smoothed score of the label, 0..1; the highest one where the label is None.
        scores: float32 (outputs,), smoothed, 0..1.
    """

    label: str | None
    score: float
    scores: Scores


class Smoother:
    """Averages scores or counts labels over frames, and holds a label until another one stays.

    `average`: s <- s + (1 - 0.5 ** (dt / half_life)) * (scores - s), an exponential average whose
    weights follow the time between frames, so that it means the same at 5 and at 60 frames a
    second; the label is the best one, or None when it is the unknown or its average is below
    the reject threshold.
    `majority`: the label, None among them, that most of the last frames had; of equals the newer.
    With both, another label must be the candidate `hold` times in a row to become the stable one
    (hysteresis). At the start of a video, which may be shorter than that, the first label becomes
    it at once.
    """

    def __init__(self, settings: SmoothingSettings) -> None:
        """Begins with no label."""
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Forgets all frames, as after a camera was away: old ones say nothing of now."""
        self._average: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
        self._seen_s = 0.0
        self._recent: deque[Prediction] = deque(maxlen=self._settings.frames)
        self._label: str | None = None
        self._candidate: str | None = None
        self._led = 0
        self._updates = 0

    def update(self, prediction: Prediction, at_s: float, *, is_video: bool = False) -> Smoothed:
        """Takes the next frame's prediction.

        Args:
            prediction: Of the frame alone.
            at_s: When that was seen, seconds: on a camera's clock, or within a video.
            is_video: It is a frame of a video, which begins again where `at_s` is earlier than
                before.
        """
        if is_video and at_s < self._seen_s:
            self.reset()
        begins = is_video and self._label is None and self._updates < self._settings.hold
        hold = 1 if begins else self._settings.hold
        self._updates += 1
        if self._settings.method == "none":
            return Smoothed(prediction.label, prediction.score, prediction.scores)
        if self._settings.method == "average":
            scores = self._add_to_average(prediction, at_s)
            self._hold(prediction.name_best(scores), hold)
        else:
            self._recent.append(prediction)
            scores = np.mean([one.scores for one in self._recent], axis=0, dtype=np.float32)
            self._seen_s = at_s
            self._hold(_find_majority(self._recent), hold)
        return Smoothed(self._label, self._score(prediction.labels, scores), scores)

    def _add_to_average(self, prediction: Prediction, at_s: float) -> Scores:
        if self._average is None:
            self._average = prediction.scores.astype(np.float32)
        else:
            elapsed_s = max(0.0, at_s - self._seen_s)
            weight = np.float32(1 - 0.5 ** (elapsed_s / self._settings.half_life_s))
            self._average = self._average + weight * (prediction.scores - self._average)
        self._seen_s = at_s
        return self._average

    def _hold(self, candidate: str | None, hold: int) -> None:
        if candidate == self._label:
            self._led = 0
            return
        self._led = self._led + 1 if candidate == self._candidate else 1
        self._candidate = candidate
        if self._led >= hold:
            self._label, self._led = candidate, 0

    def _score(self, labels: tuple[str, ...], scores: Scores) -> float:
        return float(scores.max() if self._label is None else scores[labels.index(self._label)])


def _find_majority(recent: deque[Prediction]) -> str | None:
    votes = Counter(one.label for one in reversed(recent))
    # The counter keeps the order of first sight, which is newest first here.
    return votes.most_common(1)[0][0]
