"""Every variant of a bundle with every number of threads, measured within a time budget."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.benchmarking.isolation import (
    Crash,
    MeasureOrder,
    Pass,
    Refusal,
    Replay,
    ReplayOrder,
    obey_apart,
)
from edgetl_runtime.benchmarking.merging import (
    find_reach,
    find_span,
    measure_noise,
    merge_observations,
    merge_passes,
)
from edgetl_runtime.benchmarking.recommendation import recommend
from edgetl_runtime.benchmarking.record import DRIFT_STEP_S, FORMAT_VERSION
from edgetl_runtime.benchmarking.single_stream import Rules, Tell, describe_software
from edgetl_runtime.benchmarking.survey_record import Survey, SurveyedFile, SurveyRow
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.system.allotment import count_processors, default_threads
from edgetl_runtime.system.board import describe_board
from edgetl_runtime.text.wording import count_noun

_PASSES: Final = 2
_PAIRS_PER_PASS: Final = 12


class SurveyRules(msgspec.Struct, frozen=True):
    """How much a survey measures.

    Attributes:
        budget_s: Time for all of it, seconds.
        least_s: The shortest time for which a pass of a row takes samples, seconds.
        least_runs: The least number of its samples.
        warmup_s: The longest warm-up of a pass, seconds.
        grace_s: Seconds beyond what a pass should take, after which it counts as hanging.
    """

    budget_s: float
    least_s: float = 2.0
    least_runs: int = 16
    warmup_s: float = 1.5
    grace_s: float = 60.0


DEFAULT: Final = SurveyRules(budget_s=300.0)
QUICK: Final = SurveyRules(budget_s=60.0)

_Key = tuple[str, int]
_Found = dict[_Key, "list[Pass]"]


def survey(
    path: str | Path,
    *,
    threads: int | None = None,
    frame_px: tuple[int, int] = (640, 480),
    rules: SurveyRules = DEFAULT,
    tell: Tell = lambda share, doing: None,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Survey:
    """Measures each variant with 1 to n threads, each in processes of its own.

    First, each variant's golden frames are replayed. Then come two passes over all rows, the second
    in reverse order, so that a machine that heats up favours none. What crashes costs its row.

    Args:
        path: The bundle.
        threads: n (default: the available processors, at most 4).
        frame_px: (width, height) of the frame.
        rules: How much is measured.
        tell: Is told of progress.
        warn: Is told if the budget is too short.

    Raises:
        BundleError: If the bundle is damaged.
        OptionsError: If there are more threads than processors.
    """
    _check_threads(threads)
    began, taken = time.monotonic(), datetime.now(timezone.utc)
    bundle = Bundle.open(path)
    variants = bundle.manifest.variants
    work = _Work(bundle, frame_px, rules, tell)
    golden = {variant.name: work.replay(variant, len(variants)) for variant in variants}
    overhead_s = (time.monotonic() - began) / len(variants)
    keys = [
        (variant.name, number)
        for variant in variants
        for number in range(1, (threads or default_threads()) + 1)
    ]
    work.refuse(keys, golden)
    left = _PASSES * len([key for key in keys if key not in work.failures])
    spent_s = time.monotonic() - began
    pass_s = share_out(rules, left, spent_s, overhead_s)
    needs_s = spent_s + left * (pass_s + rules.warmup_s + overhead_s)
    if needs_s > rules.budget_s * 1.1:
        warn(
            f"{count_noun(len(keys), 'row')} take about {tell_minutes(needs_s)} minutes, "
            f"not {tell_minutes(rules.budget_s)}: each needs two passes of {rules.least_s:g} s "
            "at least"
        )
    work.measure(keys, pass_s)
    return _conclude(work, golden, keys, pass_s, (taken, began))


def _check_threads(threads: int | None) -> None:
    most = count_processors()
    if threads is not None and threads > most:
        raise OptionsError(
            f"--threads {threads}: this process may use {count_noun(most, 'processor')}, and more "
            f"threads only wait for one another; give --threads {most} or fewer, or leave it out"
        )


def tell_minutes(seconds: float) -> str:
    """`0.033`, `5.2`, `530`."""
    minutes = seconds / 60
    return f"{minutes:.2g}" if minutes < 10 else f"{minutes:,.0f}"


def share_out(rules: SurveyRules, passes: int, spent_s: float, overhead_s: float) -> float:
    """For how long a pass of a row takes samples, seconds.

    Args:
        rules: With the budget.
        passes: How many there will be.
        spent_s: What was spent of the budget.
        overhead_s: What a process takes until it has loaded the model.
    """
    share_s = (rules.budget_s - spent_s) / max(1, passes) - overhead_s - rules.warmup_s
    return max(rules.least_s, share_s)


class _Work:
    """What was found so far."""

    def __init__(
        self, bundle: Bundle, frame_px: tuple[int, int], rules: SurveyRules, tell: Tell
    ) -> None:
        self.bundle, self.frame_px, self.rules = bundle, frame_px, rules
        self._tell = tell
        self.passes: _Found = {}
        self.failures: dict[_Key, str] = {}
        self.in_order: list[Pass] = []

    def replay(self, variant: Variant, of: int) -> Replay | Refusal | Crash:
        """Replays a variant's golden frames."""
        self._tell(0.0, f"{variant.name}: golden frames")
        found = obey_apart(ReplayOrder(str(self.bundle.path), variant.name), self.rules.grace_s)
        assert not isinstance(found, Pass)
        return found

    def refuse(self, keys: Sequence[_Key], golden: dict[str, Replay | Refusal | Crash]) -> None:
        """Leaves out what cannot be measured: the engine is missing, say."""
        for key in keys:
            found = golden[key[0]]
            if isinstance(found, Refusal):
                self.failures[key] = found.reason

    def measure(self, keys: Sequence[_Key], pass_s: float) -> None:
        """Makes both passes."""
        order = [*keys, *reversed(keys)]
        for number, key in enumerate(order):
            if key in self.failures:
                continue
            which = f"pass {1 + number // len(keys)} of {_PASSES}"
            self._tell(number / len(order), f"{key[0]}, threads {key[1]}, {which}")
            self._take(key, pass_s)

    def _take(self, key: _Key, pass_s: float) -> None:
        rules = self.rules
        order = MeasureOrder(
            str(self.bundle.path),
            *key,
            self.frame_px,
            Rules("survey", rules.least_runs, pass_s, rules.warmup_s, 0),
            min(DRIFT_STEP_S, pass_s / _PAIRS_PER_PASS),
        )
        found = obey_apart(order, rules.grace_s + 3 * (pass_s + rules.warmup_s))
        if isinstance(found, Pass):
            self.passes.setdefault(key, []).append(found)
            self.in_order.append(found)
        elif not isinstance(found, Replay):
            self.failures[key] = found.reason


def _conclude(
    work: _Work,
    golden: dict[str, Replay | Refusal | Crash],
    keys: Sequence[_Key],
    pass_s: float,
    begin: tuple[datetime, float],
) -> Survey:
    twice = [passes for passes in work.passes.values() if len(passes) == _PASSES]
    noise = measure_noise([one.report.total_ms.p50 for one in passes] for passes in twice)
    reach = find_reach(noise, len(twice))
    rows = tuple(_make_row(work, key, reach) for key in keys)
    files = tuple(_describe_file(one, golden[one.name]) for one in work.bundle.manifest.variants)
    seen = [one.report.observation for one in work.in_order]
    return Survey(
        format_version=FORMAT_VERSION,
        bundle_sha256=work.bundle.sha256,
        taken_utc=begin[0].isoformat(timespec="seconds"),
        frame_px=work.frame_px,
        budget_s=work.rules.budget_s,
        took_s=time.monotonic() - begin[1],
        pass_s=pass_s,
        noise=noise,
        software=describe_software(),
        board=describe_board(),
        observation=merge_observations(seen) if seen else None,
        files=files,
        rows=rows,
        recommendation=recommend(files, rows),
    )


def _make_row(work: _Work, key: _Key, reach: float) -> SurveyRow:
    passes = work.passes.get(key, [])
    failure = work.failures.get(key, "")
    report = None if failure else merge_passes(passes)
    return SurveyRow(
        variant=key[0],
        threads=key[1],
        report=report,
        range_ms=None if report is None else find_span(report.total_ms.p50, passes, reach),
        passes_ms=tuple(one.report.total_ms.p50 for one in passes),
        failure=failure,
    )


def _describe_file(variant: Variant, golden: Replay | Refusal | Crash) -> SurveyedFile:
    return SurveyedFile(
        variant=variant.name,
        engine=variant.engine,
        sha256=variant.sha256,
        bytes=variant.bytes,
        examples=variant.metrics.examples,
        top1=variant.metrics.top1,
        drop=variant.metrics.drop,
        gate_failures=variant.failures,
        unsure=variant.unsure,
        golden_failures=golden.failures if isinstance(golden, Replay) else (golden.reason,),
    )
