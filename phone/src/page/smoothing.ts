import { best, decide, type Naming } from "../classify/prediction";

// The defaults of `[smoothing]` on a board.
const HALF_LIFE_S = 0.2;
const HOLD = 3;

export interface Smoothed {
  /** The stable label, or null if unknown. */
  label: string | null;
  /** Smoothed score of the label; the highest one where the label is null. */
  score: number;
  scores: Float32Array;
}

/**
 * Averages scores over frames, and holds a label until another one stays: the twin of `Smoother`
 * in `edgetl_runtime/pipeline/smoothing.py`, with method `average`.
 */
export class Smoother {
  #average: Float32Array | undefined;
  #seen_s = 0;
  #label: string | null = null;
  #candidate: string | null = null;
  #led = 0;

  constructor(private readonly naming: Naming) {}

  /** Forgets all frames, as after a camera was away: old ones say nothing of now. */
  reset(): void {
    this.#average = undefined;
    this.#label = this.#candidate = null;
    this.#led = 0;
  }

  /** Takes the next frame's scores, of a moment in seconds. */
  update(scores: Float32Array, at_s: number): Smoothed {
    const elapsed_s = Math.max(0, at_s - this.#seen_s);
    const weight = Math.fround(1 - 0.5 ** (elapsed_s / HALF_LIFE_S));
    const before = this.#average;
    this.#average = before
      ? before.map((one, i) => one + Math.fround(weight * Math.fround(scores[i]! - one)))
      : scores.slice();
    this.#seen_s = at_s;
    this.#hold(decide(this.naming, this.#average));
    const { labels } = this.naming;
    const index = this.#label === null ? best(this.#average) : labels.indexOf(this.#label);
    return { label: this.#label, score: this.#average[index]!, scores: this.#average };
  }

  // Another label must be the candidate several times in a row.
  #hold(candidate: string | null): void {
    if (candidate === this.#label) {
      this.#led = 0;
      return;
    }
    this.#led = candidate === this.#candidate ? this.#led + 1 : 1;
    this.#candidate = candidate;
    if (this.#led >= HOLD) {
      this.#label = candidate;
      this.#led = 0;
    }
  }
}
