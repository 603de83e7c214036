"""`/metrics`: the status as Prometheus reads it, made anew for each scrape."""

from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from edgetl_runtime import __version__
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.outputs.output import OutputStatus
from edgetl_runtime.percentiles import Percentiles
from edgetl_runtime.pipeline.status import State, Status

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def build_registry(status: Callable[[], Status], viewers: Callable[[], int]) -> CollectorRegistry:
    """Makes a registry of its own, with the process's memory and descriptors."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status, viewers))
    ProcessCollector(registry=registry)
    return registry


def scrape(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All metrics and their content type: as OpenMetrics 1.0 if `accept` names it, else as text.

    The versions and escapings that an Accept header may ask for make no difference to names like
    ours, and prometheus_client fails at those that it does not know.
    """
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if "application/openmetrics-text" in kinds:
        data: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return data, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), _TEXT


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], Status], viewers: Callable[[], int]) -> None:
        self._status = status
        self._viewers = viewers

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _about(status)
        yield from _counters(status)
        yield from _gauges(status)
        yield from _source(status.feed)
        yield from _outputs(status.outputs)
        yield _gauge("edgetl_page_viewers", "Viewers of the live picture.", self._viewers())


def _about(status: Status) -> Iterator[Metric]:
    info = InfoMetricFamily("edgetl", "What runs.")
    names = ("bundle", "bundle_sha256", "variant", "engine")
    info.add_metric([], {"version": __version__} | {name: getattr(status, name) for name in names})
    yield info
    state = GaugeMetricFamily(
        "edgetl_state", "1 for the state now, 0 for others.", labels=["state"]
    )
    for name in get_args(State):
        state.add_metric([name], name == status.state)
    yield state


def _counters(status: Status) -> Iterator[Metric]:
    for name, text, value in (
        ("answers", "Frames that were answered.", status.answered),
        ("withheld", "Answers without a label because the frame was too old.", status.withheld),
        ("rejected", "Answers without a label because the score was too low.", status.rejected),
        ("model_failures", "Outputs that were no probabilities.", status.model_failures),
        ("frame_failures", "Frames that could not be classified.", status.frame_failures),
        ("label_changes", "Changes of the stable label.", status.events),
        ("reloads", "Other bundles taken into use.", status.reloads),
    ):
        yield CounterMetricFamily(f"edgetl_{name}", text, value=value)


def _gauges(status: Status) -> Iterator[Metric]:
    for name, text, value in (
        ("uptime_seconds", "Since the pipeline began.", status.uptime_s),
        ("answers_per_second", "Over the last seconds.", status.fps),
        ("score", "Of the stable label, 0 to 1.", status.score),
        ("last_answer_age_seconds", "Since the last answer.", status.last_answer_age_s),
        (
            "low_information",
            "1 if the last frame was of one colour.",
            status.low_information,
        ),
        ("temperature_celsius", "Of the processor.", status.board.temperature_c),
        ("throttled", "1 if slowed down now or since boot.", status.board.throttled),
        ("day_confidence", "Mean highest score of a day, 0 to 1.", status.drift.mean_confidence),
        ("day_rejected", "Share of a day without a label.", status.drift.reject_rate),
        (
            "day_stability_index",
            "Label shares of a day against those of the validation photos; 0 is equal.",
            status.drift.stability_index,
        ),
    ):
        if value is not None:
            yield _gauge(f"edgetl_{name}", text, float(value))
    for name, text, times in (
        ("preprocess", "From the frame to the model's input.", status.preprocess_ms),
        ("invoke", "Inside the engine.", status.invoke_ms),
        ("frame_age", "Age of the frame when its answer was ready.", status.age_ms),
    ):
        yield from _percentiles(f"edgetl_{name}_seconds", f"{text} Over the last answers.", times)


def _percentiles(name: str, text: str, times: Percentiles | None) -> Iterator[Metric]:
    # Not a summary: that would need a count and a sum since the start.
    if times is not None:
        family = GaugeMetricFamily(name, text, labels=["percentile"])
        for percentile in ("p50", "p90", "p99"):
            family.add_metric([percentile[1:]], getattr(times, percentile) / 1e3)
        yield family


def _source(feed: FeedStatus) -> Iterator[Metric]:
    for name, text, value in (
        ("frames", "Frames that were captured.", feed.delivered),
        ("dropped", "Frames that newer ones replaced before they were taken.", feed.dropped),
        ("reconnects", "How often the source was opened again.", feed.reconnects),
    ):
        yield CounterMetricFamily(f"edgetl_source_{name}", text, value=value)
    bad = CounterMetricFamily("edgetl_source_bad", "Data that were no frames.", labels=["reason"])
    for reason, count in feed.bad.items():
        bad.add_metric([reason], count)
    yield bad
    text = "Frames that were taken although something was amiss."
    odd = CounterMetricFamily("edgetl_source_odd", text, labels=["reason"])
    for reason, count in feed.odd.items():
        odd.add_metric([reason], count)
    yield odd
    delivering = feed.state == "delivering"
    yield _gauge("edgetl_source_delivering", "1 while frames come.", delivering)


def _outputs(outputs: tuple[OutputStatus, ...]) -> Iterator[Metric]:
    for name, text in (
        ("written", "Answers that an output took."),
        ("dropped", "Answers that came faster than an output took them."),
        ("failed", "Answers that an output could not write."),
    ):
        family = CounterMetricFamily(f"edgetl_output_{name}", text, labels=["output"])
        for output in outputs:
            family.add_metric([output.name], getattr(output, name))
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
