"""`edgetl quantize-report`: the page says what was measured, and what to do."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgetl.reporting.canvas import drawing, open_figure
from edgetl.reporting.labels import Label, place_labels
from edgetl.reporting.tradeoff import conclude, find_fastest, record_tradeoff, render_tradeoff
from edgetl_export.quantize.tradeoff import Outcome, Tradeoff
from tests.edgetl.command import edgetl


def change(outcome: Outcome, **changes: object) -> Outcome:
    """The outcome whose chosen file is another."""
    tried = [*outcome.tried]
    tried[outcome.best] = msgspec.structs.replace(outcome.chosen, **changes)
    return msgspec.structs.replace(outcome, tried=tuple(tried))


def headlines(found: Tradeoff) -> list[str]:
    return [finding.headline for finding in conclude(found)]


@pytest.fixture(scope="module")
def run(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_run_folder, tmp_path_factory.mktemp("runs") / "tiny"))


@pytest.fixture(scope="module")
def done(run: Path) -> "subprocess.CompletedProcess[str]":
    # An earlier page of its own is replaced.
    run.with_name("tiny-quantize.html").write_text("old")
    return edgetl("quantize-report", run, "--recipe", "litert-int8", "--json")


def test_the_page_lies_beside_the_run_which_stays_as_it_was(
    run: Path, tiny_run_folder: Path, done: "subprocess.CompletedProcess[str]"
) -> None:
    assert done.returncode == 0, done.stderr
    page = run.with_name("tiny-quantize.html").read_text("utf-8")
    assert "<title>Quantization of tiny - edgetl</title>" in page
    assert sorted(path.name for path in run.iterdir()) == sorted(
        path.name for path in tiny_run_folder.iterdir()
    )


def test_json_is_one_object_with_all_figures(
    run: Path, done: "subprocess.CompletedProcess[str]"
) -> None:
    record = json.loads(done.stdout)
    assert record["page"] == str(run.with_name("tiny-quantize.html"))
    (outcome,) = record["outcomes"]
    first = outcome["tried"][0]
    assert first["top1_interval"]["lower"] < first["top1"] < first["top1_interval"]["upper"]
    assert first["latency_ratio"] > 0
    assert record["layers"][0]["divergence"] >= record["layers"][-1]["divergence"]
    assert record["findings"][0]["headline"]
    assert len(record["distributions"]) <= 6


def test_an_existing_page_is_replaced_only_if_asked(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    done = edgetl("quantize-report", run, "--out", page)
    assert done.returncode == 1
    assert "choose another --out or add --overwrite" in done.stderr
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "page.pdf"), "must end in .html"),
        (("--recipe", "int9"), "unknown recipe 'int9'; did you mean int8?"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = edgetl("quantize-report", tmp_path / "gone", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    done = edgetl("quantize-report", tmp_path)
    assert done.returncode == 1
    assert "is not a finished run" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_fastest_file_that_passes_is_recommended(tradeoff: Tradeoff) -> None:
    best = find_fastest(tradeoff)
    assert best is not None
    assert best.recipe == "litert-int8"
    finding = conclude(tradeoff)[0]
    assert finding.kind == "good"
    assert finding.headline == "litert-int8 passes after a repair (head refitted): ship it"
    assert "0.60 MB, 0.50 of float32's time, top-1 90.0%" in finding.detail
    assert "Without it: 5.0 points below" in finding.detail


def test_what_passes_plainly_is_said_so(tradeoff: Tradeoff) -> None:
    found = msgspec.structs.replace(tradeoff, outcomes=tradeoff.outcomes[1:])
    assert headlines(found)[0] == "litert-float32 passes as it is: ship it"


def test_a_refused_file_is_a_warning_and_not_recommended(tradeoff: Tradeoff) -> None:
    int8, exact = tradeoff.outcomes
    refused = change(int8, failures=("2.0 points below",))
    found = msgspec.structs.replace(tradeoff, outcomes=(refused, exact))
    first, second, *_ = conclude(found)
    assert first.headline == "litert-float32 passes as it is: ship it"
    assert second.headline == "litert-int8 is rejected after 1 repair"
    assert second.detail.startswith("2.0 points below")
    nothing = msgspec.structs.replace(tradeoff, outcomes=(refused,))
    assert find_fastest(nothing) is None
    assert headlines(nothing)[0] == "No file passes the gate"


def test_a_repair_that_another_recipe_needed_is_a_note(tradeoff: Tradeoff) -> None:
    int8, exact = tradeoff.outcomes
    slower = change(int8, latency_ms=9.0, latency_ratio=4.5, recipe="litert-mixed")
    found = msgspec.structs.replace(tradeoff, outcomes=(slower, exact))
    notes = {finding.headline: finding.detail for finding in conclude(found)}
    detail = notes["litert-int8 passes only after a repair"]
    assert "top-1 went from 85.0% to 90.0%, finally as litert-mixed" in detail
    assert "litert-int8 (4.5 times)" in notes["1 file slower than float32"]


def test_few_layers_that_carry_most_of_the_divergence_are_named(tradeoff: Tradeoff) -> None:
    notes = {finding.headline: finding.detail for finding in conclude(tradeoff)}
    assert notes["1 of 3 layers carries 94% of the divergence"].startswith("first. litert-mixed")
    even = tuple(msgspec.structs.replace(tradeoff.layers[0], name=f"layer_{n}") for n in range(40))
    found = msgspec.structs.replace(tradeoff, layers=even)
    expected = "The loss is spread over many layers: 32 of 40 carry 80% of the divergence"
    assert expected in headlines(found)


def test_a_range_that_odd_photos_stretch_is_named(tradeoff: Tradeoff) -> None:
    assert "Outliers would stretch the inputs of first 2.5 times" in headlines(tradeoff)
    calm = [msgspec.structs.replace(one, chosen=one.whole) for one in tradeoff.distributions]
    found = msgspec.structs.replace(tradeoff, distributions=tuple(calm))
    assert not any("Outliers" in headline for headline in headlines(found))


def test_a_page_shows_every_file_and_layer(tradeoff: Tradeoff) -> None:
    page = render_tradeoff(tradeoff, "Quantization of parts")
    assert page == render_tradeoff(tradeoff, "Quantization of parts")
    assert page.count("<svg") == 4
    assert page.count('data-sort="600000"') == 2
    for text in ("5.0 points below", "81% to 88%", "head refitted", "middle", "1,600,000"):
        assert text in page
    assert "$" not in page[page.index("<svg") :]


def test_a_network_without_sensitive_layers_has_a_page(tradeoff: Tradeoff) -> None:
    found = msgspec.structs.replace(tradeoff, layers=(), distributions=())
    assert render_tradeoff(found, "bare").count("<svg") == 2
    flat = [msgspec.structs.replace(layer, divergence=0.0) for layer in tradeoff.layers]
    found = msgspec.structs.replace(tradeoff, layers=tuple(flat))
    assert render_tradeoff(found, "flat").count("<svg") == 4


def test_the_record_is_json(tradeoff: Tradeoff) -> None:
    record = msgspec.to_builtins(record_tradeoff(tradeoff))
    plain, chosen = record["outcomes"][0]["tried"]
    assert (plain["passed"], chosen["passed"]) == (False, True)
    assert plain["top1_interval"]["lower"] == pytest.approx(0.812, abs=0.001)


def test_names_of_points_at_one_place_are_moved_apart() -> None:
    from matplotlib.text import Text

    with drawing():
        figure, axes = open_figure()
        axes.set(xlim=(0, 10), ylim=(0, 10))
        labels = [Label(f"float{n}", 5.0, 5.0, "#000000") for n in range(6)]
        place_labels(axes, labels, others=[(5.2, 5.2)], lines=[((0, 5), (10, 5))])
        figure.draw_without_rendering()
        # Without the lines that lead to the points.
        boxes = [Text.get_window_extent(text) for text in axes.texts]
        inside = axes.get_window_extent()
    assert len(boxes) == 6
    for n, box in enumerate(boxes):
        assert inside.x0 < box.x0 < box.x1 < inside.x1
        assert box.count_overlaps(boxes[:n] + boxes[n + 1 :]) == 0


def test_many_shots_of_one_thing_widen_the_bands(tradeoff: Tradeoff) -> None:
    def measure_band(found: Tradeoff) -> float:
        outcomes: Any = record_tradeoff(found)["outcomes"]
        interval = outcomes[0]["tried"][0]["top1_interval"]
        return float(interval.upper - interval.lower)

    bursts = msgspec.structs.replace(tradeoff, scenes=4)
    assert measure_band(bursts) > 2 * measure_band(tradeoff)
