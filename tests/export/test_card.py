"""The model card: figures as in the manifest, users' words as plain text, limits said."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from edgetl_export.package.model_card import write_card
from edgetl_export.trained import Labelled
from edgetl_runtime.bundle.manifest import (
    Attempted,
    Calibration,
    LeftOut,
    Provenance,
    Variant,
    VariantMetrics,
)
from edgetl_runtime.bundle.reader import Bundle

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"


@pytest.fixture(scope="module")
def variant() -> Variant:
    return Bundle.open(TINY).variant("litert-int8")


@pytest.fixture(scope="module")
def made() -> Provenance:
    return Bundle.open(TINY).manifest.provenance


def write(
    made: Provenance, *variants: Variant, labels: tuple[str, ...] = ("gear", "spring", "washer")
) -> str:
    photos = [Labelled(Path(f"{n}.jpg"), n % 3) for n in range(300)]
    parts = {"training": photos, "validation": photos[:100], "test": photos[:7]}
    return write_card(labels, parts, variants, made).decode()


def rename(variant: Variant, labels: tuple[str, ...]) -> Variant:
    """The same file, which names other labels."""
    recall = dict(zip(labels, variant.metrics.recall.values(), strict=True))
    metrics = msgspec.structs.replace(variant.metrics, recall=recall)
    return msgspec.structs.replace(variant, metrics=metrics)


def test_the_card_of_a_bundle_is_listed_and_reads_as_markdown() -> None:
    bundle = Bundle.open(TINY)
    card = bundle.read(bundle.manifest.card).decode()
    front, body = re.fullmatch(r"---\n(.*?)\n---\n\n(# .*)", card, re.S).groups()  # type: ignore[union-attr]
    assert "library_name: edgetl" in front
    assert "pipeline_tag: image-classification" in front
    assert "edgetl-run classify BUNDLE PHOTO" in body
    assert "\n\n\n" not in body
    assert card.endswith("\n")


def test_every_table_is_whole(variant: Variant, made: Provenance) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", write(made, variant, variant), re.M):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(columns) == 1, table


def test_figures_are_those_of_the_manifest(variant: Variant, made: Provenance) -> None:
    test = VariantMetrics(7, 0.857, 0.0, 1.0, {"gear": None, "spring": 1.0, "washer": 1.0})
    calibration = Calibration(
        1.5,
        0.625,
        calibration_error=0.031,
        false_accept_rate=0.042,
        false_reject_rate=0.053,
        unknown="held-out classes",
    )
    measured = msgspec.structs.replace(variant, test_metrics=test, calibration=calibration)
    card = write(made, measured)
    found = variant.metrics
    row = (
        f"| litert-int8.tflite | {variant.bytes:,} | {found.top1:.1%} | 85.7% | "
        f"{100 * found.drop:+.1f} | {found.agreement:.1%} | 3.1% | 62.5% |"
    )
    assert row in card.splitlines()
    assert "| gear | 100 | 34 | 3 |" in card.splitlines()
    assert f"| washer | {variant.metrics.recall['washer']:.1%} |" in card.splitlines()
    assert "has a false-accept rate of 4.2% on unknown images" in card
    assert "(measured on: held-out classes) and a false-reject rate of 5.3%" in card


def test_limits_are_said(variant: Variant, made: Provenance) -> None:
    failed = msgspec.structs.replace(
        variant,
        repair="head refitted",
        failures=("3.0 points below the trained model",),
        unsure=("gear lost 6.0 points",),
        calibration=Calibration(),
    )
    best = Attempted("onnx-int8", "", 100, 0.5, 0.4, 0.55)
    left_out = (LeftOut("onnx-int8", "40.0 points below", best),)
    card = write(msgspec.structs.replace(made, left_out=left_out), failed)
    assert "Few validation photos, so the figures are imprecise: gear (34), spring" in card
    assert "Few training photos" not in card
    assert "has no reject threshold: images of unknown things get a label, too" in card
    assert "litert-int8 was repaired after quantization: head refitted" in card
    assert "was accepted: 3.0 points below the trained model" in card
    assert (
        "It is uncertain whether litert-int8 is as good as export requires: gear lost 6.0" in card
    )
    assert "onnx-int8 is left out, since its best file lost too much: 40.0 points below" in card
    assert "top-1 50.0%, agreement 55.0%." in card


def test_what_nobody_stated_is_not_made_up(variant: Variant, made: Provenance) -> None:
    card = write(made, variant)
    assert "license:" not in card
    assert "The licence is not stated" in card
    assert "The author is not stated" in card


def test_what_the_user_stated_is_there(variant: Variant, made: Provenance) -> None:
    stated = msgspec.structs.replace(
        made, name="Parts", author="R. Levi", license="apache-2.0", description="On\na bench."
    )
    card = write(stated, variant)
    assert 'license: "apache-2.0"' in card.splitlines()
    assert "# Parts" in card.splitlines()
    assert "**In short:** On a bench." in card.splitlines()
    assert "Made by R. Levi." in card.splitlines()


@pytest.mark.parametrize(
    "nasty",
    [
        *("<script>alert(1)</script>", "a|b", "`rm`", "[x](javascript:1)", "two\nlines", "# top"),
        *(
            "*bold*",
            "\u202etfel",
            "\x1b[31mred",
            "---\nlicense: mit\n---",
            "${{ 1 }}",
            "{{ made }}",
        ),
    ],
)
def test_a_label_is_plain_text_whatever_it_says(
    nasty: str, variant: Variant, made: Provenance
) -> None:
    labels = ("gear", nasty, "washer")
    stated = msgspec.structs.replace(
        made, name=nasty, author=nasty, description=nasty, license=nasty, backbone=nasty
    )
    plain = write(
        msgspec.structs.replace(
            made, name="x", author="x", description="x", license="x", backbone="x"
        ),
        rename(variant, ("gear", "x", "washer")),
        labels=("gear", "x", "washer"),
    )
    card = write(stated, rename(variant, labels), labels=labels)
    assert len(card.splitlines()) == len(plain.splitlines())
    assert all(char.isprintable() or char == "\n" for char in card)
    front, body = card.split("---\n", 2)[1:]
    assert json.loads(re.search("^license: (.*)$", front, re.M).group(1)) == nasty  # type: ignore[union-attr]
    assert not re.search(r"(?<!\\)(?:<script|\*bold|\[x\]|`rm)", body)
    for table in re.findall(r"(?:^\|.*\n)+", body, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
