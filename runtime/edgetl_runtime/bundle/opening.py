"""Opens the engine of a variant, from bytes that were verified as they were read."""

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import Engine, open_engine
from edgetl_runtime.engines.hidden_outputs import Reveal


def open_variant(
    bundle: Bundle, variant: Variant, threads: int, reveal: Reveal | None = None
) -> Engine:
    """Loads the model file of a variant.

    Args:
        bundle: An opened bundle.
        variant: One of its variants.
        threads: Of the engine; at least 1.
        reveal: What it puts out besides its scores, if anything.

    Raises:
        BundleError: If the file is missing or damaged.
        EngineError: If the engine is not installed, or refuses the model, or the file has nothing
            of what is to be revealed.
    """
    tensors = (variant.input, variant.output)
    return open_engine(
        variant.engine, bundle.read(variant), tensors, threads, variant.hidden, reveal
    )
