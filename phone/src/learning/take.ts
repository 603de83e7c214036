// Which frames of a take a lesson is made of: the twin of `edgetl_runtime/teaching/frames.py`.

import { isOfOneColor, type Pixels } from "../classify/preprocessing";
import { LessonError } from "../errors";
import { spread } from "./learned";

const LEAST_FRAMES = 5;
export const MOST_FRAMES = 200;
const DIFFERENT_LEVELS = 1;
const THUMBNAIL_PX = 16;

/** What is kept of a frame. */
export interface TakenFrame {
  features: Float32Array;
  /** What the file itself says of it, before temperature. */
  shipped: Float32Array;
  jpeg: ArrayBuffer;
  size_px: [number, number];
}

interface Candidate {
  number: number;
  thumbnail: Float32Array;
  frame: TakenFrame;
}

/** The frames of a lesson, and sentences on those that are not used. */
export interface Take {
  frames: TakenFrame[];
  notes: string[];
}

/** Collects the frames of a take, in bounded memory. */
export class Collector {
  #seen = 0;
  #blank = 0;
  #same = 0;
  #every = 1;
  #kept: Candidate[] = [];

  /** Args: alike: Whether frames may look alike, as those of a still scene do. */
  constructor(private readonly alike: boolean) {}

  /** Frames that can be used so far. */
  get count(): number {
    return this.#seen - this.#blank - this.#same;
  }

  /**
   * Adds a frame, unless it shows nothing, or nothing new.
   *
   * Args:
   *   pixels: The model's input.
   *   look: What is kept of the frame; is asked only if it is.
   */
  async add(
    pixels: Pixels,
    width_px: number,
    look: () => TakenFrame | Promise<TakenFrame>,
  ): Promise<void> {
    this.#seen++;
    if (isOfOneColor(pixels, width_px)) {
      this.#blank++;
      return;
    }
    const thumbnail = shrink(pixels, width_px);
    if (!this.alike && this.#kept.some((one) => isSame(thumbnail, one.thumbnail))) {
      this.#same++;
      return;
    }
    const number = this.count - 1;
    if (number % this.#every) return;
    this.#kept.push({ number, thumbnail, frame: await look() });
    if (this.#kept.length > 2 * MOST_FRAMES) {
      // Every other one goes, so that the rest is spread over the whole take.
      this.#every *= 2;
      this.#kept = this.#kept.filter((one) => one.number % this.#every === 0);
    }
  }

  /** The frames of the lesson; refused if there are too few. */
  finish(): Take {
    const frames = spread(this.#kept.length, MOST_FRAMES).map((n) => this.#kept[n]!.frame);
    if (frames.length < LEAST_FRAMES) throw new LessonError(this.#explain());
    const notes: string[] = [];
    if (this.#blank) notes.push(`${nouns(this.#blank)} of nearly one color left out`);
    if (this.#same) notes.push(`${nouns(this.#same)} like another one left out`);
    if (this.count > frames.length) {
      notes.push(`of ${this.count} frames ${frames.length} are used, evenly spaced`);
    }
    return { frames, notes };
  }

  #explain(): string {
    let found = nouns(this.#seen);
    if (this.#seen && this.#blank === this.#seen) {
      return (
        `expected ${LEAST_FRAMES} frames with something on them, found ${found} of nearly one ` +
        "color; is the lens covered, or is it dark?"
      );
    }
    const left: string[] = [];
    if (this.#same) left.push(`${this.#same} like another one`);
    if (this.#blank) left.push(`${this.#blank} of nearly one color`);
    if (left.length) found += `, ${left.join(" and ")}`;
    const what = this.alike ? "frames" : "frames that differ";
    const remedy = this.alike ? "take longer" : "turn and move the thing, or take longer";
    return `expected at least ${LEAST_FRAMES} ${what}, found ${found}; ${remedy}`;
  }
}

const nouns = (count: number) => (count === 1 ? "1 frame" : `${count} frames`);

/** Means over areas, as OpenCV's INTER_AREA, (16, 16, 3). */
export function shrink(pixels: Pixels, width_px: number): Float32Array {
  const height_px = pixels.length / width_px / 3;
  const [down, across] = [weigh(height_px), weigh(width_px)];
  const small = new Float32Array(THUMBNAIL_PX * THUMBNAIL_PX * 3);
  for (let row = 0; row < THUMBNAIL_PX; row++) {
    for (let column = 0; column < THUMBNAIL_PX; column++) {
      const sums = [0, 0, 0];
      for (const [y, vertical] of down[row]!) {
        for (const [x, horizontal] of across[column]!) {
          const at = (y * width_px + x) * 3;
          for (let k = 0; k < 3; k++) sums[k]! += vertical * horizontal * pixels[at + k]!;
        }
      }
      sums.forEach((sum, k) => (small[(row * THUMBNAIL_PX + column) * 3 + k] = Math.round(sum)));
    }
  }
  return small;
}

// For each cell of a thumbnail the pixels in it, and by how much of the cell.
function weigh(length_px: number): [number, number][][] {
  const cell = length_px / THUMBNAIL_PX;
  return Array.from({ length: THUMBNAIL_PX }, (_, n) => {
    const [start, end] = [n * cell, (n + 1) * cell];
    const found: [number, number][] = [];
    for (let at = Math.floor(start); at < Math.min(length_px, Math.ceil(end)); at++) {
      const covered = Math.min(end, at + 1) - Math.max(start, at);
      if (covered > 1e-6) found.push([at, covered / cell]);
    }
    return found;
  });
}

function isSame(one: Float32Array, other: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += Math.abs(one[i]! - other[i]!);
  return sum / one.length < DIFFERENT_LEVELS;
}
