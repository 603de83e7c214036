"""A run becomes a bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl.dataset.manifest import DatasetManifest
from edgetl.exporting.photos import find_unknown, label_photos, view_as_camera
from edgetl.networks.framework import load_tensorflow
from edgetl.predictions import Predictions
from edgetl.run import Run
from edgetl_export.graph.model_graph import Graph
from edgetl_export.package.packing import check_bundle_target
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.trained import Labelled, ScoredPhotos, Trained
from edgetl_runtime.errors import ExportError

if TYPE_CHECKING:
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import Exported

_SHOWN = 3


def export_run(
    run: Run, out: Path, options: "ExportOptions | None" = None, *, overwrite: bool = False
) -> "Exported":
    """Exports a trained classifier; see `edgetl_export.package.bundling.export_model`.

    Raises:
        ExportError: If photos that training used are gone, or the model cannot be converted.
        GateError: If a file is worse than the trained model by more than is allowed.
        RunError: If the run's model is not the one that training wrote.
        StorageError: If `out` exists or cannot be written.
    """
    check_bundle_target(out, overwrite=overwrite)
    run.read_weights()
    check_photos(run)
    # Only now, since it takes seconds.
    load_tensorflow()
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import export_model

    return export_model(describe_run(run), out, options or ExportOptions(), overwrite=overwrite)


def describe_run(run: Run) -> Trained:
    """The input of export from a run.

    Raises:
        ExportError: If photos that training used are gone, or the model cannot be converted.
        RunError: If the run's model is not the one that training wrote.
    """
    check_photos(run)
    training = label_photos(run.manifest, run.spec.labels, "train")
    parts = {one.split: _part(run.manifest, one) for one in run.predictions}
    spec = run.spec
    return Trained(
        graph=Graph(tflite_quantizer.convert(run.load_model())).encode(),
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
        unknown=find_unknown(run.manifest),
        view=view_as_camera,
    )


def check_photos(run: Run) -> None:
    """Refuses a run whose photos are gone; quick, and needs neither TensorFlow nor converters.

    Raises:
        ExportError: It names some.
    """
    root = Path(run.manifest.root)
    training = [photo.file for photo in label_photos(run.manifest, run.spec.labels, "train")]
    scored = [root / path for one in run.predictions for path in one.paths]
    _check_present(run.manifest.root, [*training, *scored])


def _part(manifest: DatasetManifest, predictions: Predictions) -> ScoredPhotos:
    root = Path(manifest.root)
    photos = zip(predictions.paths, predictions.truth, strict=True)
    return ScoredPhotos(
        tuple(Labelled(root / path, index) for path, index in photos),
        predictions.probabilities,
        manifest.count_scenes(predictions.paths),
    )


def _check_present(root: str, photos: Sequence[Path]) -> None:
    missing = [photo for photo in photos if not photo.is_file()]
    if missing:
        shown = ", ".join(str(photo.relative_to(root)) for photo in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ExportError(
            f"{len(missing)} of {len(photos)} photos of {root} are missing: {shown}{more}; each "
            "file is measured on them, so put them back, or train again where they are"
        )
