"""Opens whatever is to be explained: a run, or a variant of a bundle."""

import logging
from pathlib import Path

from edgetl.networks.framework import load_tensorflow
from edgetl.run import Run, is_run
from edgetl_runtime.errors import OptionsError, RunError
from edgetl_runtime.heatmaps.explainer import Explainer

_log = logging.getLogger(__name__)


def open_explainer(model: Path, variant: str | None = None) -> Explainer:
    """Opens a run, or a bundle with the lessons beside it; a warning tells if they cannot be used.

    Args:
        model: Its folder; of a bundle also a .zip.
        variant: Of a bundle, such as `litert-int8` (default: the first).

    Raises:
        BundleError: If the bundle is damaged or has no such variant.
        EngineError: If the engine is not installed, or the file has no maps to show.
        OptionsError: If a variant is given for a run.
        RunError: If the path does not exist, or as `explain_run`.
    """
    if not is_run(model):
        from edgetl_runtime.classifier import Classifier

        classifier = Classifier.open(model, variant=variant)
        if classifier.fault:
            _log.warning("%s", classifier.fault)
        return classifier.explainer
    if variant is not None:
        raise OptionsError("a run has no variants; --variant is for a bundle")
    return explain_run(Run.open(model))


def explain_run(run: Run) -> Explainer:
    """Makes an explainer of a trained run.

    Raises:
        RunError: If it is damaged, or its network ends in something else than pooled maps and one
            dense layer.
    """
    from edgetl.explaining.keras_models import explain_classifier

    run.read_weights()  # What is damaged is said before TensorFlow is imported.
    load_tensorflow()
    explainer = explain_classifier(run.load_model(), run.spec.labels, run.spec.preprocessing)
    if explainer is None:
        raise RunError(
            f"{run.path} has no heat maps: they need a linear head on feature maps of several "
            f"cells, found a {run.file.options.head.kind} head at "
            f"{run.spec.preprocessing.width_px} px; train with --head linear"
        )
    return explainer
