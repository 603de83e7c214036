// What page and worker say to each other. Each request has a number, and one reply of the same.

import type { GoldenReport } from "../classify/classifier";
import type { Preprocessing } from "../bundle/manifest";
import type { Naming, Prediction } from "../classify/prediction";
import type { StoredFeatures } from "../learning/learner";
import type { LessonKind, LessonReport } from "../learning/lesson";
import type { TakenFrame } from "../learning/take";
import type { Build, Site } from "../site";

export type { Prediction };

export interface Requests {
  start: { request: { base: string; site: Site }; reply: Started };
  classify: { request: { frame: ImageBitmap | VideoFrame; explain: boolean }; reply: Prediction };
  classifyBlob: { request: { blob: Blob; explain: boolean }; reply: Prediction };
  /** Answers with these lessons from now on, and none but these. */
  useLessons: { request: { lessons: StoredFeatures[] }; reply: Naming };
  /** Begins to collect the frames that are classified; null ends it. */
  collect: {
    request: { take: { kind: LessonKind; label: string | null; alike: boolean } | null };
    reply: void;
  };
  /** Makes a lesson of what was collected. */
  finishLesson: {
    request: { kind: LessonKind; label: string | null };
    reply: { naming: Naming; report: LessonReport; notes: string[]; frames: TakenFrame[] };
  };
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
  /** Whether the bundle has what learning needs, and what heat maps need. */
  canTeach: boolean;
  canExplain: boolean;
  preprocessing: Preprocessing;
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
