"""The trained classifier, as export needs it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.examination import Examination
from edgetl_export.recipes import DEFAULT, RECIPES, Recipe, find_recipes
from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame, Preprocessing
from edgetl_runtime.prediction import Scores

# A photo, uint8 (height, width, 3) BGR, the hash of its file and a number become a view of it.
View = Callable[[Frame, str, int], Frame]


class ModelFormat(msgspec.Struct, frozen=True):
    """The format of a model file, which decides the possible recipes.

    Attributes:
        engine: Which engine runs it.
        precision: Of weights and activations.
    """

    engine: EngineName = "litert"
    precision: Precision = "float32"

    def offers(self, recipe: Recipe) -> bool:
        """True if the recipe can be made of it."""
        if self.precision != "float32":
            return (recipe.engine, recipe.precision) == (self.engine, self.precision)
        return self.engine in ("litert", recipe.engine)

    def check(self, recipes: Iterable[Recipe]) -> None:
        """Refuses recipes that cannot be made of it.

        Raises:
            ExportError: Naming the first one, and why.
        """
        for recipe in recipes:
            if not self.offers(recipe):
                raise ExportError(self._refuse(recipe))

    def _refuse(self, recipe: Recipe) -> str:
        if self.precision != "float32":
            return (
                f"{recipe.name} is not possible for this model, which is already {self.precision} "
                f"and is shipped as it is; ask for {self.engine}-{self.precision} only, or give "
                "the float32 model"
            )
        return (
            f"{recipe.name} is not possible for an .onnx; convert the model to .tflite where it "
            "was trained and give that, or ask for onnx recipes only"
        )


def choose_recipes(names: Sequence[str], form: ModelFormat) -> tuple[Recipe, ...]:
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


class Labelled(msgspec.Struct, frozen=True):
    """A photo and the index of its label."""

    file: Path
    index: int


class ScoredPhotos(msgspec.Struct, frozen=True, eq=False):
    """Photos that files are scored on.

    Attributes:
        photos: The photos.
        scores: What the trained model says of them, float32 (photos, classes).
        scenes: How many different things they show, where shots of one thing count once; None:
            as many as photos.
    """

    photos: tuple[Labelled, ...]
    scores: Scores
    scenes: int | None = None

    @property
    def truth(self) -> NDArray[np.int64]:
        """Index of each photo's label, (photos,)."""
        return np.array([photo.index for photo in self.photos], np.int64)


class UnknownPhotos(msgspec.Struct, frozen=True):
    """Photos of none of the labels: some to choose a threshold by, others to measure it on."""

    choosing: tuple[Path, ...] = ()
    measuring: tuple[Path, ...] = ()


class About(msgspec.Struct, frozen=True):
    """The author's description of a model; empty if not given."""

    name: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""


class Trained(msgspec.Struct, frozen=True, eq=False):
    """A trained classifier and its photos.

    Attributes:
        graph: A float32 .tflite: RGB 0..255 float32 (1, height, width, 3) -> probabilities; or
            what `form` says.
        labels: In the order of the output.
        preprocessing: From frame to input.
        training: Training photos; calibration and refit draw from these only.
        validation: Photos that the gate judges by.
        test: Photos that nothing was chosen by, if there are any.
        seed: Of the draw.
        backbone: Name, for the record.
        weights_digest: For the record.
        dataset_digest: For the record.
        model_sha256: For the record.
        versions: For the record.
        unknown: Photos of other things, if there are any.
        about: For the record, and for the metadata of the files.
        form: What `graph` is. An .onnx takes (1, 3, height, width).
        examination: Whether labels and scaling fit, if somebody else trained it.
        unknown_label: Name of one more output of the files, the last one, for what is none of the
            labels; empty if they have none. `graph` and the scores of its photos never have it.
        view: Makes a photo look as another camera would have taken it; None: no such views.
    """

    graph: bytes
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    training: tuple[Labelled, ...]
    validation: ScoredPhotos
    test: ScoredPhotos | None
    seed: int
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    versions: dict[str, str]
    unknown: UnknownPhotos = UnknownPhotos()
    about: About = About()
    form: ModelFormat = ModelFormat()
    examination: Examination | None = None
    unknown_label: str = ""
    view: View | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the files' outputs, in their order."""
        return (*self.labels, self.unknown_label) if self.unknown_label else self.labels
