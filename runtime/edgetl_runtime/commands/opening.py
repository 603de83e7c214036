"""How commands open a model."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetl_runtime.classifier import Classifier


def open_classifier(
    bundle: str | Path, engine: str | None, variant: str | None, threads: int | None
) -> "Classifier":
    """Opens a bundle for one model that runs alone on this machine.

    Raises:
        BundleError: If the bundle is damaged or has no such variant.
        EngineError: If the engine is not installed or refuses the model.
    """
    import cv2

    from edgetl_runtime.classifier import Classifier

    # Preprocessing takes a fraction of a millisecond: waking more threads would cost more.
    cv2.setNumThreads(1)
    return Classifier.open(bundle, engine=engine, variant=variant, threads=threads)
