"""The photos of a data set, as an export takes them."""

from edgetl.augmentation.strengths import PRESETS
from edgetl.augmentation.views import make_view
from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl_export.trained import Labelled, UnknownPhotos
from edgetl_runtime.image.preprocessing import Frame


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


def view_as_camera(photo: Frame, sha256: str, number: int) -> Frame:
    """What another camera in another light would have made of a photo; see `Trained.view`."""
    return make_view(photo, sha256, number, PRESETS["camera"])
