"""Lessons of a device beside a bundle, as the workstation finds them."""

import logging

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.overlay_format import Lesson

_log = logging.getLogger(__name__)


def find_lessons(bundle: Bundle) -> tuple[Lesson, ...]:
    """The lessons beside a bundle, in their order; a warning tells of those that are damaged."""
    try:
        return Overlay.open(bundle).lessons
    except BundleError as error:
        _log.warning("what was taught beside %s cannot be used: %s", bundle.path, error)
        return ()
