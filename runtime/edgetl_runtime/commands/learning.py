"""`edgetl-run teach`, `learn-scene` and `learned`: what a device learns, beside the bundle."""

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgetl_runtime.commands.arguments import (
    Subparsers,
    add_command,
    add_json,
    add_model_options,
    path,
    seconds,
)
from edgetl_runtime.commands.exits import EXIT_ERROR, EXIT_GATE
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.progress import ProgressLine
from edgetl_runtime.commands.settings import take_settings
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.learning.overlay import Overlay
    from edgetl_runtime.learning.overlay_format import Kind, Lesson
    from edgetl_runtime.settings.sections import Settings
    from edgetl_runtime.teaching.frames import Take
    from edgetl_runtime.teaching.lesson import LessonReport

_SECTIONS = ("source", "view")
_TEACH_S, _SCENE_S = 5.0, 60.0


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the commands."""
    teach = add_command(commands, "teach", teach_thing, "teach a new thing from a few frames")
    teach.add_argument("label", metavar="LABEL", help="What it is: a new label, or one of a class")
    _take_frames(teach, _TEACH_S)
    teach.set_defaults(usage_line="[OPTIONS] BUNDLE LABEL [IMAGE|FOLDER|VIDEO ...]")
    scene = add_command(
        commands, "learn-scene", learn_scene, "learn what the place looks like before a camera"
    )
    scene.add_argument(
        "--label", help="What is on the frames, such as gear (default: nothing that is known)"
    )
    _take_frames(scene, _SCENE_S)
    scene.set_defaults(usage_line="[OPTIONS] BUNDLE [IMAGE|FOLDER|VIDEO ...]")
    _add_learned(commands)


def _take_frames(parser: argparse.ArgumentParser, default_s: float) -> None:
    parser.add_argument(
        "photos",
        nargs="*",
        type=path,
        metavar="IMAGE|FOLDER|VIDEO",
        help="Files to learn from, instead of --source",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        help=f"Time for which the source is watched (default: {default_s:g})",
    )
    parser.set_defaults(default_s=default_s)
    add_model_options(parser)
    take_settings(parser, _SECTIONS)


def _add_learned(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    parser = add_command(
        commands, "learned", show_learned, "list what was learned, undo it, or hand it over"
    )
    changes = parser.add_mutually_exclusive_group()
    changes.add_argument("--undo", action="store_true", help="Forget the last lesson.")
    changes.add_argument(
        "--clear", action="store_true", help="Forget all lessons, also where they are damaged."
    )
    changes.add_argument(
        "--export",
        type=path,
        metavar="ZIP",
        help="Zip for the frames and their labels, which `edgetl data import` reads",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the zip of --export.")
    add_json(parser)


def teach_thing(options: argparse.Namespace) -> int:
    """Runs `teach`."""
    return _learn(options, "teach", options.label)


def learn_scene(options: argparse.Namespace) -> int:
    """Runs `learn-scene`."""
    return _learn(options, "scene", options.label)


def _learn(options: argparse.Namespace, kind: "Kind", label: str | None) -> int:
    import cv2

    from edgetl_runtime.learning.overlay import Overlay, check_writable
    from edgetl_runtime.learning.student import Student
    from edgetl_runtime.teaching.lesson import check_label, take_lesson

    settings = _read_settings(options)
    cv2.setNumThreads(1)
    student = Student.open(
        options.bundle, engine=options.engine, variant=options.variant, threads=options.threads
    )
    # What cannot be learned is told before somebody holds a thing up for a minute.
    overlay = Overlay.open(student.bundle)
    check_writable(overlay.path)
    before = overlay.lessons
    check_label(kind, label, (*student.bundle.labels, *(one.label for one in before)))
    with ProgressLine() as line:
        take = _take(options, settings, student.bundle, line, alike=label is None)
        report = take_lesson(student, take, kind, label, line.tell)
    if options.json:
        print_json(report)
    else:
        for text in describe(report):
            say(text)
        say(_suggest(report, options))
    if report.refused:
        warn(f"not learned: {report.refused}")
    return EXIT_GATE if report.refused else 0


def _read_settings(options: argparse.Namespace) -> "Settings":
    from edgetl_runtime.options.flags import collect_flags
    from edgetl_runtime.settings.file import load_settings

    given = collect_flags(options)
    has_source = options.config is not None or "address" in given.get("source", {})
    if options.photos and (has_source or given or options.seconds):
        options.parser.error("give files or a source (--source, --seconds ...), not both")
    if not options.photos and not has_source:
        options.parser.error("give files to learn from, or a source: --source 0")
    return load_settings(options.config, given)


def _take(
    options: argparse.Namespace,
    settings: "Settings",
    bundle: "Bundle",
    line: ProgressLine,
    *,
    alike: bool,
) -> "Take":
    from edgetl_runtime.teaching.gathering import read_files, watch_source

    if options.photos:
        return read_files(options.photos, bundle, alike=alike, tell=line.tell, note=warn)
    watched_s = options.seconds or options.default_s
    return watch_source(settings, bundle, watched_s, alike=alike, tell=line.tell)


def describe(report: "LessonReport") -> Iterator[str]:
    """The report in lines for people."""
    what = "nothing that is known" if report.label is None else report.label
    done = f"lesson {report.number}: " if report.stored else "not learned: "
    new = " (new)" if report.is_new else ""
    yield f"{done}{what}{new}, {count_noun(report.frames, 'frame')}"
    yield from report.notes
    yield f"in the check, {report.recalled} of {report.frames} frames were recognized"
    kept = report.kept
    yield (
        f"the other classes: {kept.after} of {count_noun(kept.photos, 'validation photo')} whose "
        f"features are in the bundle are correct, {kept.before} before; at most {kept.may_lose} "
        "may be lost"
    )
    if report.held_back:
        yield (
            "so that they keep their accuracy, what was taught gets its label only where it leads "
            f"clearly (by {report.held_back:g} in logits)"
        )
    yield (
        f"took {report.look_s:.2f} s for the features, {report.fit_s:.2f} s for the head and "
        f"{report.check_s:.2f} s for the checks"
    )


def _suggest(report: "LessonReport", options: argparse.Namespace) -> str:
    bundle = shlex.quote(str(options.bundle))
    if report.refused:
        return f"next: edgetl-run learned {bundle}"
    if options.photos:
        return f"next: edgetl-run classify {bundle} {shlex.quote(str(options.photos[0]))}"
    source = getattr(options, "source.address", None)
    if source is None:
        return f"next: edgetl-run camera --config {shlex.quote(str(options.config))}"
    return f"next: edgetl-run camera {bundle} --source {shlex.quote(source)}"


def show_learned(options: argparse.Namespace) -> int:
    """Runs `learned`."""
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.learning.overlay import Overlay, clear_overlay, find_overlay, locked

    if options.clear:
        overlay_path = find_overlay(options.bundle)
        if not os.path.lexists(overlay_path):
            # A name that was mistyped must not look cleared.
            Bundle.open(options.bundle)
            return _show(options, ())
        with locked(options.bundle):
            clear_overlay(overlay_path)
        return _show(options, (), "all lessons are forgotten")
    bundle = Bundle.open(options.bundle)
    if options.undo:
        with locked(options.bundle):
            overlay = Overlay.open(bundle)
            _require_lessons(overlay)
            last = overlay.lessons[-1]
            overlay = overlay.undo()
        _report(overlay.find_damage())
        return _show(options, overlay.lessons, f"lesson {last.number} is forgotten")
    overlay = Overlay.open(bundle)
    if options.export:
        return _export(options, overlay)
    return _show(options, overlay.lessons) or _report(overlay.find_damage())


def _report(damage: Sequence[str]) -> int:
    for one in damage:
        warn(one)
    return EXIT_ERROR if damage else 0


def _require_lessons(overlay: "Overlay") -> None:
    from edgetl_runtime.errors import LessonError

    if not overlay.lessons:
        raise LessonError(
            f"{overlay.bundle_path} has learned nothing; teach it with: edgetl-run teach BUNDLE "
            "LABEL --source 0"
        )


def _export(options: argparse.Namespace, overlay: "Overlay") -> int:
    from edgetl_runtime.errors import StorageError
    from edgetl_runtime.teaching.handing_over import export_lessons

    _require_lessons(overlay)
    if options.export.exists() and not options.overwrite:
        raise StorageError(f"{options.export} exists; choose another name or add --overwrite")
    with ProgressLine() as line:
        count, damaged = export_lessons(overlay, options.export, line.tell)
    if options.json:
        print_json({"zip": str(options.export), "frames": count, "damaged": damaged})
    else:
        zip_ = shlex.quote(str(options.export))
        say(f"{count_noun(count, 'frame')} in {options.export}")
        say(f"next, on the workstation: edgetl data import {zip_} --out new_photos")
    return _report(damaged)


def _show(options: argparse.Namespace, lessons: "tuple[Lesson, ...]", done: str = "") -> int:
    if options.json:
        print_json({"lessons": [_summarize(lesson) for lesson in lessons]})
        return 0
    if done:
        say(done)
    bundle = shlex.quote(str(options.bundle))
    if not lessons:
        say("nothing is learned")
        say(f"next: edgetl-run teach {bundle} LABEL --source 0")
        return 0
    say(f"{'':>4}  {'date':<24}  {'kind':<5}  {'label':<20}  {'frames':>6}  {'bytes':>12}")
    for one in lessons:
        say(
            f"{one.number:>4}  {one.created_utc:<24}  {one.kind:<5}  {one.label or '(unknown)':<20}"
            f"  {one.frames:>6}  {one.bytes:>12,}"
        )
    say(f"next: edgetl-run learned {bundle} --export lessons.zip")
    return 0


def _summarize(lesson: "Lesson") -> dict[str, object]:
    fields = ("number", "created_utc", "kind", "label", "variant", "frames", "bytes")
    return {name: getattr(lesson, name) for name in fields}
