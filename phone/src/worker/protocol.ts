// What page and worker say to each other. Each request has a number, and one reply of the same.

import type { GoldenReport } from "../classify/classifier";
import type { Naming, Prediction } from "../classify/prediction";
import type { Build, Site } from "../site";

export type { Prediction };

export interface Requests {
  start: { request: { base: string; site: Site }; reply: Started };
  classify: { request: { frame: ImageBitmap | VideoFrame }; reply: Prediction };
  classifyBlob: { request: { blob: Blob }; reply: Prediction };
  bench: { request: { runs: number; seconds: number }; reply: Samples };
}

export type Name = keyof Requests;

export type Request = {
  [N in Name]: { id: number; name: N } & Requests[N]["request"];
}[Name];

export type Reply =
  | { id: number; reply: unknown }
  | { id: number; error: string; kind: string }
  | { id: number; progress: Progress };

/** How far a request is. */
export type Progress =
  | { stage: "download"; loaded: number; total: number }
  | { stage: "compile" }
  | { stage: "golden"; done: number; frames: number }
  | { stage: "bench"; share: number };

export interface Started extends Naming {
  build: Build;
  engine: string;
  golden: GoldenReport;
  bundle_sha256: string;
  model_sha256: string;
  /** Backbone and input, such as `mobilenet_v2_0.35 at 224x224`; empty if not known. */
  network: string;
  /** From the first byte to a compiled model, milliseconds; download included. */
  load_ms: number;
  /** Of it, starting LiteRT.js and compiling the model. */
  compile_ms: number;
  /** The first golden frame. */
  first_ms: number;
}

/** Raw samples in milliseconds, one entry a run. */
export interface Samples {
  frame_px: [number, number];
  warmup_runs: number;
  preprocess: number[];
  invoke: number[];
  total: number[];
  /** When each run ended, seconds from the first sample. */
  at_s: number[];
  wasm_bytes: number;
}
