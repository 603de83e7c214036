// The unknown output where there are lessons: the twin of `edgetl_runtime/learning/unknown.py`.

import { dot } from "./matrices";

const SHARE = 0.1;
const NEVER = -1e4;
const LEAST = 1e-6;

/** What was shown in lessons as known. */
export interface Familiar {
  mean: Float64Array;
  scale: Float64Array;
  /** Directions of the frames of lessons, of length 1. */
  frames: Float32Array[];
  /** Cosine from which on something looks like a frame. */
  least: number[];
}

/** Learns what known things look like in the place; `takes` are the frames of each lesson. */
export function remember(mean: Float64Array, scale: Float64Array, takes: Float32Array[]): Familiar {
  const pointed = takes.map((take) =>
    Array.from({ length: take.length / mean.length }, (_, n) =>
      point(take, mean, scale, n * mean.length),
    ),
  );
  const least = pointed.flatMap((take) => {
    const limit = findLimit(take);
    return take.map(() => limit);
  });
  return { mean, scale, frames: pointed.flat(), least };
}

/** Whether features look like those of a frame of a lesson. */
export function knows({ mean, scale, frames, least }: Familiar, features: Float32Array): boolean {
  if (!frames.length) return false;
  const direction = point(features, mean, scale);
  return frames.some((frame, n) => dot(frame, direction) >= least[n]!);
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

function findLimit(take: Float32Array[]): number {
  const held = Math.max(1, Math.floor(take.length / 4));
  if (take.length < 2) return 1;
  const rest = take.slice(0, -held);
  const nearest = take
    .slice(-held)
    .map((one) => Math.max(...rest.map((other) => dot(one, other))))
    .sort((a, b) => a - b);
  const place = SHARE * (nearest.length - 1);
  const low = nearest[Math.floor(place)]!;
  return Math.fround(low + (nearest[Math.ceil(place)]! - low) * (place % 1));
}

/** The logit of an unknown output, relative to those of the classes of its head. */
export function findUnknownLogit(unknown: number, logits: Float32Array): number {
  const clipped = Math.min(Math.max(unknown, LEAST), 1 - LEAST);
  const highest = Math.max(...logits);
  const total = highest + Math.log(logits.reduce((sum, one) => sum + Math.exp(one - highest), 0));
  return total + Math.log(clipped / (1 - clipped));
}

/** Logits of a fitted head, with what the file itself says of unknown. */
export function mergeUnknown(
  logits: Float32Array,
  index: number,
  said: number,
  fitted: boolean,
  known: boolean,
): Float32Array {
  const merged = logits.slice();
  merged[index] = addInLogs(fitted ? logits[index]! : NEVER, known ? NEVER : said);
  return merged;
}

// log(exp(a) + exp(b)).
function addInLogs(a: number, b: number): number {
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}
