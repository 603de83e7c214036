"""The photos of a data set, as an export takes them."""

from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl_export.trained import Labelled, UnknownPhotos


def label_photos(
    manifest: DatasetManifest, labels: tuple[str, ...], split: Split
) -> tuple[Labelled, ...]:
    """The photos of a split, each with the place of its label among the model's outputs."""
    return tuple(
        Labelled(manifest.file(one), labels.index(one.label)) for one in manifest.select(split)
    )


def find_unknown(manifest: DatasetManifest) -> UnknownPhotos:
    """Photos of no class: some to choose the reject threshold by, others to measure it on."""
    return UnknownPhotos(manifest.unknown_files("choose"), manifest.unknown_files("measure"))
