import type { Site } from "../site";
import type { Build } from "../site";
import type { Started } from "../worker/protocol";
import type { Model } from "./model";

const FORMAT_VERSION = 2;
const SLOWED_ABOVE = 1.2;
const DRIFT_STEP_S = 1;

export interface Percentiles {
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  mean: number;
}

/** `BrowserBenchmark` of `edgetl_runtime/benchmarking/record.py`, which describes each field. */
export interface Report {
  kind: "browser";
  format_version: number;
  bundle_sha256: string;
  model_sha256: string;
  network: string;
  variant: string;
  engine: string;
  threads: number;
  load_ms: number;
  compile_ms: number;
  first_ms: number;
  preprocess_ms: Percentiles;
  invoke_ms: Percentiles;
  total_ms: Percentiles;
  runs: number;
  warmup_runs: number;
  frame_px: [number, number];
  preprocess_samples_ms: number[];
  invoke_samples_ms: number[];
  total_samples_ms: number[];
  browser: Browser;
  drift: [number, number][];
  slowed: boolean | null;
}

interface Browser {
  brand: string;
  user_agent: string;
  model: string;
  cores: number;
  memory_hint_gib: number | null;
  wasm_build: Build;
  wasm_memory_mib: number | null;
  timer_step_ms: number;
}

/** Runs the benchmark and describes it; with seconds, how the times drift as well. */
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
  const drift = seconds ? follow(samples.at_s, samples.total) : [];
  return {
    kind: "browser",
    format_version: FORMAT_VERSION,
    bundle_sha256: started.bundle_sha256,
    model_sha256: started.model_sha256,
    network: started.network,
    variant: site.variant,
    engine: started.engine,
    threads: 1,
    load_ms: started.load_ms,
    compile_ms: started.compile_ms,
    first_ms: started.first_ms,
    preprocess_ms: percentiles(samples.preprocess),
    invoke_ms: percentiles(samples.invoke),
    total_ms: percentiles(samples.total),
    runs: samples.total.length,
    warmup_runs: samples.warmup_runs,
    frame_px: samples.frame_px,
    preprocess_samples_ms: samples.preprocess,
    invoke_samples_ms: samples.invoke,
    total_samples_ms: samples.total,
    browser: await describeBrowser(started.build, samples.wasm_bytes),
    drift,
    slowed: hasSlowed(drift),
  };
}

/** Linear between samples, as numpy's; and the mean. */
export function percentiles(samples: number[]): Percentiles {
  const sorted = Float64Array.from(samples).sort();
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low);
  };
  const mean = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
  return { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), mean };
}

const median = (values: number[]) => percentiles(values).p50;

// For each second or so: when it ended, and the median within it.
function follow(at_s: number[], total: number[]): [number, number][] {
  const points: [number, number][] = [];
  let first = 0;
  at_s.forEach((second, i) => {
    if (second - (points.at(-1)?.[0] ?? 0) < DRIFT_STEP_S) return;
    points.push([second, median(total.slice(first, i + 1))]);
    first = i + 1;
  });
  return points;
}

// The last tenth against the first, as `find_slowed`.
function hasSlowed(drift: [number, number][]): boolean | null {
  const tenth = Math.floor(drift.length / 10);
  if (!tenth) return null;
  const values = drift.map(([, ms]) => ms);
  return median(values.slice(-tenth)) > SLOWED_ABOVE * median(values.slice(0, tenth));
}

interface ClientHints {
  brands: { brand: string; version: string }[];
  getHighEntropyValues(hints: string[]): Promise<{ model?: string }>;
}

async function describeBrowser(build: Build, wasm_bytes: number): Promise<Browser> {
  const { userAgentData: hints, deviceMemory } = navigator as Navigator & {
    userAgentData?: ClientHints;
    deviceMemory?: number;
  };
  const told = await hints?.getHighEntropyValues(["model"]).catch(() => undefined);
  return {
    brand: findBrand(hints),
    user_agent: navigator.userAgent,
    model: told?.model ?? "",
    cores: navigator.hardwareConcurrency || 1,
    memory_hint_gib: deviceMemory ?? null,
    wasm_build: build,
    wasm_memory_mib: wasm_bytes ? wasm_bytes / 2 ** 20 : null,
    timer_step_ms: findTimerStep(),
  };
}

// Brands hold one that is made up, so that nobody relies on their order.
function findBrand(hints: ClientHints | undefined): string {
  const known = hints?.brands.filter(({ brand }) => !/not.*brand/i.test(brand)) ?? [];
  const one = known.find(({ brand }) => brand !== "Chromium") ?? known[0];
  if (one) return `${one.brand} ${one.version}`;
  const match =
    /(Firefox|FxiOS|CriOS|EdgiOS)\/(\d+)/.exec(navigator.userAgent) ??
    /()Version\/(\d+)[\d.]* .*Safari/.exec(navigator.userAgent);
  return match ? `${match[1] || "Safari"} ${match[2]}` : "Unknown";
}

function findTimerStep(): number {
  let step = Infinity;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    step = Math.min(step, now - start);
  }
  return step;
}
