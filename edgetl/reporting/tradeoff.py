"""The page of a trade-off: what quantization costs and gains, and what to do about it."""

from collections.abc import Iterator

import msgspec

from edgetl.metrics import Interval, estimate_share
from edgetl.reporting.findings import Finding
from edgetl.reporting.pages import mark_safe, render_page
from edgetl.reporting.tradeoff_plots import (
    Axis,
    draw_distribution,
    draw_sensitivities,
    draw_tradeoff,
)
from edgetl.reporting.wording import span
from edgetl_export.quantize.distribution import Distribution
from edgetl_export.quantize.tradeoff import Measured, Outcome, Tradeoff
from edgetl_export.wording import percent, points
from edgetl_runtime.text.wording import count_noun

_WORST_BARS = 20
# Layers are few if they carry most of the divergence and are no more than this share of all.
_MOST, _FEW = 0.8, 0.2
_NAMED = 6
_SLOWER = 1.2
_STRETCHED = 1.5
_VAGUE = 0.02


class _Row(msgspec.Struct, frozen=True):
    """One file in the table."""

    recipe: str
    file: Measured
    interval: Interval
    note: str


def conclude(found: Tradeoff) -> list[Finding]:
    """Says what to do, and what else a person should know; the recommendation first."""
    rest = [
        *_judge_refused(found),
        *_judge_repaired(found),
        *_judge_layers(found),
        *_judge_ranges(found),
        *_judge_slow(found),
        *_judge_photos(found),
    ]
    return [_recommend(found), *rest]


def find_fastest(found: Tradeoff) -> Outcome | None:
    """The recipe whose file is the fastest of those that pass the gate; None if none does."""
    passed = [outcome for outcome in found.outcomes if outcome.chosen.passed]
    return min(passed, key=lambda one: one.chosen.latency_ms or 0.0, default=None)


def render_tradeoff(found: Tradeoff, title: str) -> str:
    """Renders one HTML page that needs no network; equal input gives equal text.

    Args:
        found: What was measured.
        title: Of the page, such as the run's name.
    """
    return render_page(
        "tradeoff.html.j2",
        title=title,
        summary=_summarize(found),
        findings=conclude(found),
        plots=[
            ("Accuracy against bytes", _draw_tradeoff(found, "bytes")),
            ("Accuracy against latency", _draw_tradeoff(found, "latency")),
        ],
        rows=_list_rows(found),
        found=found,
        engines=" and ".join(found.engines.values()),
        bars=mark_safe(
            draw_sensitivities(
                found.layers[:_WORST_BARS], found.kept, "Divergence of the most sensitive layers"
            )
        )
        if found.layers
        else "",
        total=sum(max(layer.divergence, 0.0) for layer in found.layers) or 1.0,
        distributions=[(one, _draw_distribution(one)) for one in found.distributions],
    )


def record_tradeoff(found: Tradeoff) -> dict[str, object]:
    """The `--json` output: metrics, intervals and findings."""
    outcomes = [
        {
            "recipe": outcome.recipe,
            "engine": outcome.engine,
            "best": outcome.best,
            "tried": [
                msgspec.structs.asdict(one)
                | {"passed": one.passed, "top1_interval": _estimate(found, one)}
                for one in outcome.tried
            ],
        }
        for outcome in found.outcomes
    ]
    return msgspec.structs.asdict(found) | {"outcomes": outcomes, "findings": conclude(found)}


def _recommend(found: Tradeoff) -> Finding:
    best = find_fastest(found)
    if best is None:
        nearest = min(found.outcomes, key=lambda one: one.chosen.drop)
        return Finding(
            "warning",
            "No file passes the gate",
            f"{nearest.recipe} comes closest, {_tell_drop(nearest.chosen)}. Add a float32 file "
            "(--recipe float32), or train longer or with more photos",
        )
    plain = "" if best.plain.passed else f". Without it: {'; '.join(best.plain.failures)}"
    return Finding("good", f"{_tell_pass(best)}: ship it", _tell_figures(best.chosen) + plain)


def _tell_pass(outcome: Outcome) -> str:
    if not outcome.chosen.repair:
        return f"{outcome.recipe} passes as it is"
    if outcome.plain.passed:
        return f"{outcome.recipe} passes, best after a repair ({outcome.chosen.repair})"
    return f"{outcome.recipe} passes after a repair ({outcome.chosen.repair})"


def _tell_figures(one: Measured) -> str:
    speed = "" if one.latency_ratio is None else f", {one.latency_ratio:.2f} of float32's time"
    return (
        f"The fastest file that passes: {one.bytes / 1e6:.2f} MB{speed}, top-1 "
        f"{percent(one.top1)}, {_tell_drop(one)}, agreement with the trained model "
        f"{percent(one.agreement)}"
    )


def _tell_drop(one: Measured) -> str:
    if round(1000 * one.drop) == 0:
        return "as good as the trained model"
    way = "below" if one.drop > 0 else "above"
    return f"{points(one.drop)} points {way} the trained model"


def _judge_refused(found: Tradeoff) -> Iterator[Finding]:
    for outcome in found.outcomes:
        if outcome.chosen.passed:
            continue
        tried = len(outcome.tried) - 1
        after = f" after {count_noun(tried, 'repair')}" if tried else ""
        yield Finding(
            "warning",
            f"{outcome.recipe} is rejected{after}",
            f"{'; '.join(outcome.chosen.failures)}. Leave it out of the export with --recipe",
        )


def _judge_repaired(found: Tradeoff) -> Iterator[Finding]:
    recommended = find_fastest(found)
    for outcome in found.outcomes:
        plain, chosen = outcome.plain, outcome.chosen
        if plain.passed or not chosen.passed or outcome == recommended:
            continue
        became = "" if chosen.recipe == outcome.recipe else f", finally as {chosen.recipe}"
        yield Finding(
            "note",
            f"{outcome.recipe} passes only after a repair",
            f"{chosen.repair}: top-1 went from {percent(plain.top1)} to "
            f"{percent(chosen.top1)}{became}. Plain: {'; '.join(plain.failures)}",
        )


def _judge_layers(found: Tradeoff) -> Iterator[Finding]:
    costs = [max(layer.divergence, 0.0) for layer in found.layers]
    total, count = sum(costs), 0
    if not total:
        return
    while sum(costs[:count]) < _MOST * total:
        count += 1
    share = percent(sum(costs[:count]) / total, 0)
    names = ", ".join(layer.name for layer in found.layers[: min(count, _NAMED)])
    if count > max(_FEW * len(costs), found.kept):
        yield Finding(
            "note",
            f"The loss is spread over many layers: {count} of {len(costs)} carry {share} of the "
            "divergence",
            f"The first are {names}. Leaving {found.kept} of them in float (litert-mixed) helps "
            "little; refitting the head helps all of them at once",
        )
        return
    carry = "carries" if count == 1 else "carry"
    yield Finding(
        "note",
        f"{count} of {len(costs)} layers {carry} {share} of the divergence",
        f"{names}. litert-mixed leaves the {found.kept} most sensitive layers in float",
    )


def _judge_ranges(found: Tradeoff) -> Iterator[Finding]:
    stretched = {one.name: stretch for one in found.distributions if (stretch := _stretch(one))}
    if not stretched:
        return
    name = max(stretched, key=stretched.__getitem__)
    yield Finding(
        "note",
        f"Outliers would stretch the inputs of {name} {stretched[name]:.1f} times",
        "The scores change less with a range without them, since the int8 scale is then that much "
        "finer; values outside it are clipped",
    )


def _stretch(one: Distribution) -> float | None:
    """How much wider the whole range is than the chosen one, if that is worth a word."""
    chosen = one.chosen[1] - one.chosen[0]
    whole = one.whole[1] - one.whole[0]
    return whole / chosen if chosen > 0 and whole > _STRETCHED * chosen else None


def _judge_slow(found: Tradeoff) -> Iterator[Finding]:
    slow = [
        (outcome.recipe, ratio)
        for outcome in found.outcomes
        if (ratio := outcome.chosen.latency_ratio or 0.0) > _SLOWER
    ]
    if not slow:
        return
    told = ", ".join(f"{name} ({ratio:.1f} times)" for name, ratio in slow)
    yield Finding(
        "note",
        f"{count_noun(len(slow), 'file')} slower than float32",
        f"{told} on this machine; choose by bytes only where latency does not matter",
    )


def _judge_photos(found: Tradeoff) -> Iterator[Finding]:
    hits = round(found.top1 * found.examples)
    interval = estimate_share(hits, found.examples, scenes=found.scenes)
    if interval.upper - interval.lower < 2 * _VAGUE:
        return
    yield Finding(
        "note",
        f"{count_noun(found.examples, 'validation photo')} measure top-1 only to within "
        f"{points((interval.upper - interval.lower) / 2)} points",
        "The comparison of a file with the trained model is more certain than these intervals, "
        "since both see the same photos; differences between two files may still be chance",
    )


def _summarize(found: Tradeoff) -> str:
    parts = (
        found.backbone,
        f"trained model {percent(found.top1)}",
        count_noun(found.examples, "validation photo"),
        f"{count_noun(found.calibration_photos, 'photo')} for calibration",
    )
    return " · ".join(parts)


def _list_rows(found: Tradeoff) -> list[_Row]:
    return [
        _Row(outcome.recipe, one, _estimate(found, one), _note(outcome, place))
        for outcome in found.outcomes
        for place, one in enumerate(outcome.tried)
    ]


def _note(outcome: Outcome, place: int) -> str:
    if place != outcome.best:
        return ""
    return "taken" if outcome.chosen.passed else "nearest"


def _estimate(found: Tradeoff, one: Measured) -> Interval:
    hits = round(one.top1 * found.examples)
    return estimate_share(hits, found.examples, scenes=found.scenes)


def _draw_tradeoff(found: Tradeoff, axis: Axis) -> str:
    told = "; ".join(
        f"{outcome.recipe} {percent(outcome.chosen.top1)} "
        f"({span(_estimate(found, outcome.chosen))})"
        for outcome in found.outcomes
    )
    return mark_safe(draw_tradeoff(found, axis, f"Top-1 over {axis} of each recipe: {told}"))


def _draw_distribution(one: Distribution) -> str:
    title = (
        f"Inputs of {one.name} from {one.whole[0]:.3g} to {one.whole[1]:.3g}, of which int8 spans "
        f"{one.chosen[0]:.3g} to {one.chosen[1]:.3g}; and the weights of its channels"
    )
    return mark_safe(draw_distribution(one, title))
