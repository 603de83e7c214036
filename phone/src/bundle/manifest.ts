// The content of bundle.json, as `edgetl_runtime/bundle/manifest.py` defines it; bundle.schema.json
// holds the whole of it. Only what the page uses is here.

export type Fit = "stretch" | "crop" | "pad";

export interface Preprocessing {
  width_px: number;
  height_px: number;
  color: "rgb";
  fit: Fit;
  resize: string;
}

export interface StoredFile {
  file: string;
  sha256: string;
  bytes: number;
}

export interface GoldenFrame extends StoredFile {
  input_sha256: string;
}

export interface TensorSpec {
  name: string;
  shape: number[];
  dtype: "uint8" | "float32";
  layout: "nhwc" | "nchw" | "nc";
}

export interface Metrics {
  examples: number;
  top1: number;
  drop: number;
  recall: Record<string, number | null>;
  label_shares: Record<string, number> | null;
}

/** What a file can put out besides its scores; `reveal` of edgetl_runtime says how. */
export interface HiddenOutputs {
  offset: number;
  /** Base64. */
  features: string;
  /** Base64; none without maps. */
  maps?: string;
  map_channels?: number[];
}

export interface Variant extends StoredFile {
  name: string;
  engine: string;
  precision: string;
  input: TensorSpec;
  output: TensorSpec;
  metrics: Metrics;
  test_metrics: Metrics | null;
  golden_scores: number[][];
  golden_tolerance: number;
  hidden: HiddenOutputs | null;
  memory: StoredFile | null;
  calibration: { temperature: number; reject_threshold: number };
}

export interface Manifest {
  format_version: number;
  labels: string[];
  /** Of one more output, the last one; empty where the models have none. */
  unknown_label: string;
  preprocessing: Preprocessing;
  variants: Variant[];
  golden: GoldenFrame[];
  labels_file: StoredFile;
  card: StoredFile;
  provenance: { backbone: string; name: string; version: string; weights_digest: string };
}

/** The names of the models' outputs, in their order. */
export function listOutputs({ labels, unknown_label }: Manifest): string[] {
  return unknown_label ? [...labels, unknown_label] : labels;
}

/** `BundleManifest.network` of edgetl_runtime. */
export function nameNetwork({ preprocessing, provenance }: Manifest): string {
  if (!provenance.weights_digest) return "";
  return `${provenance.backbone} at ${preprocessing.width_px}x${preprocessing.height_px}`;
}
