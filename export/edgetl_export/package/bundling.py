"""Export: a trained model becomes files, the files are measured, and a bundle is written."""

import datetime
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgetl_export.bundle import Bundle
from edgetl_export.evaluate.gate import GateVerdict, make_gate
from edgetl_export.evaluate.golden_frames import Golden, choose_golden
from edgetl_export.examination import Examination
from edgetl_export.options import ExportOptions
from edgetl_export.package.finishing import Acceptance, Finished, Finisher
from edgetl_export.package.metadata import encode_labels
from edgetl_export.package.model_card import write_card
from edgetl_export.package.packing import check_bundle_target, write_bundle
from edgetl_export.quantize.calibration import Inputs
from edgetl_export.quantize.model_files import FileWriter
from edgetl_export.quantize.repairs import Plan
from edgetl_export.quantize.search import Attempt, Judge, attempt, find_best, leave_out
from edgetl_export.recipes import Recipe
from edgetl_export.trained import About, Trained, choose_recipes
from edgetl_runtime.bundle.golden_frames import TOLERANCE, digest
from edgetl_runtime.bundle.manifest import (
    CARD,
    FORMAT_VERSION,
    LABELS,
    BundleManifest,
    GoldenFrame,
    LeftOut,
    Precision,
    Provenance,
    StoredFile,
    Variant,
)
from edgetl_runtime.bundle.memory import MEMORY_SUFFIX, encode_memory
from edgetl_runtime.bundle.reader import CHECKSUM, MANIFEST, encode_checksum, encode_manifest
from edgetl_runtime.errors import ExportError, GateError
from edgetl_runtime.system.storage import staged_folder

REJECTED, ATTEMPTS = ".rejected", "attempts.json"
# The first that is no class of the model.
_UNKNOWN_NAMES = ("unknown", "none of the classes", "unknown thing")
_LARGE: tuple[Precision, ...] = ("float32", "float16")
_TRIED = {
    "none": "unrepaired",
    "quick": "after quick repairs",
    "thorough": "after all repairs",
}
_log = logging.getLogger(__name__)


class Exported(msgspec.Struct, frozen=True):
    """The result of an export.

    Attributes:
        bundle: What was written.
        attempts: By recipe name, in order; see `search.find_best` for which one ships.
        examination: See `Trained`.
    """

    bundle: Bundle
    attempts: dict[str, tuple[Attempt, ...]]
    examination: Examination | None = None


def export_model(
    trained: Trained,
    out: Path,
    options: ExportOptions,
    *,
    overwrite: bool = False,
) -> Exported:
    """Converts, measures, repairs and writes; the bundle appears only when all is well.

    Two exports of one run give the same bytes. No clock is read: the bundle is dated only by
    SOURCE_DATE_EPOCH.

    Args:
        trained: The model and its photos.
        out: The folder to write, or one zip if it ends in `.zip`.
        options: Which files, and how good they must be.
        overwrite: Replace a bundle of the same kind.

    Raises:
        ExportError: If the model cannot be converted, or not by these recipes, or there is nothing
            to calibrate with.
        GateError: If every file is worse than allowed or, with `strict`, one is; the best attempts
            lie in `OUT.rejected`.
        FrameError: If a photo cannot be read any more.
        StorageError: If `out` exists or cannot be written.
    """
    check_bundle_target(out, overwrite=overwrite)
    recipes = choose_recipes(options.recipes, trained.form)
    trained = msgspec.structs.replace(trained, about=_describe_model(options))
    created_utc = _stated_date()
    inputs = Inputs(trained.preprocessing)
    finisher = Finisher(trained, _accept(options), options.max_bytes, inputs)
    writer = FileWriter(trained, inputs)
    judge = Judge(trained, make_gate(options), weigh=finisher.weigh, inputs=inputs)
    attempts = _attempt_all(recipes, options, writer, judge)
    chosen, left_out = _choose(options, attempts)
    if not chosen or (left_out and options.is_strict):
        raise _refuse(out, options, attempts, left_out)
    trained = _name_unknown(trained, options, finisher, chosen)
    finisher = Finisher(trained, _accept(options), options.max_bytes, inputs)
    finished = {name: finisher.finish(one) for name, one in chosen.items()}
    golden = choose_golden(trained.validation, trained.preprocessing)
    photos = writer.photos(Plan(recipes[0]).photos)
    provenance = _provenance(trained, photos, created_utc, left_out)
    variants = [(finished[name], one.verdict) for name, one in chosen.items()]
    files = _assemble(trained, variants, golden, provenance)
    bundle = write_bundle(files, out, overwrite=overwrite)
    _warn(options, chosen, left_out)
    every = {name: tuple(tried) for name, tried in attempts.items()}
    return Exported(bundle, every, trained.examination)


def describe_attempts(attempts: Mapping[str, Sequence[Attempt]]) -> list[dict[str, object]]:
    """The table of all attempts, for `--json` and for `attempts.json`."""
    return [
        {
            "recipe": name,
            "precision": one.file.plan.recipe.precision,
            "repair": one.file.plan.repair,
            "bytes": len(one.file.data),
            "top1": one.metrics.top1,
            "drop": one.metrics.drop,
            "agreement": one.metrics.agreement,
            "recall": one.metrics.recall,
            "passed": one.verdict.passed,
            "failures": one.verdict.failures,
            "unsure": one.verdict.unsure,
        }
        for name, tried in attempts.items()
        for one in tried
    ]


def _describe_model(options: ExportOptions) -> About:
    return About(
        options.name, options.model_version, options.author, options.license, options.description
    )


def _accept(options: ExportOptions) -> Acceptance:
    most = options.max_false_rejects
    return Acceptance(options.false_accepts / 100, None if most is None else most / 100)


def _name_unknown(
    trained: Trained, options: ExportOptions, finisher: Finisher, chosen: Mapping[str, Attempt]
) -> Trained:
    """Adds the name of one more output, if it is wanted and all files can have it."""
    if not options.unknown_class:
        return trained
    if not finisher.can_detect(chosen.values()):
        _log.warning(
            "no class for unknown things: each file would have to end in a dense layer and a "
            "softmax, with room for a detector; a reject threshold of the top score is used instead"
        )
        return trained
    taken = {label.casefold() for label in trained.labels}
    name = next(one for one in _UNKNOWN_NAMES if one not in taken)
    return msgspec.structs.replace(trained, unknown_label=name)


def _attempt_all(
    recipes: Sequence[Recipe], options: ExportOptions, writer: FileWriter, judge: Judge
) -> dict[str, list[Attempt]]:
    attempts: dict[str, list[Attempt]] = {}
    passed: set[Precision] = set()
    for recipe in recipes:
        tried = attempt(
            recipe,
            writer,
            judge,
            repair=options.repair,
            second_choice=not options.is_strict and recipe.precision in passed,
        )
        attempts[recipe.name] = tried
        if find_best(tried).verdict.passed:
            passed.add(recipe.precision)
    return attempts


def _choose(
    options: ExportOptions, attempts: Mapping[str, Sequence[Attempt]]
) -> tuple[dict[str, Attempt], tuple[LeftOut, ...]]:
    """What ships, by the recipe that it was written by in the end, and what does not."""
    chosen: dict[str, Attempt] = {}
    left_out = []
    for name, tried in attempts.items():
        best = find_best(tried)
        if best.verdict.passed or options.allow_drop:
            # A repair may end in what another recipe wrote.
            chosen[best.file.plan.recipe.name] = best
        else:
            left_out.append(leave_out(name, tried))
    return chosen, tuple(left_out)


def _warn(
    options: ExportOptions, chosen: Mapping[str, Attempt], left_out: Sequence[LeftOut]
) -> None:
    """One line for each recipe that is left out."""
    hints = [] if options.repair == "thorough" else ["--repair thorough tries more"]
    if all(one.file.plan.recipe.precision in _LARGE for one in chosen.values()):
        hints.append("the bundle has no int8 file, which a board would run faster")
    for one in left_out:
        best = one.best
        _log.warning(
            "%s is left out: %s; best attempt: %s, top-1 %.1f%%, agreement %.1f%%%s",
            *(one.name, one.reason, best.repair or "unrepaired"),
            *(100 * best.top1, 100 * best.agreement, "".join(f"; {hint}" for hint in hints)),
        )


def _refuse(
    out: Path,
    options: ExportOptions,
    attempts: Mapping[str, Sequence[Attempt]],
    left_out: Sequence[LeftOut],
) -> GateError:
    """Keeps the best attempts aside, and says what was wrong with them."""
    aside = out.with_name(out.name + REJECTED)
    with staged_folder(aside, marker=ATTEMPTS, overwrite=True) as folder:
        for one in map(find_best, attempts.values()):
            (folder / one.file.plan.recipe.file).write_bytes(one.file.data)
        (folder / ATTEMPTS).write_bytes(
            msgspec.json.format(msgspec.json.encode(describe_attempts(attempts)), indent=2)
        )
    leave = "Leave the recipe out of --recipe, or --strict out. " if options.is_strict else ""
    reasons = "; ".join(f"{one.name}: {one.reason}" for one in left_out)
    return GateError(
        f"no bundle was written, because {reasons} ({_TRIED[options.repair]}). The best attempts "
        f"and their metrics are in {aside}. {leave}Try more (--repair thorough), allow more "
        "(--max-drop, --max-class-drop, --max-bytes), or accept it as it is (--allow-drop)"
    )


def _assemble(
    trained: Trained,
    chosen: Sequence[tuple[Finished, GateVerdict]],
    golden: Sequence[Golden],
    provenance: Provenance,
) -> dict[str, bytes]:
    """The content of every file of the bundle, by name."""
    files: dict[str, bytes] = {}
    variants = tuple(
        _store_variant(files, one, verdict, trained, golden) for one, verdict in chosen
    )
    parts = {"training": trained.training, "validation": trained.validation.photos}
    if trained.test is not None:
        parts["test"] = trained.test.photos
    card = write_card(trained.labels, parts, variants, provenance, trained.examination)
    manifest = BundleManifest(
        format_version=FORMAT_VERSION,
        labels=trained.labels,
        preprocessing=trained.preprocessing,
        variants=variants,
        golden=tuple(_store_golden(files, n, one) for n, one in enumerate(golden)),
        labels_file=_store(files, LABELS, encode_labels(trained.outputs)),
        card=_store(files, CARD, card),
        provenance=provenance,
        unknown_label=trained.unknown_label,
    )
    files[MANIFEST] = encode_manifest(manifest)
    files[CHECKSUM] = encode_checksum(files[MANIFEST])
    return files


def _store(files: dict[str, bytes], name: str, data: bytes) -> StoredFile:
    files[name] = data
    return StoredFile(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _store_golden(files: dict[str, bytes], number: int, golden: Golden) -> GoldenFrame:
    stored = _store(files, f"golden/{number}.png", golden.png)
    return GoldenFrame(**msgspec.structs.asdict(stored), input_sha256=digest(golden.pixels))


def _store_variant(
    files: dict[str, bytes],
    finished: Finished,
    verdict: GateVerdict,
    trained: Trained,
    golden: Sequence[Golden],
) -> Variant:
    file = finished.file
    recipe = file.plan.recipe
    stored = _store(files, recipe.file, file.data)
    memory = None
    if finished.memory is not None:
        memory = _store(files, recipe.name + MEMORY_SUFFIX, encode_memory(finished.memory))
    engine = file.open()
    scores = [engine.run(one.pixels).tolist() for one in golden]
    return Variant(
        file=stored.file,
        sha256=stored.sha256,
        bytes=stored.bytes,
        name=recipe.name,
        engine=recipe.engine,
        precision=recipe.precision,
        input=file.tensors[0],
        output=file.tensors[1],
        metrics=finished.metrics,
        test_metrics=finished.test_metrics,
        calibration=finished.calibration,
        golden_scores=tuple(map(tuple, scores)),
        golden_tolerance=TOLERANCE[recipe.precision],
        repair=file.plan.repair,
        failures=verdict.failures,
        unsure=verdict.unsure,
        hidden=file.hidden,
        memory=memory,
    )


def _provenance(
    trained: Trained, photos: Sequence[Path], created_utc: str, left_out: tuple[LeftOut, ...]
) -> Provenance:
    return Provenance(
        edgetl_version=trained.versions["edgetl"],
        backbone=trained.backbone,
        weights_digest=trained.weights_digest,
        dataset_digest=trained.dataset_digest,
        model_sha256=trained.model_sha256,
        calibration_photos=tuple(f"{photo.parent.name}/{photo.name}" for photo in photos),
        versions=trained.versions,
        created_utc=created_utc,
        left_out=left_out,
        **msgspec.structs.asdict(trained.about),
    )


def _stated_date() -> str:
    """What SOURCE_DATE_EPOCH says; without it nothing, since a clock would make exports differ.

    The variable holds seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch).
    """
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated:
        return ""
    try:
        date = datetime.datetime.fromtimestamp(int(stated), datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ExportError(
            f"SOURCE_DATE_EPOCH is {stated!r}, expected seconds since 1970; correct or unset it"
        ) from error
    return date.isoformat(timespec="seconds")
