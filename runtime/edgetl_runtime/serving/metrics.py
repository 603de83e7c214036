"""`/metrics`: the status as Prometheus reads it, generated for each scrape."""

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
from edgetl_runtime.pipeline.status import State, Status
from edgetl_runtime.system.percentiles import Percentiles

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
        yield _gauge("edgetl_page_viewers", "Viewers of the live view.", self._viewers())


def _about(status: Status) -> Iterator[Metric]:
    info = InfoMetricFamily("edgetl", "The model that runs.")
    names = ("bundle", "bundle_sha256", "variant", "engine")
    info.add_metric([], {"version": __version__} | {name: getattr(status, name) for name in names})
    yield info
    state = GaugeMetricFamily(
        "edgetl_state", "1 for the current state, 0 for the others.", labels=["state"]
    )
    for name in get_args(State):
        state.add_metric([name], name == status.state)
    yield state


def _counters(status: Status) -> Iterator[Metric]:
    for name, text, value in (
        ("answers", "Frames that were answered.", status.answered),
        ("withheld", "Answers without a label because the frame was too old.", status.withheld),
        ("rejected", "Answers without a label because the frame was unknown.", status.rejected),
        ("model_failures", "Outputs that were not probabilities.", status.model_failures),
        ("frame_failures", "Frames that could not be classified.", status.frame_failures),
        ("label_changes", "Changes of the stable label.", status.events),
        ("reloads", "Switches to another bundle.", status.reloads),
    ):
        yield CounterMetricFamily(f"edgetl_{name}", text, value=value)


def _gauges(status: Status) -> Iterator[Metric]:
    for name, text, value in (
        ("uptime_seconds", "Seconds since the pipeline started.", status.uptime_s),
        ("answers_per_second", "Over the last seconds.", status.fps),
        ("score", "Score of the stable label, 0 to 1.", status.score),
        ("last_answer_age_seconds", "Seconds since the last answer.", status.last_answer_age_s),
        (
            "low_information",
            "1 if the last frame had a single color.",
            status.low_information,
        ),
        ("lessons", "Lessons that the answers come from; 0 without any.", status.lessons),
        ("temperature_celsius", "Temperature of the processor.", status.board.temperature_c),
        ("throttled", "1 if throttled now or since boot.", status.board.throttled),
        ("day_confidence", "Mean top score of a day, 0 to 1.", status.drift.mean_confidence),
        ("day_rejected", "Share of a day's answers without a label.", status.drift.reject_rate),
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
        ("dropped", "Frames that were replaced by newer ones before they were used.", feed.dropped),
        ("reconnects", "How often the source was reopened.", feed.reconnects),
    ):
        yield CounterMetricFamily(f"edgetl_source_{name}", text, value=value)
    bad = CounterMetricFamily(
        "edgetl_source_bad", "Data that could not be decoded as frames.", labels=["reason"]
    )
    for reason, count in feed.bad.items():
        bad.add_metric([reason], count)
    yield bad
    text = "Frames that were used in spite of a defect."
    odd = CounterMetricFamily("edgetl_source_odd", text, labels=["reason"])
    for reason, count in feed.odd.items():
        odd.add_metric([reason], count)
    yield odd
    delivering = feed.state == "delivering"
    yield _gauge("edgetl_source_delivering", "1 while frames arrive.", delivering)


def _outputs(outputs: tuple[OutputStatus, ...]) -> Iterator[Metric]:
    for name, text in (
        ("written", "Answers that an output has handled."),
        ("dropped", "Answers dropped because an output was too slow."),
        ("failed", "Answers that an output failed on."),
    ):
        family = CounterMetricFamily(f"edgetl_output_{name}", text, labels=["output"])
        for output in outputs:
            family.add_metric([output.name], getattr(output, name))
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
