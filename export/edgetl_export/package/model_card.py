"""The model card: what a person should know before trusting the classifier, as MODEL_CARD.md.

Its front matter is that of model cards on Hugging Face (Mitchell et al. 2019, "Model Cards for
Model Reporting", says what belongs into one).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgetl_export.examination import Examination
from edgetl_export.trained import Labelled
from edgetl_export.wording import percent, signed_points
from edgetl_runtime.bundle.manifest import LeftOut, Provenance, Variant
from edgetl_runtime.text.printable import is_printable

_TEMPLATES = Path(__file__).parent / "templates"
# Characters that begin something in Markdown or HTML within a line or the cell of a table.
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~&$])")
# Below, one photo of a class is more than two points of its recall.
_FEW_PHOTOS = 50


def write_card(
    labels: Sequence[str],
    parts: Mapping[str, Sequence[Labelled]],
    variants: Sequence[Variant],
    provenance: Provenance,
    examination: Examination | None = None,
) -> bytes:
    """Writes the card; whatever the user named is shown as plain text.

    Args:
        labels: In the order of the output.
        parts: Photos by part, such as `training`.
        variants: What is in the bundle, at least one.
        provenance: Where it comes from.
        examination: Whether labels and scaling fit, if somebody else trained it.

    Returns:
        Markdown, UTF-8.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        finalize=_escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found = [f"On labelled photos: {examination.summary}"] if examination else []
    environment.filters |= {"percent": percent, "signed_points": signed_points}
    counted = {part: Counter(photo.index for photo in photos) for part, photos in parts.items()}
    card = environment.get_template("model_card.md.j2").render(
        title=provenance.name or f"A classifier of {len(labels)} classes",
        labels=labels,
        parts=list(parts),
        counts=[[counted[part][index] for part in parts] for index in range(len(labels))],
        variants=variants,
        engines=sorted({variant.engine for variant in variants}),
        tested=any(variant.test_metrics for variant in variants),
        made=provenance,
        limits=found + list(_find_limits(labels, counted, variants, provenance.left_out)),
    )
    return card.encode()


def _find_limits(
    labels: Sequence[str],
    counted: Mapping[str, Counter[int]],
    variants: Sequence[Variant],
    left_out: Sequence[LeftOut],
) -> Iterator[str]:
    yield (
        "It was evaluated on photos like those it was trained on. The figures do not transfer to "
        "other cameras, lighting or places: test it on site."
    )
    for part, counts in counted.items():
        few = [f"{labels[n]} ({counts[n]})" for n in range(len(labels)) if counts[n] < _FEW_PHOTOS]
        if few:
            yield f"Few {part} photos, so the figures are imprecise: {', '.join(few)}."
    for variant in variants:
        yield _describe_rejection(variant)
        if variant.repair:
            yield f"{variant.name} was repaired after quantization: {variant.repair}."
        for failure in variant.failures:
            yield f"{variant.name} is worse than export allows, but was accepted: {failure}."
        for sentence in variant.unsure:
            yield (
                f"It is uncertain whether {variant.name} is as good as export requires: {sentence}."
            )
    for one in left_out:
        yield (
            f"{one.name} is left out, since its best file lost too much: {one.reason}; top-1 "
            f"{percent(one.best.top1)}, agreement {percent(one.best.agreement)}."
        )


def _describe_rejection(variant: Variant) -> str:
    calibration = variant.calibration
    if variant.output.shape[-1] > len(variant.metrics.recall):
        return _describe_detector(variant)
    if calibration.reject_threshold == 0:
        return f"{variant.name} has no reject threshold: images of unknown things get a label, too."
    missed = percent(calibration.false_reject_rate)
    if calibration.false_accept_rate is None:
        return (
            f"{variant.name} has a false-reject rate of {missed}; its false-accept rate was not "
            "measured."
        )
    accepted = percent(calibration.false_accept_rate)
    return (
        f"{variant.name} has a false-accept rate of {accepted} on unknown images (measured on: "
        f"{calibration.unknown or 'not stated'}) and a false-reject rate of {missed}."
    )


def _describe_detector(variant: Variant) -> str:
    """Three figures, one a kind of image: a detector can be good at one and bad at another."""
    found = variant.calibration
    measured = {
        "things of other kinds (photos of _unknown_) that get a label": (
            found.false_accept_rate if found.unknown == "_unknown_" else None
        ),
        "things of a similar kind (each class left out in turn) that get a label": (
            found.held_out_accept_rate
        ),
        "known things that another camera took (simulated) and that get none": (
            found.view_reject_rate
        ),
        "known things like those in training that get none": found.false_reject_rate,
    }
    figures = "; ".join(
        f"{what}: {percent(share) if share is not None else 'not measured'}"
        for what, share in measured.items()
    )
    return (
        f"{variant.name} tells unknown things apart by an output of its own. {figures}. Known "
        "things before a background that training never had are often rejected: teach it the "
        "place on the spot (edgetl-run learn-scene)."
    )


def _escape(value: object) -> object:
    """One line of plain text, unless a filter says that the text is ready."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    printable = "".join(char if is_printable(char) else " " for char in value)
    return _MARKUP.sub(r"\\\1", " ".join(printable.split()))
