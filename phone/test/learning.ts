// What tests/phone/test_learning.py and test_heat_maps.py hold against the Python originals.

import { findWindow, spreadCells } from "../src/heatmaps/drawing";
import { describeCells, makeCells } from "../src/heatmaps/heat_map";
import { colorOf } from "../src/heatmaps/palette";
import { LessonError } from "../src/errors";
import { decodeFloat16, encodeFloat16 } from "../src/learning/float16";
import { computeLogits } from "../src/learning/head";
import { score, type Taught } from "../src/learning/learned";
import { checkLabel, judgeLesson, type LessonKind } from "../src/learning/lesson";
import { decodeMemory } from "../src/learning/memory";
import { readNpz } from "../src/learning/npz";
import { Collector, shrink } from "../src/learning/take";

/**
 * What lessons make of a memory.
 *
 * Args:
 *   memory: The file.
 *   arrays: An .npz: the features of each lesson, `0`, `1`, ..., and of frames to answer, `asked`,
 *     with what the file itself says of them, `shipped`; float32.
 *   labels: Of the lessons.
 */
export function learnLessons(
  memory: Uint8Array,
  arrays: Uint8Array,
  classes: string[],
  labels: (string | null)[],
  unknown: string,
  temperature: number,
) {
  const known = decodeMemory(memory, "memory");
  const found = readNpz(arrays, "lessons");
  const floats = (name: string) => new Float32Array(found.get(name)!.bytes);
  const lessons: Taught[] = labels.map((label, n) => ({ label, features: floats(`${n}`) }));
  const { learned, report } = judgeLesson(known, classes, lessons, unknown);
  const size = known.head.features;
  const [asked, shipped] = [floats("asked"), floats("shipped")];
  const outputs = shipped.length / (asked.length / size);
  const rows = Array.from({ length: asked.length / size }, (_, n) => n);
  return {
    ...report,
    labels: learned.labels,
    unknown: learned.unknown,
    logits: rows.map((n) => Array.from(computeLogits(learned.head, asked, n * size))),
    scores: rows.map((n) =>
      Array.from(
        score(
          learned,
          asked.subarray(n * size, (n + 1) * size),
          shipped.subarray(n * outputs, (n + 1) * outputs),
          temperature,
        ),
      ),
    ),
  };
}

/** Why a label is refused; "" if it is not. */
export function refuseLabel(kind: LessonKind, label: string | null, known: string[]): string {
  return tell(() => checkLabel(kind, label, known)) as string;
}

/** Which of some inputs make a take: their numbers and the notes, or why it is refused. */
export async function takeFrames(inputs: number[][], width_px: number, alike: boolean) {
  const collector = new Collector(alike);
  for (const [n, input] of inputs.entries()) {
    await collector.add(Uint8Array.from(input), width_px, () => ({
      features: Float32Array.of(n),
      shipped: new Float32Array(0),
      jpeg: new ArrayBuffer(0),
      size_px: [1, 1],
    }));
  }
  return tell(() => {
    const { frames, notes } = collector.finish();
    return { chosen: frames.map(({ features }) => features[0]), notes, count: collector.count };
  });
}

function tell<T>(work: () => T): T | string {
  try {
    return work() ?? "";
  } catch (error) {
    if (error instanceof LessonError) return error.message;
    throw error;
  }
}

export function shrinkInput(input: number[], width_px: number): number[] {
  return Array.from(shrink(Uint8Array.from(input), width_px));
}

/** The cells, levels and hottest place of a class. */
export function explainMaps(
  maps: { shape: [number, number, number]; values: number[] }[],
  kernel: number[],
  outputs: number,
  index: number,
) {
  const head = {
    features: kernel.length / outputs,
    outputs,
    kernel: Float32Array.from(kernel),
    bias: new Float32Array(outputs),
  };
  const read = maps.map(({ shape, values }) => ({ shape, values: Float32Array.from(values) }));
  const cells = makeCells(read, head, index);
  const { levels, hottest } = describeCells(cells, "gear");
  const list = { ...cells, values: Array.from(cells.values) };
  return { cells: list, levels: Array.from(levels.values), hottest };
}

export function spreadLevels(
  cells: { rows: number; columns: number; values: number[] },
  rule: { width_px: number; height_px: number; fit: "stretch" | "crop" | "pad" },
  width_px: number,
  height_px: number,
) {
  const window = findWindow(rule, width_px, height_px);
  const values = Float32Array.from(cells.values);
  const spread = spreadCells({ ...cells, values }, window, width_px, height_px);
  return { window, spread: Array.from(spread) };
}

export const colors = () => Array.from({ length: 256 }, (_, level) => colorOf(level));

/** Through float16 and back, and the bits in between. */
export function halve(values: (number | string)[]) {
  const bits = encodeFloat16(Float32Array.from(values, Number));
  return { bits: Array.from(bits), values: Array.from(decodeFloat16(bits), String) };
}
