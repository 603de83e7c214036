"""The report: what it says, that it says no more than the photos show, and that it is safe."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
import numpy as np
import pytest

from edgetl.dataset.manifest import DatasetManifest, Skipped, scan
from edgetl.dataset.walking import HIDDEN
from edgetl.history import StageHistory
from edgetl.metrics import measure, measure_reliability
from edgetl.predictions import Predictions
from edgetl.reporting.findings import Finding, find_confused_pairs, find_notable
from edgetl.reporting.plots import draw_curves, draw_heatmap, draw_reliability
from edgetl.reporting.report import ReportInput, render_report
from edgetl.reporting.thumbnails import thumbnail
from edgetl.reporting.wording import duration

NASTY = "<script>document.title='owned'</script>"
FORMULA = "$x_1$ & <b>"


class Text(HTMLParser):
    """What a reader sees, and the elements that show it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._is_code = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_code = tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._is_code:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_code = False

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


def make_stage(name: str = "head", **changes: Any) -> StageHistory:
    epochs = np.arange(10)
    curves = {
        "loss": 1.0 / (1 + epochs),
        "accuracy": 0.9 - 0.5 / (1 + epochs),
        "val_loss": 0.5 + 1.0 / (1 + epochs),
        "val_accuracy": 0.8 - 0.5 / (1 + epochs),
        "learning_rate": np.full(10, 1e-3),
    } | changes.pop("curves", {})
    curves = {"val_calibrated_loss": curves["val_loss"]} | curves
    lists = {name: np.asarray(values).tolist() for name, values in curves.items()}
    return StageHistory(name, lists, **({"best_epoch": 10, "seconds": 2.5} | changes))


def make_predictions(
    manifest: DatasetManifest, *, wrong: int = 0, score: float = 0.9, split: Any = "val"
) -> Predictions:
    """All right with one score, but the first `wrong` photos, which are named the next label."""
    examples = manifest.select("val")
    classes = len(manifest.labels)
    truth = [manifest.index(one) for one in examples]
    scores = []
    for n, label in enumerate(truth):
        row = [(1 - score) / (classes - 1)] * classes
        row[(label + 1) % classes if n < wrong else label] = score
        scores.append(tuple(row))
    return Predictions(split, tuple(one.path for one in examples), tuple(truth), tuple(scores))


@pytest.fixture(scope="module")
def manifest(photos: Path) -> DatasetManifest:
    return scan(photos, val_fraction=0.4)


def make_input(manifest: DatasetManifest, **changes: Any) -> ReportInput:
    predictions = changes.get("predictions") or make_predictions(manifest, wrong=3)
    named = predictions.probabilities.argmax(axis=1)
    made = ReportInput(
        title="parts",
        manifest=manifest,
        metrics=measure(manifest.labels, predictions.classes, named),
        histories=(make_stage(), make_stage("top 3 blocks", best_epoch=4)),
        predictions=predictions,
        test=None,
        seconds={"features": 3.0, "head": 2.5, "top 3 blocks": 4.0, "total": 12.0},
        settings={"seed": 7, "augment": {"blur": 0.25, "names": ["hue", "flip"], "mixup": None}},
        facts={"backbone": "mobilenet_v2_0.35", "device": "CPU"},
    )
    return msgspec.structs.replace(made, **changes)


def rename(manifest: DatasetManifest, label: str, other: str) -> DatasetManifest:
    """The same photos with another name for a class; the files stay where they are."""
    return msgspec.structs.replace(
        manifest,
        labels=tuple(other if one == label else one for one in manifest.labels),
        examples=tuple(
            msgspec.structs.replace(one, label=other if one.label == label else one.label)
            for one in manifest.examples
        ),
    )


def test_the_page_shows_every_part(manifest: DatasetManifest) -> None:
    page = Text(render_report(make_input(manifest)))
    for heading in (
        "Findings",
        "Learning curves",
        "Confusion",
        "Classes",
        "Calibration of the scores",
        "Worst mistakes",
        "Data",
        "Time",
        "Settings",
    ):
        assert heading in page.text
    assert page.count("svg") == 3
    assert page.count("img") == 3
    for figure in ("augment.blur", "0.25", "hue, flip", "default", "mobilenet_v2_0.35", "12 s"):
        assert figure in page.text


def test_the_headline_says_how_sure_it_is(manifest: DatasetManifest) -> None:
    report = make_input(manifest, histories=())
    total = report.metrics.examples
    text = Text(render_report(report)).text
    assert f"Validation top-1 {(total - 3) / total:.1%}" in text
    assert re.search(rf"with 95% confidence: {total - 3} of {total} photos", text)


def test_equal_input_gives_equal_bytes(manifest: DatasetManifest) -> None:
    assert render_report(make_input(manifest)) == render_report(make_input(manifest))


def test_the_page_refers_to_nothing_outside(manifest: DatasetManifest) -> None:
    html = render_report(make_input(manifest))
    for tag, attributes in Text(html).tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            value = attributes.get(name) or "data:"
            assert value.startswith(("data:", "#")), (tag, attributes)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


@pytest.mark.parametrize("label", [NASTY, FORMULA, "漢字 \" onload='x' {{ 7 * 7 }}"])
def test_any_label_is_shown_as_it_is(manifest: DatasetManifest, label: str) -> None:
    renamed = rename(manifest, "gear", label)
    html = render_report(
        make_input(
            renamed,
            title=label,
            histories=(make_stage(label), make_stage("second")),
            seconds={label: 1.0},
            settings={label: label},
            facts={label: label},
        )
    )
    page = Text(html)
    assert page.count("script") == 1
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert label in page.text
    # Twice in SVG: the stage's name above each of the two plots.
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    assert [Text(f"<p>{one}</p>").text for one in texts].count(label) == 2


def test_a_path_cannot_break_the_page(manifest: DatasetManifest) -> None:
    predictions = make_predictions(manifest, wrong=1)
    paths = (f"gear/{NASTY}.jpg", *predictions.paths[1:])
    report = make_input(
        msgspec.structs.replace(manifest, skipped=(Skipped(NASTY, NASTY),)),
        predictions=msgspec.structs.replace(predictions, paths=paths),
        histories=(),
    )
    page = Text(render_report(report))
    assert page.count("script") == 1
    assert page.text.count(NASTY) == 3
    assert "(missing)" in page.text


def test_no_mistakes_are_no_trouble(manifest: DatasetManifest) -> None:
    text = Text(
        render_report(make_input(manifest, histories=(), predictions=make_predictions(manifest)))
    ).text
    assert "None: every validation photo was classified correctly" in text
    assert "No mistakes on" in text


def test_one_epoch_and_no_history_are_no_trouble(manifest: DatasetManifest) -> None:
    once = {name: values[:1] for name, values in make_stage().curves.items()}
    stage = make_stage(curves=once, best_epoch=0)
    one = render_report(make_input(manifest, histories=(StageHistory("head", once, 0, 1.0),)))
    assert Text(one).count("svg") == 3
    assert stage.best_epoch == 0
    none = render_report(make_input(manifest, histories=(), seconds={}))
    assert Text(none).count("svg") == 1


def test_many_classes_are_a_heatmap_and_a_table_of_pairs(manifest: DatasetManifest) -> None:
    labels = tuple(f"class {n:02d}" for n in range(40))
    examples = tuple(
        msgspec.structs.replace(one, label=labels[n % 40])
        for n, one in enumerate(manifest.examples)
    )
    many = msgspec.structs.replace(manifest, labels=labels, examples=examples)
    html = render_report(make_input(many, histories=()))
    assert Text(html).count("svg") == 2
    assert 'class="matrix' not in html
    assert "numbered in alphabetical order" in html


def test_test_photos_have_a_figure_of_their_own(manifest: DatasetManifest) -> None:
    test = make_predictions(manifest, wrong=15, split="test")
    text = Text(render_report(make_input(manifest, histories=(), test=test))).text
    assert "Test top-1" in text
    assert "Accuracy is lower on test photos than on validation photos" in text


def test_the_worst_mistakes_come_first(manifest: DatasetManifest) -> None:
    predictions = make_predictions(manifest, wrong=2, score=0.6)
    scores = [list(row) for row in predictions.scores]
    scores[1] = [0.95 if value == 0.6 else 0.025 for value in scores[1]]
    sure = msgspec.structs.replace(predictions, scores=tuple(map(tuple, scores)))
    html = render_report(make_input(manifest, histories=(), predictions=sure))
    mistakes = html[html.index('id="mistakes"') :]
    assert mistakes.index(sure.paths[1]) < mistakes.index(sure.paths[0])


def test_the_rest_of_the_total_time_is_shown(manifest: DatasetManifest) -> None:
    text = Text(
        render_report(make_input(manifest, histories=(), seconds={"head": 1.0, "total": 4.0}))
    ).text
    assert "the rest 3.0 s" in text


# Findings


def find(manifest: DatasetManifest, **changes: Any) -> dict[str, Finding]:
    report = make_input(manifest, **({"histories": ()} | changes))
    scores = report.predictions.probabilities
    found = find_notable(
        report.metrics,
        None,
        measure_reliability(scores, report.predictions.classes),
        report.histories,
        report.manifest,
        report.predictions,
    )
    return {one.headline: one for one in found}


def judge(
    manifest: DatasetManifest, confusion: list[list[int]], score: float
) -> dict[str, Finding]:
    """Findings on photos named as in a confusion matrix of three labels, all with one score."""
    pairs = [
        (row, column)
        for row, counts in enumerate(confusion)
        for column, count in enumerate(counts)
        for _ in range(count)
    ]
    rows = []
    for _, column in pairs:
        row = [(1 - score) / 2] * 3
        row[column] = score
        rows.append(tuple(row))
    truth = tuple(row for row, _ in pairs)
    paths = tuple(f"{n}.jpg" for n in range(len(pairs)))
    return find(manifest, predictions=Predictions("val", paths, truth, tuple(rows)))


def starting(found: dict[str, Finding], start: str) -> Finding:
    return next(one for headline, one in found.items() if headline.startswith(start))


def test_a_clearly_weak_class_is_a_warning(manifest: DatasetManifest) -> None:
    found = judge(manifest, [[190, 5, 5], [60, 140, 0], [5, 5, 190]], 0.87)
    weak = starting(found, "Class gear has the lowest recall: 70% of its 200 photos")
    assert weak.kind == "warning"
    assert "more than chance" in weak.detail


def test_a_weak_class_of_few_photos_may_be_chance(manifest: DatasetManifest) -> None:
    found = judge(manifest, [[190, 5, 5], [2, 8, 0], [5, 5, 190]], 0.95)
    weak = starting(found, "Class gear has the lowest recall: 80% of its 10 photos")
    assert weak.kind == "note"
    assert "leaves room for chance" in weak.detail


def test_a_model_that_names_all_alike_is_a_warning(manifest: DatasetManifest) -> None:
    found = judge(manifest, [[80, 0, 0], [10, 0, 0], [10, 0, 0]], 0.8)
    assert found["Not clearly better than predicting bolt for every photo"].kind == "warning"


def test_few_photos_are_called_few(manifest: DatasetManifest) -> None:
    assert "Few photos to evaluate on: 30 validation photos" in judge(
        manifest, [[9, 1, 0], [0, 9, 1], [1, 0, 9]], 0.9
    )
    many = judge(manifest, [[900, 50, 50], [50, 900, 50], [50, 50, 900]], 0.9)
    assert not any("Few photos to evaluate on" in headline for headline in many)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.96, "Scores are overconfident by 6 points"),
        (0.84, "Scores are underconfident by 6 points"),
        (0.905, "Scores are well calibrated"),
    ],
)
def test_scores_are_held_against_what_is_right(
    manifest: DatasetManifest, score: float, expected: str
) -> None:
    assert starting(judge(manifest, [[90, 5, 5], [5, 90, 5], [5, 5, 90]], score), expected)


def test_overconfidence_on_few_photos_is_not_claimed(manifest: DatasetManifest) -> None:
    found = judge(manifest, [[9, 1, 0], [0, 9, 1], [1, 0, 9]], 0.96)
    assert starting(found, "Scores are well calibrated")


def test_overfitting_is_told_from_the_curves(manifest: DatasetManifest) -> None:
    rising = make_stage(
        "all", curves={"val_loss": [0.9, 0.5, 0.4, 0.42, 0.45, 0.5, 0.55, 0.6, 0.6, 0.6]}
    )
    finding = starting(
        find(manifest, histories=(rising,)), "Validation loss rises after epoch 3 of stage “all”"
    )
    assert finding.kind == "warning"
    assert "0.400 to 0.600" in finding.detail
    kept = msgspec.structs.replace(rising, best_epoch=3)
    assert starting(find(manifest, histories=(kept,)), "Validation loss rises").kind == "note"


def test_a_noisy_level_curve_is_not_overfitting(manifest: DatasetManifest) -> None:
    level = make_stage(curves={"val_loss": [0.5, 0.41, 0.4, 0.41, 0.4, 0.41, 0.4, 0.41, 0.4, 0.41]})
    assert not any("Validation loss" in one for one in find(manifest, histories=(level,)))


def test_a_curve_that_still_falls_is_told(manifest: DatasetManifest) -> None:
    assert starting(
        find(manifest, histories=(make_stage(),)),
        "Validation loss was still falling at the end of stage “head”",
    )


def test_a_curve_that_is_no_number_is_passed_over(manifest: DatasetManifest) -> None:
    broken = make_stage(curves={"val_loss": [0.5, float("nan")] * 5})
    assert not any("Validation loss" in one for one in find(manifest, histories=(broken,)))
    assert Text(render_report(make_input(manifest, histories=(broken,)))).count("svg") == 3


def test_confident_mistakes_are_counted(manifest: DatasetManifest) -> None:
    predictions = make_predictions(manifest, wrong=2, score=0.95)
    assert "2 mistakes with a score of 90% or more" in find(manifest, predictions=predictions)


def test_classes_out_of_balance_are_told(manifest: DatasetManifest) -> None:
    kept = [one for one in manifest.select("train") if one.label == "gear"][:2]
    examples = tuple(
        one
        for one in manifest.examples
        if one.split != "train" or one.label != "gear" or one in kept
    )
    skewed = msgspec.structs.replace(manifest, examples=examples)
    assert starting(find(skewed), "The classes are out of balance")
    assert not any("out of balance" in one for one in find(manifest))


def test_unused_files_are_told_where_they_are_many(manifest: DatasetManifest) -> None:
    skipped = tuple(Skipped(f"gear/{n}.txt", "not an image") for n in range(10))
    many = find(msgspec.structs.replace(manifest, skipped=skipped))
    assert many["10 files of the data folder could not be used"].kind == "warning"
    hidden = tuple(Skipped(f"gear/.{n}", HIDDEN) for n in range(10))
    told = find(msgspec.structs.replace(manifest, skipped=hidden))
    assert not any("could not be used" in one for one in told)


def test_confused_pairs_come_with_their_reverse() -> None:
    metrics = measure(("a", "b"), np.array([0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 1]))
    first, second = find_confused_pairs(metrics)
    assert (first.true, first.named, first.count, first.of) == ("a", "b", 2, 3)
    assert (first.back, first.back_of) == (second.count, second.of) == (1, 2)


# Plots and images


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    draw_curves((make_stage(),), "loss", "Loss")
    assert dict(matplotlib.rcParams) == before


def test_drawing_ignores_the_users_matplotlibrc() -> None:
    plain = draw_curves((make_stage(),), "loss", "Loss")
    with matplotlib.rc_context({"lines.linewidth": 9, "legend.fontsize": 30, "axes.xmargin": 1}):
        assert draw_curves((make_stage(),), "loss", "Loss") == plain


def test_plots_take_their_colours_from_the_page(manifest: DatasetManifest) -> None:
    scores = make_predictions(manifest, wrong=2)
    for svg in (
        draw_curves((make_stage(), make_stage("all")), "accuracy", "Accuracy"),
        draw_reliability(measure_reliability(scores.probabilities, scores.classes), "Reliability"),
        draw_heatmap([[3, 1], [0, 2]], "Confusion"),
    ):
        left = re.sub(r"var\(--\w+, #\w{6}\)", "", svg)
        assert not re.search(r"(?:fill|stroke): #", left), left
        assert 'role="img"' in svg


def test_a_plot_says_what_it_shows() -> None:
    assert 'aria-label="Loss &lt;&quot;&gt;"' in draw_curves((make_stage(),), "loss", 'Loss <">')


def decode(uri: str) -> np.ndarray:
    import base64

    import cv2

    kind, data = uri.split(",", 1)
    assert kind == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_a_thumbnail_keeps_the_shape_of_the_photo(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "wide.png"), np.full((100, 400, 3), 200, np.uint8))
    assert decode(thumbnail(tmp_path / "wide.png", 64)).shape == (16, 64, 3)


def test_a_small_photo_is_not_blown_up(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "small.png"), np.full((10, 20, 3), 200, np.uint8))
    assert decode(thumbnail(tmp_path / "small.png", 64)).shape == (10, 20, 3)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_thumbnail_of_no_photo_is_grey(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    grey = decode(thumbnail(path, 32))
    assert grey.shape == (32, 32, 3)
    assert grey.std() < 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.42 s"), (4.2, "4.2 s"), (28.4, "28 s"), (200, "3 min 20 s"), (4320, "72 min 0 s")],
)
def test_durations_are_said_in_fitting_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_many_shots_of_one_thing_promise_no_more_than_one(manifest: DatasetManifest) -> None:
    right = make_predictions(manifest)
    alone = find(manifest, predictions=right)
    val = manifest.select("val")
    examples = tuple(
        msgspec.structs.replace(one, group=f"scene {n % 6}") if one.split == "val" else one
        for n, one in enumerate(manifest.examples)
    )
    bursts = msgspec.structs.replace(manifest, examples=examples)
    words = f"No mistakes on {len(val)} validation photos"
    # Wilson's lower ends of all right of so many.
    assert f"expect at least {100 * len(val) / (len(val) + 3.8415):.0f}%" in alone[words].detail
    found = starting(find(bursts, predictions=right), f"{words} of 6 different things")
    assert found.detail == "On new photos of the same kind, expect at least 61%."
    page = render_report(make_input(bursts, predictions=right))
    assert f"{len(val)} of {len(val)} photos of 6 different things" in Text(page).text


@pytest.mark.parametrize(
    ("monitor", "shown", "chosen"),
    [
        ("calibrated", "0.017", "at the best temperature"),
        ("loss", "0.080", "the lowest validation loss;"),
        ("accuracy", "0.017", "the highest validation accuracy"),
    ],
)
def test_the_loss_that_chose_is_the_one_that_is_shown(
    manifest: DatasetManifest, monitor: str, shown: str, chosen: str
) -> None:
    curves = {"val_loss": [0.08] * 10, "val_calibrated_loss": [0.017] * 10}
    stages = tuple(make_stage(name, curves=curves, monitor=monitor) for name in ("head", "blocks"))
    page = Text(render_report(make_input(manifest, histories=stages))).text
    (hidden,) = {"0.017", "0.080"} - {shown}
    assert shown in page.split()
    assert hidden not in page.split()
    assert chosen in page
