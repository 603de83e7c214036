// Taking a lesson: the twin of `edgetl_runtime/teaching/lesson.py`.

import { LessonError } from "../errors";
import {
  type KeptAccuracy,
  type Learned,
  learn,
  type Recalled,
  recall,
  type Taught,
  UNKNOWN,
} from "./learned";
import type { Memory } from "./memory";

const MOST_LABEL_BYTES = 255;
/** Where the workstation keeps photos of nothing that is known. */
export const NOTHING_KNOWN = "_unknown_";
// As on the device (`edgetl_runtime/image/folders.py`): what systems keep, rather than people.
const SYSTEM = [
  ...["__macosx", "#recycle", "$recycle.bin", "lost+found", "system volume information"],
  ...["#snapshot", "~snapshot", "found.000", "network trash folder", "temporary items"],
  ...["thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__pycache__"],
];

/** `scene`: the place; `teach`: a thing and its label. */
export type LessonKind = "scene" | "teach";

/** What became of a lesson; `LessonReport` of lesson.py. */
export interface LessonReport {
  /** Why it is not kept, and what to do; empty if it is. */
  refused: string;
  is_new: boolean;
  frames: number;
  /** How many of them are classified correctly by heads that did not see them. */
  recalled: number;
  kept: KeptAccuracy;
  held_back: number;
  fit_ms: number;
  check_ms: number;
}

/** Fits a head with one more lesson, the last one, and checks it. */
export function judgeLesson(
  memory: Memory,
  classes: string[],
  lessons: Taught[],
  unknownLabel: string,
): { learned: Learned; report: LessonReport } {
  const start = performance.now();
  const learned = learn(memory, classes, lessons, unknownLabel);
  const fitted = performance.now();
  const recalled = recall(memory, classes, lessons, unknownLabel);
  const size = memory.head.features;
  const { label, features } = lessons.at(-1)!;
  const before = [...classes, ...lessons.slice(0, -1).map((one) => one.label)];
  const report: LessonReport = {
    refused: findReason(learned.kept, lessons, recalled),
    is_new: label !== null && !before.includes(label),
    frames: features.length / size,
    recalled: recalled.at(-1)!.correct,
    kept: learned.kept,
    held_back: learned.held_back,
    fit_ms: fitted - start,
    check_ms: performance.now() - fitted,
  };
  return { learned, report };
}

/**
 * Refuses a label that a lesson cannot have.
 *
 * Args:
 *   known: What has been taught, and the classes of the file.
 */
export function checkLabel(kind: LessonKind, label: string | null, known: string[]): void {
  if (label === null) return;
  // It names a folder when `edgetl data import` has taken the frames home.
  const isName = label === label.trim() && !label.includes("/") && !isHidden(label);
  if (!label || !isName || !isPrintable(label)) {
    const shown = JSON.stringify(label.slice(0, 40));
    throw new LessonError(
      `expected a name that can be that of a folder, found ${shown}; leave out slashes, characters ` +
        "that cannot be seen, and spaces or a dot at its ends",
    );
  }
  if (new TextEncoder().encode(label).length > MOST_LABEL_BYTES) {
    throw new LessonError(`expected a name of at most ${MOST_LABEL_BYTES} bytes; shorten it`);
  }
  if ([UNKNOWN, NOTHING_KNOWN, "_unsorted_"].includes(label)) {
    throw new LessonError(`${label} is no name: show what is none of the classes as the place`);
  }
  if (kind === "scene" && !known.includes(label)) {
    throw new LessonError(
      `${label} was never taught; known are: ${[...new Set(known)].join(", ")}; teach it first`,
    );
  }
}

function isHidden(name: string): boolean {
  return /^[.@]/.test(name) || SYSTEM.includes(name.toLowerCase());
}

// Why a lesson is refused; empty if it is not.
function findReason(kept: KeptAccuracy, lessons: Taught[], recalled: Recalled[]): string {
  if (!kept.ok) {
    return (
      `the classes would lose accuracy: of ${kept.photos} stored validation photos ${kept.after} ` +
      `instead of ${kept.before} would be correct, at most ${kept.may_lose} may be lost; it looks ` +
      "too much like one of them: show it larger, before another background, or train with it"
    );
  }
  const last = recalled.length - 1;
  const lost = recalled.findIndex((one) => one.correct < one.least);
  if (recalled[last]!.correct < recalled[last]!.least) {
    return explainLoss(lessons[last]!, recalled[last]!);
  }
  if (lost < 0) return "";
  const { frames, correct } = recalled[lost]!;
  return (
    `what was learned before would be lost: of ${frames} frames of ` +
    `${lessons[lost]!.label ?? "the scene"} only ${correct} would be correct; undo that lesson`
  );
}

function explainLoss({ label }: Taught, { frames, correct, least, confusion }: Recalled): string {
  const remedy =
    label === null
      ? "If that is there, take it away, or give the frames that label"
      : "Show more of what is different, or give it that label";
  return (
    `it would not be recognized: of ${frames} frames ${correct} would be, at least ${least} must; ` +
    `most look like ${confusion}. ${remedy}`
  );
}

// As Python's `isprintable`, and joiners, which are part of words in Persian and of emoji.
function isPrintable(text: string): boolean {
  return !/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(
    text.replaceAll(/[\u200c\u200d]/g, ""),
  );
}
