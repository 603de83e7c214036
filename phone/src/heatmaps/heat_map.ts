// Class activation maps: the twin of `edgetl_runtime/heatmaps/heat_map.py`, which says what they
// are.

import { BundleError } from "../errors";
import type { Head } from "../learning/head";

const EARLIER_CONTRAST = 0.15;
const SIGMA_CELLS = 0.75;

/** Values over the model's input, row after row. */
export interface Cells {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** A feature map: (height, width, channels). */
export interface FeatureMap {
  shape: [number, number, number];
  values: Float32Array;
}

/** Where in a frame the evidence for one class lies. */
export interface HeatMap {
  label: string;
  /** 0 up to the mean, 1 at the maximum. */
  levels: Cells;
  /** Middle of the hottest cell: (x, y) as fractions of the model's input. */
  hottest: [number, number];
}

/** Computes the heat map of a class; the cells' mean and the bias are the logit. */
export function makeCells(maps: FeatureMap[], head: Head, index: number): Cells {
  const channels = maps.reduce((sum, { shape }) => sum + shape[2], 0);
  if (channels !== head.features) {
    throw new BundleError(
      `the maps have ${channels} channels, the head multiplies ${head.features} features; export ` +
        "the bundle again with: edgetl export",
    );
  }
  let start = 0;
  const added = maps.map((map) => {
    const cells = project(map, head, index, start);
    start += map.shape[2];
    return cells;
  });
  const last = added.at(-1)!;
  const rows = Math.max(...added.map((one) => one.rows));
  const columns = Math.max(...added.map((one) => one.columns));
  const sum = enlarge(last, rows, columns).values.slice();
  for (const one of added.slice(0, -1)) {
    const mean = average(one.values);
    enlarge(one, rows, columns).values.forEach(
      (value, i) => (sum[i]! += EARLIER_CONTRAST * (value - mean) + mean),
    );
  }
  return smooth({ rows, columns, values: sum }, rows / last.rows, columns / last.columns);
}

function project({ shape, values }: FeatureMap, head: Head, index: number, start: number): Cells {
  const [rows, columns, channels] = shape;
  const weights = Float64Array.from(
    { length: channels },
    (_, i) => head.kernel[(start + i) * head.outputs + index]!,
  );
  const cells = new Float32Array(rows * columns);
  for (let cell = 0; cell < cells.length; cell++) {
    let sum = 0;
    for (let i = 0, at = cell * channels; i < channels; i++) sum += values[at + i]! * weights[i]!;
    cells[cell] = sum;
  }
  return { rows, columns, values: cells };
}

// Bilinear; keeps the mean.
function enlarge(cells: Cells, rows: number, columns: number): Cells {
  if (cells.rows === rows && cells.columns === columns) return cells;
  const [down, across] = [interpolate(cells.rows, rows), interpolate(cells.columns, columns)];
  const values = new Float32Array(rows * columns);
  down.forEach(([top, bottom, vertical], row) => {
    const at = (line: number, column: number) => cells.values[line * cells.columns + column]!;
    across.forEach(([left, right, horizontal], column) => {
      const above = at(top, left) * (1 - horizontal) + at(top, right) * horizontal;
      const below = at(bottom, left) * (1 - horizontal) + at(bottom, right) * horizontal;
      values[row * columns + column] = above * (1 - vertical) + below * vertical;
    });
  });
  const lost = average(cells.values) - average(values);
  return { rows, columns, values: values.map((one) => one + lost) };
}

// For each place the two that it lies between, and how far it is from the first.
function interpolate(from: number, to: number): [number, number, number][] {
  return Array.from({ length: to }, (_, n) => {
    const place = Math.min(from - 1, Math.max(0, ((n + 0.5) * from) / to - 0.5));
    const low = Math.min(from - 1, Math.floor(place));
    return [low, Math.min(from - 1, low + 1), place - low];
  });
}

// Gaussian, where maps were enlarged; mirrored borders keep the mean.
function smooth({ rows, columns, values }: Cells, down: number, across: number): Cells {
  if (down <= 1 && across <= 1) return { rows, columns, values };
  const wide = blur(values, rows, columns, 1, columns, makeKernel(SIGMA_CELLS * across));
  const both = blur(wide, columns, rows, columns, 1, makeKernel(SIGMA_CELLS * down));
  return { rows, columns, values: both };
}

// As long as OpenCV makes it for float32.
function makeKernel(sigma: number): number[] {
  const reach = Math.floor((Math.round(sigma * 8 + 1) | 1) / 2);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)),
  );
  const sum = weights.reduce((total, one) => total + one, 0);
  return weights.map((one) => one / sum);
}

function blur(
  values: Float32Array,
  lines: number,
  length: number,
  step: number,
  stride: number,
  kernel: number[],
): Float32Array {
  const reach = (kernel.length - 1) / 2;
  const mirror = (at: number) => {
    const place = ((at % (2 * length)) + 2 * length) % (2 * length);
    return place < length ? place : 2 * length - 1 - place;
  };
  const blurred = new Float32Array(values.length);
  for (let line = 0; line < lines; line++) {
    for (let at = 0; at < length; at++) {
      let sum = 0;
      for (let i = 0; i < kernel.length; i++) {
        sum += kernel[i]! * values[line * stride + mirror(at + i - reach) * step]!;
      }
      blurred[line * stride + at * step] = sum;
    }
  }
  return blurred;
}

/** What is shown of cells. */
export function describeCells({ rows, columns, values }: Cells, label: string): HeatMap {
  const mean = average(values);
  const above = values.map((one) => Math.max(one - mean, 0));
  const most = Math.max(
    above.reduce((most, one) => Math.max(most, one), 0),
    1e-12,
  );
  let hottest = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[hottest]!) hottest = i;
  return {
    label,
    levels: { rows, columns, values: above.map((one) => one / most) },
    hottest: [((hottest % columns) + 0.5) / columns, (Math.floor(hottest / columns) + 0.5) / rows],
  };
}

function average(values: Float32Array): number {
  let sum = 0;
  for (const one of values) sum += one;
  return sum / values.length;
}
