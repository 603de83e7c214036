// The unknown output where there are lessons: the twin of `edgetl_runtime/learning/unknown.py`.

import { standardize } from "./head";
import { dot } from "./matrices";

const SHARE = 0.1;
const OTHERS = 0.99;
const LENIENCE = 0.25;
/** A logit that adds nothing. */
export const NEVER = -1e4;
const LEAST = 1e-6;

/** Frames of a known thing: (frames, features), and the index of its label. */
export interface TakeOfOutput {
  output: number;
  features: Float32Array;
}

/** What was shown in lessons as known. */
export interface Familiar {
  mean: Float64Array;
  scale: Float64Array;
  frames: FamiliarFrame[];
}

interface FamiliarFrame {
  /** Index of what is on it. */
  output: number;
  /** Of length 1. */
  direction: Float32Array;
  /** Cosine from which on something looks like it. */
  least: number;
}

/** Learns what known things look like in the place; `rows` are of photos of `classes`. */
export function remember(
  rows: Float32Array,
  classes: ArrayLike<number>,
  features: number,
  takes: TakeOfOutput[],
): Familiar {
  const { mean, scale } = standardize(rows, features);
  const pointAll = (all: Float32Array) =>
    Array.from({ length: all.length / features }, (_, n) => point(all, mean, scale, n * features));
  const known = takes.length ? pointAll(rows) : [];
  const frames = takes.flatMap(({ output, features: take }) => {
    const pointed = pointAll(take);
    const least = findLimit(
      pointed,
      known.filter((_, n) => classes[n] !== output),
    );
    return pointed.map((direction) => ({ output, direction, least }));
  });
  return { mean, scale, frames };
}

/** The outputs of which a frame was shown that features look like. */
export function findFamiliar(
  { mean, scale, frames }: Familiar,
  features: Float32Array,
  at = 0,
): Set<number> {
  if (!frames.length) return new Set();
  const direction = point(features, mean, scale, at);
  const alike = frames.filter((frame) => dot(frame.direction, direction) >= frame.least);
  return new Set(alike.map(({ output }) => output));
}

function point(
  features: Float32Array,
  mean: Float64Array,
  scale: Float64Array,
  at = 0,
): Float32Array {
  const standard = new Float32Array(mean.length);
  for (let i = 0; i < mean.length; i++) standard[i] = (features[at + i]! - mean[i]!) / scale[i]!;
  const length = Math.max(Math.sqrt(dot(standard, standard)), LEAST);
  for (let i = 0; i < mean.length; i++) standard[i]! /= length;
  return standard;
}

function findLimit(take: Float32Array[], others: Float32Array[]): number {
  const held = Math.max(1, Math.floor(take.length / 4));
  const rest = take.slice(0, -held);
  const own = take.length > 1 ? findQuantile(findNearest(take.slice(-held), rest), SHARE) : 1;
  if (!others.length) return Math.fround(own);
  const other = findQuantile(findNearest(others, take), OTHERS);
  return Math.fround(own + LENIENCE * (other - own));
}

// Of each one the cosine of the nearest.
function findNearest(all: Float32Array[], among: Float32Array[]): number[] {
  return all.map((one) => among.reduce((most, other) => Math.max(most, dot(one, other)), -1));
}

function findQuantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const low = sorted[Math.floor(place)]!;
  return low + (sorted[Math.ceil(place)]! - low) * (place % 1);
}

/** The logit of an unknown output, relative to those of the classes of its head. */
export function findUnknownLogit(unknown: number, logits: Float32Array): number {
  const clipped = Math.min(Math.max(unknown, LEAST), 1 - LEAST);
  const highest = Math.max(...logits);
  const total = highest + Math.log(logits.reduce((sum, one) => sum + Math.exp(one - highest), 0));
  return total + Math.log(clipped / (1 - clipped));
}

/**
 * Logits of a fitted head, with what the file itself says of unknown.
 *
 * Args:
 *   index: The unknown output, the last one.
 *   said: What `findUnknownLogit` returned; `NEVER` if the file says nothing of it.
 *   classes: How many classes the file itself has; after them comes what was taught.
 *   familiar: What `findFamiliar` returned.
 *   fitted: Whether lessons had frames in which nothing is known.
 */
export function mergeUnknown(
  logits: Float32Array,
  index: number,
  said: number,
  classes: number,
  familiar: Set<number>,
  fitted: boolean,
): Float32Array {
  const merged = logits.slice();
  let unknown = addInLogs(fitted ? logits[index]! : NEVER, familiar.size ? NEVER : said);
  for (let n = classes; n < index; n++) {
    if (familiar.has(n)) continue;
    unknown = addInLogs(unknown, logits[n]!);
    merged[n] = NEVER;
  }
  merged[index] = unknown;
  return merged;
}

// log(exp(a) + exp(b)).
function addInLogs(a: number, b: number): number {
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}
