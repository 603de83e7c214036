"""A model trained elsewhere and a data folder become a bundle."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edgetl.checksum import digest_file
from edgetl.dataset.labels import find_twin
from edgetl.dataset.listing import Listing
from edgetl.dataset.manifest import DatasetManifest, Split, scan
from edgetl.dataset.tables import list_data
from edgetl.exporting.photos import find_unknown, label_photos, view_as_camera
from edgetl.networks.framework import load_tensorflow
from edgetl.run import describe_versions
from edgetl_export.examination import Examination
from edgetl_export.load import find_kind, naming, open_model
from edgetl_export.load.archive import unpacked
from edgetl_export.load.embedded import Embedded, find_beside, find_embedded
from edgetl_export.load.kinds import Kind
from edgetl_export.load.labels import check_count, find_repeated, read_labels, suggest_label
from edgetl_export.load.output_activation import OutputActivation, choose_activation
from edgetl_export.load.scaling import find_scaling
from edgetl_export.load.source import Foreign, Size
from edgetl_export.package.packing import check_bundle_target
from edgetl_export.quantize.calibration import choose_photos, load_inputs
from edgetl_export.trained import (
    Labelled,
    ModelFormat,
    ScoredPhotos,
    Trained,
    choose_recipes,
)
from edgetl_runtime.errors import DatasetError, ExportError, GateError
from edgetl_runtime.image.preprocessing import Fit, Frame, Preprocessing
from edgetl_runtime.prediction import Scores

if TYPE_CHECKING:
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import Exported

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
            `edgetl_export.load.labels.read_labels`. None: those that the model's file holds.
        data: Labelled photos, as for training: `train` calibrates, `val` judges.
        scaling: What the model expects of a pixel; see
            `edgetl_export.load.scaling.find_scaling`.
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
    """A model trained elsewhere, before it is opened.

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
    choice: "ExportOptions | None" = None,
    *,
    overwrite: bool = False,
) -> "Exported":
    """Exports a model that edgetl did not train.

    See `edgetl_export.package.bundling.export_model`.

    Args:
        options: The model.
        out: Folder of the bundle.
        choice: Which files, and how good they must be.
        overwrite: Replace an existing bundle.

    Raises:
        DatasetError: If the photos cannot be used, or have a class that the labels lack.
        ExportError: If model or labels cannot be used, the model's file says that it takes other
            pixels, or a recipe cannot be made of the model.
        GateError: If a file is worse than the model by more than is allowed, or the photos speak
            against labels or scaling.
        OptionsError: If a name is unknown.
        StorageError: If `out` exists or cannot be written.
    """
    find_scaling(options.scaling)
    with check_foreign(options, out, overwrite=overwrite) as checked:
        # Only now, since it takes seconds.
        load_tensorflow()
        return _export_checked(checked, out, choice, overwrite=overwrite)


def _export_checked(
    checked: Checked, out: Path, choice: "ExportOptions | None", *, overwrite: bool
) -> "Exported":
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import export_model

    options, found = checked.options, checked.labels
    foreign = checked.foreign or _open(checked)
    _tell_labels(checked)
    _tell_repeated(found.source, found.labels)
    choice = choice or ExportOptions()
    # Before the photos are read.
    choose_recipes(choice.recipes, foreign.form)
    manifest = _scan(checked)
    with naming(checked.model):
        trained = _describe(options, foreign, found.labels, manifest)
    return export_model(trained, out, choice, overwrite=overwrite)


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
        check_bundle_target(out, overwrite=overwrite)
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
    hint = f"; there is one beside it: --labels {beside}" if beside else ": --labels FILE"
    raise ExportError(
        f"{options.model} contains no labels; give them as a text file, one label per line, in the "
        f"order of its outputs{hint}"
    )


def _tell_labels(checked: Checked) -> None:
    """Says where the model's own labels came from, or compares them with the given ones."""
    options, labels = checked.options, checked.labels
    if options.labels is None:
        shown = ", ".join(labels.labels[:_SOME])
        more = ", ..." if len(labels.labels) > _SOME else ""
        _log.warning(
            "using the %d labels in %s: %s%s", len(labels.labels), labels.source, shown, more
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
            f"{sentence}; leave out --labels or, if {options.labels} is correct nevertheless, add "
            "--allow-doubt"
        )
    _log.warning("%s; ignored because of --allow-doubt", sentence)


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


def _scan(checked: Checked) -> DatasetManifest:
    options, labels, present = checked.options, checked.labels.labels, checked.listing.labels
    without = [label for label in labels if label not in present]
    if without:
        more = ", ..." if len(without) > _SOME else ""
        _log.warning(
            "%d of %d labels have no photos in %s, so their accuracy is not measured: %s%s",
            *(len(without), len(labels), options.data, ", ".join(without[:_SOME]), more),
        )
    return scan(checked.listing, seed=_SEED)


def _describe(
    options: ForeignOptions,
    foreign: Foreign,
    labels: tuple[str, ...],
    manifest: DatasetManifest,
) -> Trained:
    height, width = foreign.size
    preprocessing = Preprocessing(width, height, fit=options.fit)
    parts: dict[Split, tuple[Labelled, ...]] = {
        split: label_photos(manifest, labels, split) for split in ("train", "val", "test")
    }

    def load(photos: Sequence[Path], words: str) -> list[Frame]:
        return load_inputs(photos, preprocessing, words)

    some = _draw(parts["train"], len(labels), _LOOKED_AT)
    added = choose_activation(
        foreign.run(load(some, "reading training photos")),
        foreign.activation,
        quantized=foreign.is_coarse,
    )

    examination = _examine(options, foreign, labels, parts, added, load)

    def score(photos: tuple[Labelled, ...]) -> ScoredPhotos:
        files = [photo.file for photo in photos]
        raw: Scores = foreign.run(load(files, "reading validation photos"))
        return ScoredPhotos(photos, added.apply(raw))

    validation, test = score(parts["val"]), score(parts["test"]) if parts["test"] else None
    source = foreign.finish(added)
    _tell(options.model, (foreign.words, added.words), source.form)
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
        unknown=find_unknown(manifest),
        view=view_as_camera,
    )


def _check_statements(options: ForeignOptions, foreign: Foreign) -> None:
    """Compares the scaling with what the file itself says of its input."""
    for statement in foreign.statements:
        sentence = statement.contradict(foreign.scaling)
        if sentence and not options.allow_doubt:
            raise ExportError(
                f"{options.model}: {sentence}. If {options.scaling} is correct nevertheless, add "
                "--allow-doubt"
            )
        if sentence:
            _log.warning("%s: %s; ignored because of --allow-doubt", options.model, sentence)


def _examine(
    options: ForeignOptions,
    foreign: Foreign,
    labels: tuple[str, ...],
    parts: Mapping[Split, Sequence[Labelled]],
    added: OutputActivation,
    load: Callable[[Sequence[Path], str], list[Frame]],
) -> Examination:
    """Compares the model with guessing, other orders of labels and other scalings."""
    # Only now: it imports statistics, and much is refused before.
    from edgetl_export.load.plausibility import examine

    photos = [*parts["val"], *parts["train"]]
    index = {photo.file: photo.index for photo in photos}
    chosen = _draw(photos, len(labels), _EXAMINED)
    frames = load(chosen, "reading photos to examine")
    found = examine(
        added.apply(foreign.run(frames)),
        np.array([index[one] for one in chosen], np.int64),
        labels,
        foreign.scaling,
        lambda scaling, part: added.apply(foreign.run_with(scaling, frames[part])),
    )
    refused = [one.sentence for one in found.doubts if one.refuses]
    if refused and not options.allow_doubt:
        raise GateError(
            f"no bundle was written, because {options.model} gives implausible results: "
            f"{'; '.join(refused)}. If labels and scaling are correct nevertheless, add "
            "--allow-doubt"
        )
    for one in found.doubts:
        _log.warning("%s: %s", options.model, one.sentence)
    return found


def _tell_repeated(file: str, labels: Sequence[str]) -> None:
    for name, called in find_repeated(labels).items():
        _log.warning(
            "%s has the label %s %d times; they are renamed to %s, by the index of their output; "
            "name the folders of photos accordingly",
            *(file, name, len(called), " and ".join(called)),
        )


def _tell(model: Path, done: Sequence[str], form: ModelFormat) -> None:
    for words in filter(None, done):
        _log.warning("%s: %s", model, words)
    if form.precision != "float32":
        _log.warning(
            "%s is already %s and is shipped as it is; without a float32 model to compare it with, "
            "its drop is 0 by definition, and only its top-1 says how good it is",
            *(model, form.precision),
        )


def _draw(photos: Sequence[Labelled], classes: int, most: int) -> list[Path]:
    by_class: list[list[Path]] = [[] for _ in range(classes)]
    for photo in photos:
        by_class[photo.index].append(photo.file)
    return choose_photos(by_class, _SEED, most)


def _digest(model: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and the bytes of all its files."""
    if model.is_file():
        return digest_file(model)
    digest = hashlib.sha256()
    for path in sorted(one for one in model.rglob("*") if one.is_file()):
        digest.update(path.relative_to(model).as_posix().encode())
        digest.update(bytes.fromhex(digest_file(path)))
    return digest.hexdigest()
