"""`edgetl evaluate`: a run or a bundle on labelled photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, print_json, print_metrics
from edgetl_export.wording import percent
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl.evaluation import Evaluation
    from edgetl.metrics import Answers


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("data", type=FOLDER)
@click.option(
    "--variant", help="Variant of a bundle to evaluate, such as litert-int8.  [its first]"
)
@click.option("--unseen", is_flag=True, help="Leave out photos that the run was trained on.")
@click.option(
    "--lessons",
    is_flag=True,
    help="Apply the lessons beside the bundle, as a device does; DATA may have the classes that "
    "they taught.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    model: Path, data: Path, *, variant: str | None, unseen: bool, lessons: bool, as_json: bool
) -> None:
    """Score a run or a bundle (MODEL) on the labelled photos in DATA.

    DATA is CLASS/photo.jpg, {train,val,test}/CLASS/photo.jpg (train is left out), or a .csv or
    .jsonl file of path,label[,split]. Its classes are among those of MODEL.

    Top-1 is the share of photos whose best class is the true one, whether or not a device would
    reject them as unknown. For a bundle, the lines below it say how many photos get a label, how
    many of these are correct, and how many photos in _unknown_ get a label all the same.

    Example: edgetl evaluate parts.bundle photos/test
    """
    from edgetl.api import evaluate as run_evaluation

    result = run_evaluation(model, data, variant=variant, unseen=unseen, lessons=lessons)
    if as_json:
        print_json(_describe(result))
    else:
        print_metrics(result.metrics)
        click.echo("\n".join(_summarize(result)))
    for note in _list_notes(result, data):
        click.echo(f"edgetl: {note}", err=True)


def _describe(result: "Evaluation") -> dict[str, object]:
    import msgspec

    record: dict[str, object] = msgspec.to_builtins(result)
    metrics = record.pop("metrics")
    return {**metrics, **record}  # type: ignore[dict-item]


def _summarize(result: "Evaluation") -> Iterator[str]:
    photos = count_noun(result.metrics.examples, "photo")
    taught = f", with {count_noun(result.lessons, 'lesson')} applied" if result.lessons else ""
    yield f"top-1 {percent(result.metrics.top1)} on {photos}{taught}"
    if result.answers:
        yield from _summarize_answers(result.answers)


def _summarize_answers(answers: "Answers") -> Iterator[str]:
    photos = count_noun(answers.labelled + answers.rejected, "photo")
    yield (
        f"labelled: {answers.labelled} of {photos}, {percent(answers.accuracy)} of them correct; "
        f"{answers.rejected} rejected as unknown, of which {answers.false_rejects} would have been "
        "correct"
    )
    if answers.unknown:
        unknown = f"{answers.false_accepts} of {count_noun(answers.unknown, 'photo')}"
        taken = ", ".join(f"{label} {count}" for label, count in answers.taken_for.items())
        shown = f": {taken}" if taken else ""
        rate = percent(answers.false_accept_rate)
        yield f"_unknown_: {unknown} labelled all the same ({rate}){shown}"


def _list_notes(result: "Evaluation", data: Path) -> Iterator[str]:
    if result.trained_on:
        yield (
            f"{result.trained_on} of these photos were trained on, so the figure overstates "
            "accuracy; --unseen leaves them out"
        )
    if result.skipped:
        files = "1 file was" if result.skipped == 1 else f"{result.skipped} files were"
        yield f"{files} left out; to see why: edgetl data check {data} --weights none"
    if result.unknown and not result.answers:
        yield (
            f"not scored: {count_noun(result.unknown, 'photo')} in {data}/_unknown_, which have no "
            "class; a run rejects nothing, so evaluate a bundle on them"
        )
    if result.lessons_left_out:
        lessons = count_noun(result.lessons_left_out, "lesson")
        yield f"not applied: {lessons} beside the bundle; --lessons applies them, as a device does"
