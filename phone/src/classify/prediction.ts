// Scores to labels: the twin of `edgetl_runtime/prediction.py`.

import { listOutputs, type Manifest, type Variant } from "../bundle/manifest";
import type { HeatMap } from "../heatmaps/heat_map";

const SCORE_TOLERANCE = 0.01;
const SUM_TOLERANCE = 0.02;

export interface LabelScore {
  label: string;
  score: number;
}

/** What scores are of, and when they name something. */
export interface Naming {
  /** The names of the model's outputs, in their order. */
  labels: string[];
  /** Index of the output for what is none of the classes; null without one. */
  unknown: number | null;
  /** The highest score below which there is no label, 0..1. */
  threshold: number;
}

/** One frame's answer. */
export interface Prediction {
  /** After temperature, 0..1, in the order of the outputs. */
  scores: Float32Array;
  preprocess_ms: number;
  invoke_ms: number;
  /** The input is nearly of one color: covered, black or saturated. */
  low_information: boolean;
  /** Where the evidence lies, if that was asked for. */
  heat?: HeatMap;
  /** Frames that the take has so far, if one is being collected. */
  taken?: number;
}

/** What the scores of a bundle's file are of. */
export function nameShipped(bundle: { manifest: Manifest; variant: Variant }): Naming {
  const { manifest, variant } = bundle;
  return {
    labels: listOutputs(manifest),
    unknown: manifest.unknown_label ? manifest.labels.length : null,
    threshold: variant.calibration.reject_threshold,
  };
}

/** The names of the outputs that are classes. */
export function listClasses({ labels, unknown }: Naming): string[] {
  return labels.filter((_, index) => index !== unknown);
}

/** Index of the highest score; the first one on a tie. */
export function best(scores: ArrayLike<number>): number {
  let index = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[index]!) index = i;
  return index;
}

/** The label, or null where the highest score is below the threshold, or that of the unknown. */
export function decide(naming: Naming, scores: Float32Array): string | null {
  const index = best(scores);
  const rejected = index === naming.unknown || scores[index]! < naming.threshold;
  return rejected ? null : naming.labels[index]!;
}

/** The labels with the highest scores, best first; the first one wins a tie. */
export function rank(labels: string[], scores: ArrayLike<number>, count = 5): LabelScore[] {
  return labels
    .map((label, i) => ({ label, score: scores[i]! }))
    .sort((a, b) => b.score - a.score)
    .slice(0, count);
}

/** As `rank`, with the unknown among them, since its score tells how far a label can be trusted. */
export function rankShown({ labels, unknown }: Naming, scores: ArrayLike<number>): LabelScore[] {
  const top = rank(labels, scores);
  const name = unknown === null ? undefined : labels[unknown];
  if (name === undefined || top.some(({ label }) => label === name)) return top;
  return [...top.slice(0, -1), { label: name, score: scores[unknown!]! }];
}

/** What is wrong with a model's output as probabilities; empty if nothing is. */
export function checkProbabilities(scores: Float32Array): string {
  let total = 0;
  let least = Infinity;
  let most = -Infinity;
  for (const score of scores) {
    total += score;
    least = Math.min(least, score);
    most = Math.max(most, score);
  }
  if (!Number.isFinite(total)) return "NaN or infinity";
  if (least < -SCORE_TOLERANCE || most > 1 + SCORE_TOLERANCE) {
    return `scores from ${least.toPrecision(3)} to ${most.toPrecision(3)} instead of 0 to 1`;
  }
  if (Math.abs(total - 1) > SUM_TOLERANCE + scores.length / 512) {
    return `scores that sum to ${total.toPrecision(3)} instead of 1`;
  }
  return "";
}

/** Softens (temperature > 1) or sharpens (< 1) probabilities: softmax(logits / temperature). */
export function calibrate(probabilities: Float32Array, temperature: number): Float32Array {
  if (temperature === 1) return probabilities;
  // Relative to the highest one, so that a low temperature does not turn all of them into 0.
  const highest = probabilities[best(probabilities)]!;
  const powered = Float64Array.from(probabilities, (one) =>
    Math.pow(Math.fround(one / highest), 1 / temperature),
  );
  const sum = powered.reduce((total, one) => total + one, 0);
  return Float32Array.from(powered, (one) => one / sum);
}
