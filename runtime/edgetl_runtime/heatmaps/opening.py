"""Opens what explains a variant of a bundle."""

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.opening import open_variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import EngineError
from edgetl_runtime.heatmaps.explainer import Explainer


def open_explainer(bundle: Bundle, variant: Variant, threads: int) -> Explainer:
    """Loads a file once more, with its maps among its outputs, and the head from its memory.

    Args:
        bundle: An opened bundle.
        variant: One of its variants.
        threads: Of the engine; at least 1.

    Raises:
        BundleError: If the bundle is damaged.
        EngineError: If the file has no maps, or the engine refuses it.
    """
    memory = read_memory(bundle, variant)
    if memory is None or variant.hidden is None or not variant.hidden.maps:
        raise EngineError(
            f"{variant.name} of {bundle.path} has no heat maps: they need a file that ends in "
            "pooled feature maps, one dense layer and a softmax, exported by this version; "
            "train with --head linear, or export it again with: edgetl export"
        )
    engine = open_variant(bundle, variant, threads, "maps")
    return Explainer(
        engine.look,
        memory.head,
        bundle.labels,
        bundle.manifest.preprocessing,
        variant.calibration.temperature,
    )
