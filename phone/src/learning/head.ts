// Fitting the head again: the twin of `edgetl_runtime/learning/head.py`, which says why it is done
// like this.

import { factorize, makeGram, solve } from "./matrices";

/** The last layer: logits are features @ kernel + bias. */
export interface Head {
  features: number;
  outputs: number;
  /** (features, outputs). */
  kernel: Float32Array;
  bias: Float32Array;
}

const PENALTY = 0.01;
const KEEP = 0.5;
const STEPS = 50;
const LEAST_SCALE = 1e-3;

/** The logits of some features, float32 as on the device. */
export function computeLogits(head: Head, features: Float32Array, at = 0): Float32Array {
  const sums = Float64Array.from(head.bias);
  addProducts(sums, 0, features, at, head);
  return Float32Array.from(sums);
}

function addProducts(
  sums: Float64Array,
  to: number,
  features: Float32Array | Float64Array,
  at: number,
  { kernel, features: count, outputs }: Head,
): void {
  for (let i = 0; i < count; i++) {
    const value = features[at + i]!;
    if (value === 0) continue;
    for (let k = 0, from = i * outputs; k < outputs; k++) {
      sums[to + k]! += value * kernel[from + k]!;
    }
  }
}

/** The same head, with a number taken from the logits from one output on. */
export function lowerHead(head: Head, first: number, offset: number): Head {
  return { ...head, bias: head.bias.map((one, k) => (k < first ? one : one - offset)) };
}

/** A head between one and another with as many outputs; 1 is the other. */
export function mixHeads(one: Head, other: Head, share: number): Head {
  const mix = (from: Float32Array, to: Float32Array) =>
    from.map((value, i) => value + share * (to[i]! - value));
  return { ...one, kernel: mix(one.kernel, other.kernel), bias: mix(one.bias, other.bias) };
}

/** The same head with more outputs, whose logits are the mean of the others. */
export function widen({ features, outputs, kernel, bias }: Head, wanted: number): Head {
  const wide = new Float32Array(features * wanted);
  for (let i = 0; i < features; i++) {
    const row = kernel.subarray(i * outputs, (i + 1) * outputs);
    wide.set(row, i * wanted);
    wide.fill(average(row), i * wanted + outputs, (i + 1) * wanted);
  }
  const more = new Float32Array(wanted).fill(average(bias));
  more.set(bias);
  return { features, outputs: wanted, kernel: wide, bias: more };
}

function average(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/**
 * Fits a head with more outputs.
 *
 * Args:
 *   head: The file's own.
 *   rows: (rows, features).
 *   truth: Index of the output that each row shall get.
 *   outputs: Outputs of the new head.
 *   stored: How many rows, the first ones, are of photos that the old head has learned from.
 *   free: The outputs whose weights may change.
 */
export function fitHead(
  head: Head,
  rows: Float32Array,
  truth: Int32Array,
  outputs: number,
  stored: number,
  free: number[],
): Head {
  const wide = widen(head, outputs);
  const { features } = head;
  const count = truth.length;
  const { mean, scale } = standardize(rows, features);
  const base = new Float64Array(count * outputs);
  const standard = new Float64Array(count * features);
  let squares = 0;
  for (let n = 0; n < count; n++) {
    base.set(wide.bias, n * outputs);
    addProducts(base, n * outputs, rows, n * features, wide);
    for (let i = 0, at = n * features; i < features; i++, at++) {
      const value = (standard[at] = (rows[at]! - mean[i]!) / scale[i]!);
      squares += value * value;
    }
  }
  const targets = makeTargets(base, truth, outputs, stored, head.outputs);
  // The bias is a feature that never changes, as large as all others together.
  const constant = Math.sqrt(squares / count || 1);
  const gram = makeGram(standard, count, features);
  for (let i = 0; i < gram.length; i++) gram[i]! += constant * constant;
  const changes = regress(gram, base, targets, truth, outputs, free);
  return change(wide, standard, mean, scale, constant, free, changes);
}

// What the rows add to the weights of the free outputs.
function change(
  wide: Head,
  standard: Float64Array,
  mean: Float64Array,
  scale: Float64Array,
  constant: number,
  free: number[],
  changes: Float64Array[],
): Head {
  const { features, outputs } = wide;
  const kernel = wide.kernel.slice();
  const bias = wide.bias.slice();
  free.forEach((output, n) => {
    const found = changes[n]!;
    const added = new Float64Array(features);
    let sum = 0;
    for (let row = 0, at = 0; row < found.length; row++) {
      const share = found[row]!;
      sum += share;
      for (let i = 0; i < features; i++, at++) added[i]! += share * standard[at]!;
    }
    let shift = sum * constant * constant;
    for (let i = 0; i < features; i++) {
      const more = added[i]! / scale[i]!;
      kernel[i * outputs + output]! += more;
      shift -= mean[i]! * more;
    }
    bias[output]! += shift;
  });
  return { features, outputs, kernel, bias };
}

// `_regress` of head.py: by how much of each row each free output's weights change. The gram is
// overwritten; beside each vector stands its product with the gram.
function regress(
  gram: Float64Array,
  base: Float64Array,
  targets: Float64Array,
  truth: Int32Array,
  outputs: number,
  free: number[],
): Float64Array[] {
  const count = truth.length;
  let trace = 0;
  for (let i = 0; i < count; i++) trace += gram[i * count + i]!;
  const ridge = PENALTY * (trace / count || 1);
  const weights = balance(truth);
  const root = weights.map(Math.sqrt);
  for (let row = 0, at = 0; row < count; row++) {
    for (let column = 0; column < count; column++, at++) {
      gram[at]! *= 0.5 * root[row]! * root[column]!;
    }
    gram[row * count + row]! += ridge;
  }
  // With A for this matrix, gram root A^-1 v = 2 (v - ridge A^-1 v) / root: the products of the
  // gram with what is found follow from the solutions.
  const factors = factorize(gram, count);
  let found = free.map(() => new Float64Array(2 * count));
  const ahead = free.map(() => new Float64Array(2 * count));
  let momentum = 1;
  for (let step = 0; step < STEPS; step++) {
    const shares = base.slice();
    free.forEach((output, n) => {
      const at = ahead[n]!;
      for (let i = 0; i < count; i++) shares[i * outputs + output]! += at[count + i]!;
    });
    for (let i = 0; i < count; i++) soften(shares, i * outputs, outputs);
    const following = (1 + Math.sqrt(1 + 4 * momentum ** 2)) / 2;
    const speed = (momentum - 1) / following;
    momentum = following;
    const next = free.map((output, n) => {
      const at = ahead[n]!;
      const slope = new Float64Array(count);
      for (let i = 0, place = output; i < count; i++, place += outputs) {
        const miss = weights[i]! * (shares[place]! - targets[place]!);
        slope[i] = (miss + ridge * at[i]!) / root[i]!;
      }
      const solved = slope.slice();
      solve(factors, solved);
      const one = new Float64Array(2 * count);
      for (let i = 0; i < count; i++) {
        one[i] = at[i]! - root[i]! * solved[i]!;
        one[count + i] = at[count + i]! - (2 * (slope[i]! - ridge * solved[i]!)) / root[i]!;
      }
      return one;
    });
    for (let n = 0; n < free.length; n++) {
      const [one, before, at] = [next[n]!, found[n]!, ahead[n]!];
      for (let i = 0; i < 2 * count; i++) at[i] = one[i]! + speed * (one[i]! - before[i]!);
    }
    found = next;
  }
  return found.map((one) => one.subarray(0, count));
}

// Labels; those of the first rows are mixed with what the old head says of them.
function makeTargets(
  base: Float64Array,
  truth: Int32Array,
  outputs: number,
  stored: number,
  known: number,
): Float64Array {
  const targets = new Float64Array(base.length);
  truth.forEach((output, n) => (targets[n * outputs + output] = n < stored ? 1 - KEEP : 1));
  for (let n = 0; n < stored; n++) {
    const said = base.slice(n * outputs, n * outputs + known);
    soften(said, 0, known);
    said.forEach((share, k) => (targets[n * outputs + k]! += KEEP * share));
  }
  return targets;
}

// Weights of mean 1, such that each output's rows weigh as much.
function balance(truth: Int32Array): Float64Array {
  const counts = new Map<number, number>();
  for (const one of truth) counts.set(one, (counts.get(one) ?? 0) + 1);
  return Float64Array.from(truth, (one) => truth.length / (counts.size * counts.get(one)!));
}

/** Mean and standard deviation of each feature, the second not too near 0. */
export function standardize(rows: Float32Array, features: number) {
  const count = rows.length / features;
  const mean = new Float64Array(features);
  const scale = new Float64Array(features);
  for (let n = 0, at = 0; n < count; n++) {
    for (let i = 0; i < features; i++, at++) mean[i]! += rows[at]! / count;
  }
  for (let n = 0, at = 0; n < count; n++) {
    for (let i = 0; i < features; i++, at++) {
      const away = rows[at]! - mean[i]!;
      scale[i]! += (away * away) / count;
    }
  }
  const least = LEAST_SCALE * (Math.sqrt(average(scale)) || 1);
  return { mean, scale: scale.map((one) => Math.max(Math.sqrt(one), least)) };
}

// Softmax of a part, in place.
function soften(values: Float64Array, at: number, length: number): void {
  let highest = -Infinity;
  for (let i = at; i < at + length; i++) highest = Math.max(highest, values[i]!);
  let sum = 0;
  for (let i = at; i < at + length; i++) sum += values[i] = Math.exp(values[i]! - highest);
  for (let i = at; i < at + length; i++) values[i]! /= sum;
}

/** Probabilities: softmax(logits / temperature). */
export function softenLogits(logits: Float32Array, temperature: number): Float32Array {
  const shares = Float64Array.from(logits, (one) => one / temperature);
  soften(shares, 0, shares.length);
  return Float32Array.from(shares);
}
