"""A model trained elsewhere and a data folder become a bundle."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edgetl.dataset.labels import find_twin
from edgetl.dataset.listing import Listing
from edgetl.dataset.manifest import DatasetManifest, Split, scan
from edgetl.dataset.tables import list_data
from edgetl.run import describe_versions
from edgetl_export.calibration import choose_photos, load_inputs
from edgetl_export.examination import Examination
from edgetl_export.foreign import find_kind, naming, open_model
from edgetl_export.foreign.archive import unpacked
from edgetl_export.foreign.embedded import Embedded, find_beside, find_embedded
from edgetl_export.foreign.ending import Ending, choose_ending
from edgetl_export.foreign.kinds import Kind
from edgetl_export.foreign.labels import (
    check_count,
    find_repeated,
    read_labels,
    suggest_label,
)
from edgetl_export.foreign.scaling import find_scaling
from edgetl_export.foreign.source import Foreign, Size
from edgetl_export.packing import check_target
from edgetl_export.progress import Track, silent
from edgetl_export.recipes import DEFAULT, RECIPES, Recipe, find_recipes
from edgetl_export.trained import About, Form, Labelled, Part, Trained, UnknownPhotos
from edgetl_runtime.errors import DatasetError, ExportError, GateError
from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Fit, Frame, Preprocessing

if TYPE_CHECKING:
    from edgetl_export.bundling import Exported, Settings

_NOBODY = About()
_SEED = 0
# So many photos tell logits from probabilities.
_LOOKED_AT = 16
# So many tell what labels and scaling mean.
_EXAMINED = 240
_SOME = 5
# What is opened without TensorFlow.
_QUICK: Final = ("tflite", "onnx")
_log = logging.getLogger(__name__)


class ForeignOptions(msgspec.Struct, frozen=True):
    """A model that edgetl did not train, and what has to be known of it.

    Attributes:
        model: A .tflite, .onnx, .keras or .h5 file, or the folder of a SavedModel.
        labels: Text file, one label a line, in the order of the model's outputs; or JSON, see
            `edgetl_export.foreign.labels.read_labels`. None: those that the model's file holds.
        data: Labelled photos, as for training: `train` calibrates, `val` judges.
        scaling: What the model expects of a pixel; see
            `edgetl_export.foreign.scaling.find_scaling`.
        fit: What happens to a photo of another aspect ratio than the input.
        size_px: Side of the input, or (width, height), where the model leaves it free.
        trust: Open .keras and SavedModel, which can run code.
        allow_doubt: Export though the photos, or the file itself, speak against labels or scaling.
    """

    model: Path
    labels: Path | None
    data: Path
    scaling: str
    fit: Fit = "stretch"
    size_px: Size | None = None
    trust: bool = False
    allow_doubt: bool = False


class Checked(msgspec.Struct, frozen=True):
    """What was seen of a model trained elsewhere before it is opened.

    Attributes:
        options: As they were given.
        model: The model itself, which may have come out of a zip.
        kind: What it is.
        labels: In the order of its outputs.
        listing: The photos.
        foreign: The model opened, where that needs no TensorFlow; else None.
    """

    options: ForeignOptions
    model: Path
    kind: Kind
    labels: Embedded
    listing: Listing
    foreign: Foreign | None = None


def export_foreign(
    options: ForeignOptions,
    out: Path,
    settings: "Settings | None" = None,
    about: About = _NOBODY,
    *,
    names: Sequence[str] = (),
    overwrite: bool = False,
    track: Track = silent,
) -> "Exported":
    """Exports a model that edgetl did not train; see `edgetl_export.bundling.export_bundle`.

    Args:
        options: The model.
        out: Folder of the bundle.
        settings: As for a run, but for the recipes.
        about: What its maker says of it.
        names: Recipes; by default those of `recipes.DEFAULT` that can be made of the model.
        overwrite: Replace an existing bundle.
        track: Shows progress.

    Raises:
        DatasetError: If the photos cannot be used, or have a class that the labels lack.
        ExportError: If model or labels cannot be used, the model's file says that it takes other
            pixels, or a recipe cannot be made of the model.
        GateError: If a file is worse than the model by more than is allowed, or the photos speak
            against labels or scaling.
        OptionsError: If a name is unknown.
        StorageError: If `out` exists or cannot be written.
    """
    with check_foreign(options, out, overwrite=overwrite) as checked:
        return export_checked(
            checked, out, settings, about, names=names, overwrite=overwrite, track=track
        )


def export_checked(
    checked: Checked,
    out: Path,
    settings: "Settings | None" = None,
    about: About = _NOBODY,
    *,
    names: Sequence[str] = (),
    overwrite: bool = False,
    track: Track = silent,
) -> "Exported":
    """As `export_foreign`, of what `check_foreign` has seen already."""
    # Only now, since it imports converters, which takes seconds.
    from edgetl_export.bundling import Settings, export_bundle

    options, found = checked.options, checked.labels
    foreign = checked.foreign or _open(checked)
    _tell_labels(checked)
    _tell_repeated(found.source, found.labels)
    recipes = choose_recipes(names, foreign.form)
    manifest = _scan(checked, track)
    with naming(checked.model):
        trained = _describe(options, foreign, found.labels, manifest, track)
    trained = msgspec.structs.replace(trained, about=about)
    settings = msgspec.structs.replace(settings or Settings(), recipes=recipes)
    return export_bundle(trained, out, settings, overwrite=overwrite, track=track)


@contextmanager
def check_foreign(options: ForeignOptions, out: Path, *, overwrite: bool) -> Iterator[Checked]:
    """Refuses what can be refused at once: a model is opened if that needs no TensorFlow.

    Yields:
        What was seen; a model out of a zip lies there as long as this is open.

    Raises:
        DatasetError: If there are no photos.
        ExportError: If the model is missing, of no known kind or not trusted, or there are no
            labels, or they cannot be used; of a .tflite or .onnx also what opening it tells
            (as a DatasetError, if the photos have a class that the labels lack).
        StorageError: If `out` exists or cannot be written.
    """
    with unpacked(options.model) as model:
        check_target(out, overwrite=overwrite)
        kind = find_kind(model, trust=options.trust)
        labels = _find_labels(options, model, kind)
        checked = Checked(options, model, kind, labels, list_data(options.data))
        if kind in _QUICK:
            checked = msgspec.structs.replace(checked, foreign=_open(checked))
        yield checked


def _open(checked: Checked) -> Foreign:
    """The model, after its outputs, labels, classes and scaling were held against one another."""
    options, found = checked.options, checked.labels
    foreign = open_model(
        checked.model, find_scaling(options.scaling), size_px=options.size_px, trust=options.trust
    )
    check_count(found.source, found.labels, foreign.outputs)
    _check_classes(checked)
    _check_statements(options, foreign)
    return foreign


def _find_labels(options: ForeignOptions, model: Path, kind: Kind) -> Embedded:
    if options.labels is not None:
        return Embedded(read_labels(options.labels), str(options.labels))
    if (found := find_embedded(model, kind, options.model)) is not None:
        return found
    beside = find_beside(options.model)
    hint = f"; beside it lies one: --labels {beside}" if beside else ": --labels FILE"
    raise ExportError(
        f"{options.model} brings no labels along; give them as a text file, one label a line, "
        f"in the order of its outputs{hint}"
    )


def _tell_labels(checked: Checked) -> None:
    """Says where labels came from that nobody gave; compares those given with the model's own."""
    options, labels = checked.options, checked.labels
    if options.labels is None:
        shown = ", ".join(labels.labels[:_SOME])
        more = ", ..." if len(labels.labels) > _SOME else ""
        _log.warning(
            "%d labels are taken from %s: %s%s", len(labels.labels), labels.source, shown, more
        )
        return
    try:
        own = find_embedded(checked.model, checked.kind, options.model)
    except ExportError:
        return  # What cannot be read contradicts nothing.
    if own is not None:
        _check_order(options, labels.labels, own)


def _check_order(options: ForeignOptions, given: Sequence[str], own: Embedded) -> None:
    if sorted(own.labels) != sorted(given) or own.labels == given:
        return
    sentence = f"{own.source} has the same labels as {options.labels} in another order"
    if not options.allow_doubt:
        raise ExportError(
            f"{sentence}; leave --labels out, or, if {options.labels} is right all the same, add "
            "--allow-doubt"
        )
    _log.warning("%s; not heeded, as --allow-doubt says", sentence)


def choose_recipes(names: Sequence[str], form: Form) -> tuple[Recipe, ...]:
    """Recipes by name or precision that can be made of a model.

    Returns:
        In the order that a device should prefer. A precision stands for those engines that the
        model can have.

    Raises:
        ExportError: If a recipe cannot be made of the model.
        OptionsError: If a name is unknown.
    """
    offered = [one for one in RECIPES if form.offers(one)]
    if not names:
        return tuple(one for one in offered if one.name in DEFAULT) or tuple(offered)
    wanted = find_recipes(names)
    form.check(one for one in wanted if one.name in names)
    chosen = tuple(one for one in wanted if one in offered)
    if not chosen:
        form.check(wanted)
    return chosen


def _check_classes(checked: Checked) -> None:
    options, labels, source = checked.options, checked.labels.labels, checked.labels.source
    for label in checked.listing.labels:
        if label not in labels:
            twin = find_twin(label, labels)
            hint = f", which has {twin}" if twin else suggest_label(label, labels)
            raise DatasetError(
                f"{options.data} has the class {label}, which is not in {source}{hint}; "
                "rename or remove the folder"
            )


def _scan(checked: Checked, track: Track) -> DatasetManifest:
    options, labels, present = checked.options, checked.labels.labels, checked.listing.labels
    without = [label for label in labels if label not in present]
    if without:
        more = ", ..." if len(without) > _SOME else ""
        _log.warning(
            "%d of %d labels have no photos in %s, so nothing is known of how well they are "
            "recognised: %s%s",
            *(len(without), len(labels), options.data, ", ".join(without[:_SOME]), more),
        )
    return scan(checked.listing, seed=_SEED, track=track)


def _describe(
    options: ForeignOptions,
    foreign: Foreign,
    labels: tuple[str, ...],
    manifest: DatasetManifest,
    track: Track,
) -> Trained:
    height, width = foreign.size
    preprocessing = Preprocessing(width, height, fit=options.fit)
    parts: dict[Split, tuple[Labelled, ...]] = {
        split: _labelled(manifest, labels, split) for split in ("train", "val", "test")
    }

    def load(photos: Sequence[Path], words: str) -> list[Frame]:
        return load_inputs(photos, preprocessing, words, track=track)

    some = _draw(parts["train"], len(labels), _LOOKED_AT)
    ending = choose_ending(
        foreign.look(load(some, "reading training photos")),
        foreign.end,
        quantized=foreign.is_coarse,
    )

    examination = _examine(options, foreign, labels, parts, ending, load)

    def score(photos: tuple[Labelled, ...]) -> Part:
        files = [photo.file for photo in photos]
        raw: Scores = foreign.look(load(files, "reading validation photos"))
        return Part(photos, ending.apply(raw))

    validation, test = score(parts["val"]), score(parts["test"]) if parts["test"] else None
    source = foreign.finish(ending)
    _tell(options.model, (foreign.words, ending.words), source.form)
    return Trained(
        graph=source.data,
        labels=labels,
        preprocessing=preprocessing,
        training=parts["train"],
        validation=validation,
        test=test,
        seed=_SEED,
        backbone=options.model.stem,
        weights_digest="",
        dataset_digest=manifest.digest,
        model_sha256=_digest(options.model),
        versions=describe_versions(),
        form=source.form,
        examination=examination,
        unknown=UnknownPhotos(manifest.unknown_files("choose"), manifest.unknown_files("measure")),
    )


def _check_statements(options: ForeignOptions, foreign: Foreign) -> None:
    """Compares the scaling with what the file itself says of its input."""
    for statement in foreign.statements:
        sentence = statement.contradict(foreign.scaling)
        if sentence and not options.allow_doubt:
            raise ExportError(
                f"{options.model}: {sentence}. If {options.scaling} is right all the same, add "
                "--allow-doubt"
            )
        if sentence:
            _log.warning("%s: %s; not heeded, as --allow-doubt says", options.model, sentence)


def _examine(
    options: ForeignOptions,
    foreign: Foreign,
    labels: tuple[str, ...],
    parts: Mapping[Split, Sequence[Labelled]],
    ending: Ending,
    load: Callable[[Sequence[Path], str], list[Frame]],
) -> Examination:
    """Compares the model with guessing, other orders of labels and other scalings."""
    # Only now: it imports statistics, and much is refused before.
    from edgetl_export.foreign.plausibility import examine

    photos = [*parts["val"], *parts["train"]]
    index = {photo.file: photo.index for photo in photos}
    chosen = _draw(photos, len(labels), _EXAMINED)
    frames = load(chosen, "reading photos to examine")
    found = examine(
        ending.apply(foreign.look(frames)),
        np.array([index[one] for one in chosen], np.int64),
        labels,
        foreign.scaling,
        lambda scaling, part: ending.apply(foreign.look_with(scaling, frames[part])),
    )
    refused = [one.sentence for one in found.doubts if one.refuses]
    if refused and not options.allow_doubt:
        raise GateError(
            f"no bundle was written, since {options.model} makes no sense so: "
            f"{'; '.join(refused)}. If labels and scaling are right all the same, add --allow-doubt"
        )
    for one in found.doubts:
        _log.warning("%s: %s", options.model, one.sentence)
    return found


def _tell_repeated(file: str, labels: Sequence[str]) -> None:
    for name, called in find_repeated(labels).items():
        _log.warning(
            "%s has the label %s %d times; they are called %s, by the numbers of their outputs, "
            "and folders of photos must be called so",
            *(file, name, len(called), " and ".join(called)),
        )


def _tell(model: Path, done: Sequence[str], form: Form) -> None:
    for words in filter(None, done):
        _log.warning("%s: %s", model, words)
    if form.precision != "float32":
        _log.warning(
            "%s is %s already and ships as it is; no float32 model is there to compare it with, so "
            "its drop is 0 by definition and only its top-1 says how good it is",
            *(model, form.precision),
        )


def _labelled(
    manifest: DatasetManifest, labels: tuple[str, ...], split: Split
) -> tuple[Labelled, ...]:
    return tuple(
        Labelled(manifest.file(one), labels.index(one.label)) for one in manifest.part(split)
    )


def _draw(photos: Sequence[Labelled], classes: int, most: int) -> list[Path]:
    by_class: list[list[Path]] = [[] for _ in range(classes)]
    for photo in photos:
        by_class[photo.index].append(photo.file)
    return choose_photos(by_class, _SEED, most)


def _digest(model: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and the bytes of all its files."""
    if model.is_file():
        with model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for path in sorted(one for one in model.rglob("*") if one.is_file()):
        digest.update(path.relative_to(model).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
