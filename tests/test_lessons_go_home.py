"""Lessons of a device, as the workstation imports them."""

import shutil
from collections import Counter
from pathlib import Path

from edgetl.dataset.collected import read_collected
from edgetl.dataset.collected_zip import unpacked
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.learning.overlay import Overlay
from edgetl_runtime.learning.student import Student
from edgetl_runtime.teaching.frames import Collector
from edgetl_runtime.teaching.handing_over import export_lessons
from edgetl_runtime.teaching.lesson import take_lesson
from tests.runtime.conftest import draw_cross, draw_scene

LEARNING = Path(__file__).parent / "data" / "learning.bundle"


def test_lessons_are_imported_with_the_labels_that_a_person_gave(tmp_path):
    bundle = Path(shutil.copytree(LEARNING, tmp_path / "parts.bundle"))
    student = Student.open(bundle)
    for kind, label, draw in (("teach", "cross", draw_cross), ("scene", None, draw_scene)):
        collector = Collector(alike=label is None)
        for seed in range(12):
            frame = draw(seed)
            collector.add(frame, student.bundle.manifest.preprocessing.apply(frame))
        assert take_lesson(student, collector.finish(), kind, label).stored
    target = tmp_path / "lessons.zip"
    assert export_lessons(Overlay.open(Bundle.open(bundle)), target) == (24, [])
    with unpacked(target) as folder:
        collected = read_collected(folder)
    assert not collected.refused
    assert not collected.doubted
    assert Counter(one.suggested for one in collected.candidates) == {"cross": 12, "_unknown_": 12}
    assert all(one.corrected for one in collected.candidates)
