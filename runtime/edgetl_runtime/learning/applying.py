"""What was learned takes over when a bundle is opened; a damaged overlay is left out."""

import os
from pathlib import Path
from typing import Final

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import Engine
from edgetl_runtime.errors import BundleError, LessonError, StorageError
from edgetl_runtime.learning.learned import Learned
from edgetl_runtime.learning.overlay import Overlay, find_overlay, is_unchanged, watch_changes
from edgetl_runtime.system.storage import put_back

LEFT_OUT: Final = "what was learned is left out: "


def open_learned(
    bundle: Bundle, variant: Variant, beside: Path, threads: int
) -> tuple[tuple[Engine, Learned] | None, str]:
    """Opens a variant with what was learned for its bundle.

    Args:
        bundle: The bundle.
        variant: One of its variants.
        beside: The bundle beside which the overlay lies.
        threads: At least 1.

    Returns:
        An engine that reveals features, and the head to answer with, or None where nothing was
        learned or it cannot be used; and why it cannot, else an empty text.

    Raises:
        BundleError: If the model's file is damaged.
        EngineError: If the engine is not installed or refuses the model.
    """
    path = find_overlay(beside)
    put_back(path)
    if not os.path.lexists(path):
        return None, ""
    # Not before: what loads and fits heads is of no use to a bundle that learned nothing.
    from edgetl_runtime.learning.student import Student, read_lessons

    for seen in watch_changes(path):
        try:
            overlay = Overlay.open(bundle, beside)
            if not overlay.lessons:
                return None, ""
            student = Student.open(bundle, variant=variant.name, threads=threads)
            return (student.engine, student.fit(read_lessons(overlay, student))), ""
        except (BundleError, LessonError, StorageError) as error:
            reason = str(error)
            if is_unchanged(path, seen):
                break
    return None, f"{LEFT_OUT}{reason}"
