"""A run becomes a bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl.predictions import Predictions
from edgetl.run import Run
from edgetl_export import litert
from edgetl_export.graph import Graph
from edgetl_export.packing import check_target
from edgetl_export.progress import Track, silent
from edgetl_export.trained import About, Labelled, Part, Trained, UnknownPhotos
from edgetl_runtime.errors import ExportError

if TYPE_CHECKING:
    from edgetl_export.bundling import Exported, Settings

_SHOWN = 3
_NOBODY = About()


def export(
    run: Run,
    out: Path,
    settings: "Settings | None" = None,
    about: About = _NOBODY,
    *,
    overwrite: bool = False,
    track: Track = silent,
) -> "Exported":
    """Exports a trained classifier; see `edgetl_export.bundling.export_bundle`.

    Raises:
        ExportError: If photos that training used are gone, or the model cannot be converted.
        GateError: If a file is worse than the trained model by more than is allowed.
        RunError: If the run's model is not the one that training wrote.
        StorageError: If `out` exists or cannot be written.
    """
    check_target(out, overwrite=overwrite)
    check_photos(run)
    # Only now, since it imports converters, which takes seconds.
    from edgetl_export.bundling import Settings, export_bundle

    trained = describe_run(run, about)
    return export_bundle(trained, out, settings or Settings(), overwrite=overwrite, track=track)


def describe_run(run: Run, about: About = _NOBODY) -> Trained:
    """What export needs of a run.

    Raises:
        ExportError: If photos that training used are gone, or the model cannot be converted.
        RunError: If the run's model is not the one that training wrote.
    """
    check_photos(run)
    training = _labelled(run.manifest, "train")
    parts = {one.split: _part(run.manifest, one) for one in run.predictions}
    spec = run.spec
    return Trained(
        graph=Graph(litert.convert(run.load_model())).encode(),
        labels=spec.labels,
        preprocessing=spec.preprocessing,
        training=training,
        validation=parts["val"],
        test=parts.get("test"),
        seed=spec.seed,
        backbone=spec.backbone,
        weights_digest=spec.weights_digest,
        dataset_digest=run.file.dataset_digest,
        model_sha256=run.file.model_sha256,
        versions=run.file.versions,
        unknown=UnknownPhotos(
            run.manifest.unknown_files("choose"), run.manifest.unknown_files("measure")
        ),
        about=about,
    )


def check_photos(run: Run) -> None:
    """Refuses a run whose photos are gone; quick, and needs neither TensorFlow nor converters.

    Raises:
        ExportError: It names some.
    """
    root = Path(run.manifest.root)
    training = [photo.file for photo in _labelled(run.manifest, "train")]
    scored = [root / path for one in run.predictions for path in one.paths]
    _check_present(run.manifest.root, [*training, *scored])


def _part(manifest: DatasetManifest, predictions: Predictions) -> Part:
    root = Path(manifest.root)
    photos = zip(predictions.paths, predictions.truth, strict=True)
    return Part(
        tuple(Labelled(root / path, index) for path, index in photos),
        predictions.probabilities,
        manifest.count_scenes(predictions.paths),
    )


def _labelled(manifest: DatasetManifest, split: Split) -> tuple[Labelled, ...]:
    return tuple(
        Labelled(manifest.file(example), manifest.index(example))
        for example in manifest.part(split)
    )


def _check_present(root: str, photos: Sequence[Path]) -> None:
    missing = [photo for photo in photos if not photo.is_file()]
    if missing:
        shown = ", ".join(str(photo.relative_to(root)) for photo in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ExportError(
            f"{len(missing)} of {len(photos)} photos of {root} are gone: {shown}{more}; each file "
            "is measured on them, so put them back, or train again where they are"
        )
