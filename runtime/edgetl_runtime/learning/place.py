"""Where lessons of a service lie: beside the bundle, or beside the copy that it keeps of it."""

import os
from pathlib import Path

from edgetl_runtime.learning.overlay import find_overlay
from edgetl_runtime.text.wording import count_noun


def choose_place(bundle: Path, copy: Path) -> Path:
    """The bundle beside which lessons lie.

    A hardened service may not write beside the bundle that was installed, but beside its own copy.

    Args:
        bundle: What was installed.
        copy: The copy that runs; the same path where none is kept.

    Returns:
        The one that has lessons, the copy first; without any, the one beside which they can be
        written, the bundle first.
    """
    for one in (copy, bundle):
        if os.path.lexists(find_overlay(one)):
            return one
    return copy if explain_refusal(bundle) else bundle


def describe_lessons(count: int) -> str:
    """What a program says that answers with lessons."""
    kept = f"{count_noun(count, 'lesson')} kept beside the bundle"
    return f"answers with {kept}; list: edgetl-run learned BUNDLE"


def explain_refusal(beside: Path) -> str:
    """Why no lesson can be kept beside a bundle, one sentence; empty if one can."""
    folder = find_overlay(beside).absolute().parent
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return ""
    return (
        f"lessons are kept in {folder}, which this program may not write to; give it that right, "
        "or a folder of its own with --state-dir"
    )


def find_left_out(bundle: Path, copy: Path) -> str:
    """What is learned twice, one sentence; empty if nothing is."""
    places = dict.fromkeys(find_overlay(one) for one in (copy, bundle))
    found = [one for one in places if os.path.lexists(one)]
    if len(found) < 2:
        return ""
    used, left_out = found
    return f"lessons in {used} are used, those in {left_out} are left out; forget one of them"
