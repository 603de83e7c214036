import type { Site } from "../site";
import type { Started } from "../worker/protocol";
import type { Model } from "./model";

const DRIFT_PARTS = 20;
const SLOWED = 1.2;

export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
}

/** As `BenchmarkReport` in `edgetl_runtime/benchmark.py`. */
export type Report = Record<string, unknown> & {
  preprocess_ms: Percentiles;
  invoke_ms: Percentiles;
  total_ms: Percentiles;
};

/** Runs the benchmark and describes it. */
export async function measure(
  model: Model,
  site: Site,
  started: Started,
  runs: number,
  seconds: number,
  progress?: (share: number) => void,
): Promise<Report> {
  const samples = await model.ask("bench", { runs, seconds }, [], (one) => {
    if (one.stage === "bench") progress?.(one.share);
  });
  return {
    variant: site.variant,
    engine: started.engine,
    threads: 1,
    load_ms: started.load_ms,
    first_ms: started.first_ms,
    preprocess_ms: percentiles(samples.preprocess),
    invoke_ms: percentiles(samples.invoke),
    total_ms: percentiles(samples.total),
    runs: samples.total.length,
    warmup_runs: samples.warmup_runs,
    frame_px: samples.frame_px,
    drift: drift(samples.at_s, samples.total),
  };
}

/** Linear between samples, as numpy's. */
export function percentiles(samples: number[]): Percentiles {
  const sorted = Float64Array.from(samples).sort();
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low);
  };
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

/** Median of each part of the time: [second in the middle of it, milliseconds]. */
export function drift(at_s: number[], samples: number[]): [number, number][] {
  const length = (at_s.at(-1) ?? 0) / DRIFT_PARTS;
  const points: [number, number][] = [];
  for (let part = 0; part < DRIFT_PARTS; part++) {
    const within = samples.filter((_, i) => Math.floor(at_s[i]! / length) === part);
    if (within.length) points.push([(part + 0.5) * length, percentiles(within).p50]);
  }
  return points;
}

/** Whether it ended slower than it began, as when a phone becomes too warm. */
export function hasSlowed(points: [number, number][]): boolean {
  const tenth = Math.max(1, Math.round(points.length / 10));
  const median = (part: [number, number][]) => percentiles(part.map(([, ms]) => ms)).p50;
  return median(points.slice(-tenth)) > SLOWED * median(points.slice(0, tenth));
}
