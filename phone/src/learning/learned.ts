// What a file and its lessons know together: the twin of `edgetl_runtime/learning/learned.py`.

import { best } from "../classify/prediction";
import { roundEven } from "./float16";
import {
  computeLogits,
  fitHead,
  type Head,
  lowerHead,
  mixHeads,
  softenLogits,
  widen,
} from "./head";
import type { Memory } from "./memory";
import {
  type Familiar,
  findFamiliar,
  findUnknownLogit,
  mergeUnknown,
  NEVER,
  remember,
} from "./unknown";

export const UNKNOWN = "unknown";
const FOLDS = 4;
const LOST_SHARE = 0.01;
const LEAST_RECALL = 0.25;
const MOST_ROWS = 100;
const OFFSETS = Array.from({ length: 81 }, (_, n) => n / 10);
const SHARES = [1, 0.75, 0.5, 0.25];

/** The frames of a lesson, as a head learns from them. */
export interface Taught {
  /** What is on them; null: nothing that is known. */
  label: string | null;
  /** (frames, features). */
  features: Float32Array;
}

/** Whether the classes of the file keep their accuracy, on validation photos. */
export interface KeptAccuracy {
  photos: number;
  before: number;
  after: number;
  may_lose: number;
  ok: boolean;
}

/** What heads that did not see them say of the frames of a lesson. */
export interface Recalled {
  frames: number;
  correct: number;
  /** What most of the others are taken for; empty if there are none. */
  confusion: string;
  /** How many must be correct. */
  least: number;
}

/** A fitted head and the names of its outputs. */
export interface Learned {
  labels: string[];
  unknown: number | null;
  head: Head;
  own: Head;
  familiar: Familiar;
  has_scene: boolean;
  held_back: number;
  kept: KeptAccuracy;
}

/** The scores of a frame; `shipped` are those of the file itself. */
export function score(
  learned: Learned,
  features: Float32Array,
  shipped: Float32Array,
  temperature: number,
): Float32Array {
  const own = computeLogits(learned.own, features);
  const said = shipped.length > own.length ? findUnknownLogit(shipped.at(-1)!, own) : NEVER;
  return softenLogits(findLogits(learned, features, 0, said), temperature);
}

/** The logits of a frame; `said` is the logit of unknown by the file itself. */
function findLogits(
  learned: Learned,
  features: Float32Array,
  at = 0,
  said: number = NEVER,
): Float32Array {
  const { head, own, familiar, unknown, has_scene } = learned;
  const logits = computeLogits(head, features, at);
  if (unknown === null) return logits;
  const shown = findFamiliar(familiar, features, at);
  return mergeUnknown(logits, unknown, said, own.outputs, shown, has_scene);
}

/** Fits a head with all lessons. */
export function learn(
  memory: Memory,
  classes: string[],
  lessons: Taught[],
  unknownLabel = "",
): Learned {
  const { labels, unknown } = nameOutputs(classes, lessons, unknownLabel);
  const fits = takeRows(memory, 0);
  const { rows, truth } = gather(memory, labels, lessons, fits);
  const free = [...new Set(lessons.map((one) => findIndex(labels, one)))];
  const { features } = memory.head;
  const stored = fits.length / features;
  const fitted = fitHead(memory.head, rows, truth, labels.length, stored, free);
  const known = lessons.filter(({ label }) => label !== null);
  const takes = known.map((one) => ({
    output: findIndex(labels, one),
    features: one.features,
  }));
  return {
    labels,
    unknown,
    ...holdBack(fitted, memory),
    own: memory.head,
    familiar: remember(fits, truth, features, takes),
    has_scene: lessons.some(({ label }) => label === null),
  };
}

/** What heads that did not see them say of the frames of each lesson. */
export function recall(
  memory: Memory,
  classes: string[],
  lessons: Taught[],
  unknownLabel = "",
): Recalled[] {
  const said = lessons.map(() => new Map<string, number>());
  const { features } = memory.head;
  for (let fold = 0; fold < FOLDS; fold++) {
    const split = lessons.map((one) => holdOut(one, fold, features));
    const rest = split.map(([one]) => one);
    const learned = learn(memory, classes, rest, unknownLabel);
    split.forEach(([, held], n) => {
      for (let at = 0; at < held.features.length; at += features) {
        const label = learned.labels[best(findLogits(learned, held.features, at))]!;
        said[n]!.set(label, (said[n]!.get(label) ?? 0) + 1);
      }
    });
  }
  const { labels } = nameOutputs(classes, lessons, unknownLabel);
  return lessons.map((one, n) => sumUp(said[n]!, labels[findIndex(labels, one)]!));
}

function sumUp(said: Map<string, number>, own: string): Recalled {
  const frames = [...said.values()].reduce((sum, one) => sum + one, 0);
  const correct = said.get(own) ?? 0;
  const others = [...said].filter(([label]) => label !== own).sort(([, a], [, b]) => b - a);
  const confusion = others[0]?.[0] ?? "";
  return { frames, correct, confusion, least: Math.ceil(LEAST_RECALL * frames) };
}

/** Indices of at most so many items, evenly spaced, the first and the last among them. */
export function spread(count: number, most: number): number[] {
  const length = Math.min(count, most);
  const step = length > 1 ? (count - 1) / (length - 1) : 0;
  return Array.from({ length }, (_, n) => roundEven(n === length - 1 ? n && count - 1 : n * step));
}

/** The names of the outputs, and the index of the unknown one. */
export function nameOutputs(
  classes: string[],
  lessons: Pick<Taught, "label">[],
  unknownLabel = "",
): { labels: string[]; unknown: number | null } {
  const taught = lessons.flatMap(({ label }) => label ?? []);
  const labels = [...new Set([...classes, ...taught])];
  if (!unknownLabel && lessons.every(({ label }) => label !== null)) {
    return { labels, unknown: null };
  }
  return { labels: [...labels, unknownLabel || UNKNOWN], unknown: labels.length };
}

function findIndex(labels: string[], { label }: Taught): number {
  return label === null ? labels.length - 1 : labels.indexOf(label);
}

function takeRows({ rows, held_out, head: { features } }: Memory, held: 0 | 1): Float32Array {
  const chosen = [...held_out.keys()].filter((n) => held_out[n] === held);
  return pick(rows, features, chosen);
}

function pick(rows: Float32Array, features: number, chosen: number[]): Float32Array {
  const found = new Float32Array(chosen.length * features);
  chosen.forEach((from, to) =>
    found.set(rows.subarray(from * features, (from + 1) * features), to * features),
  );
  return found;
}

// The rows to fit on, and the index of each one's output; bounded for each output.
function gather(memory: Memory, labels: string[], lessons: Taught[], fits: Float32Array) {
  const { features } = memory.head;
  const groups = new Map<number, Float32Array[]>();
  for (const one of lessons) {
    const index = findIndex(labels, one);
    groups.set(index, [...(groups.get(index) ?? []), one.features]);
  }
  const rows = [fits];
  const truth = [...memory.classes].filter((_, n) => !memory.held_out[n]);
  for (const [index, takes] of groups) {
    const shown = join(takes);
    const chosen = spread(shown.length / features, MOST_ROWS);
    rows.push(pick(shown, features, chosen));
    truth.push(...chosen.map(() => index));
  }
  return { rows: join(rows), truth: Int32Array.from(truth) };
}

function join(parts: Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of parts) {
    joined.set(one, at);
    at += one.length;
  }
  return joined;
}

// Takes so little from what was taught that the classes keep their accuracy, if anything does; where
// that does not help, the head changes less.
function holdBack(head: Head, memory: Memory) {
  const rows = takeRows(memory, 1);
  const truth = [...memory.classes].filter((_, n) => memory.held_out[n]);
  const first = memory.head.outputs;
  const own = truth.map((_, n) => computeLogits(memory.head, rows, n * head.features));
  const before = own.filter((logits, n) => best(logits) === truth[n]).length;
  const may_lose = Math.max(1, Math.floor(LOST_SHARE * truth.length));
  const start = widen(memory.head, head.outputs);
  const offsets = head.outputs > first ? OFFSETS : [0];
  let fallback: { held_back: number; head: Head; kept: KeptAccuracy } | undefined;
  for (const share of SHARES) {
    const mixed = mixHeads(start, head, share);
    const leads = truth.map((label, n) =>
      measureLead(mixed, rows, n * head.features, first, label),
    );
    for (const held_back of offsets) {
      const after = leads.filter((lead) => lead <= held_back).length;
      const ok = before - after <= may_lose;
      const kept = { photos: truth.length, before, after, may_lose, ok };
      if (ok) return { held_back, head: lowerHead(mixed, first, held_back), kept };
      // Where nothing helps, the figures are those of the head as it was fitted.
      fallback ??= { held_back, head: mixed, kept };
    }
  }
  return fallback!;
}

// By how much the best of what was taught is above a photo's class; infinite where another class
// of the file is taken for it anyway.
function measureLead(head: Head, rows: Float32Array, at: number, first: number, label: number) {
  const logits = computeLogits(head, rows, at);
  if (best(logits.subarray(0, first)) !== label) return Infinity;
  return Math.max(...logits.subarray(first)) - logits[label]!;
}

// A lesson without a quarter of its frames, and that quarter.
function holdOut({ label, features }: Taught, fold: number, size: number): [Taught, Taught] {
  const count = features.length / size;
  const all = Array.from({ length: count }, (_, n) => n);
  const held = (n: number) => Math.floor((n * FOLDS) / count) === fold;
  const part = (wanted: boolean) =>
    pick(
      features,
      size,
      all.filter((n) => held(n) === wanted),
    );
  return [
    { label, features: part(false) },
    { label, features: part(true) },
  ];
}
