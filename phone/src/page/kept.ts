import { zip } from "fflate";

import { decide, type Naming, rank } from "../classify/prediction";
import { EdgetlError } from "../errors";
import type { Shown } from "./live";
import { type Listed, Store } from "./store";

/** As a board's `edgetl-run --collect`; `edgetl data import` reads both. */
export const FORMAT_VERSION = 3;
const ANSWER_VERSION = 1;
export const QUOTA_BYTES = 100e6;
const UNSURE_BELOW = 0.3;
const TOP = 5;
/** The label that says: none of these. */
export const UNKNOWN = "_unknown_";

export type Kind = "rejected" | "unsure" | "picked";

export interface Kept extends Listed {
  kinds: Kind[];
  bundle_sha256: string;
  answer: Record<string, unknown>;
  corrected_label: string | null;
}

/** Frames that are kept in the browser for training, within a quota; the oldest go first. */
export class KeptFrames {
  readonly #store: Store<Kept, ArrayBuffer>;

  /** Args: place: Address of the page, since several may share an origin. */
  constructor(place: string) {
    this.#store = new Store(`edgetl ${place}`, "frames", "pictures");
  }

  list(): Promise<Kept[]> {
    return this.#store.list();
  }

  /** A frame's JPEG. */
  async read(id: number): Promise<Blob> {
    const data = await this.#store.read(id);
    if (!data) throw new EdgetlError("this frame is not kept any more");
    return new Blob([data], { type: "image/jpeg" });
  }

  async add(frame: Kept, jpeg: Blob): Promise<void> {
    await this.#makeRoom(frame.bytes);
    const full = "this phone has no room for another frame; hand the kept ones on and delete them";
    await this.#store.add(frame, await jpeg.arrayBuffer(), full);
  }

  change(frame: Kept): Promise<void> {
    return this.#store.change(frame);
  }

  remove(id: number): Promise<void> {
    return this.#store.remove(id);
  }

  clear(): Promise<void> {
    return this.#store.clear();
  }

  /** All of them, and other files, as one zip, as `edgetl data import` takes it. */
  async pack(others: Record<string, Uint8Array>): Promise<Blob> {
    const files = { ...others };
    for (const frame of await this.list()) {
      const { bytes: _, id, ...rest } = frame;
      const stem = `${String(id).padStart(9, "0")}_${frame.kinds[0]}`;
      files[`${stem}.jpg`] = new Uint8Array(await (await this.read(id!)).arrayBuffer());
      const record = { format_version: FORMAT_VERSION, ...rest };
      files[`${stem}.json`] = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
    }
    const data = await new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) =>
      zip(files, { level: 0 }, (error, packed) =>
        error ? reject(error) : resolve(packed as Uint8Array<ArrayBuffer>),
      ),
    );
    return new Blob([data], { type: "application/zip" });
  }

  async #makeRoom(bytes: number): Promise<void> {
    const frames = await this.list();
    let used = frames.reduce((sum, one) => sum + one.bytes, bytes);
    for (const one of frames) {
      if (used <= QUOTA_BYTES) return;
      await this.remove(one.id!);
      used -= one.bytes;
    }
  }
}

/** What a frame is worth keeping for by itself; empty if for nothing. */
export function judge({ prediction }: Shown, naming: Naming): Kind[] {
  if (prediction.low_information) return [];
  const [first = 0, second = 0] = [...prediction.scores].sort((a, b) => b - a);
  const kinds: Kind[] = [];
  if (decide(naming, prediction.scores) === null) kinds.push("rejected");
  if (first - second < UNSURE_BELOW) kinds.push("unsure");
  return kinds;
}

/** The record of a frame, as `AnswerRecord` in `edgetl_runtime/answers.py` describes it. */
export function describeAnswer(shown: Shown, naming: Naming): Record<string, unknown> {
  const { prediction } = shown;
  return {
    version: ANSWER_VERSION,
    boot_id: "",
    sequence: shown.frame + 1,
    time: new Date(performance.timeOrigin + shown.captured_ms).toISOString(),
    clock_synced: null,
    source: "phone",
    file: null,
    frame: shown.frame,
    position_s: null,
    size_px: shown.size_px,
    label: shown.label,
    score: shown.score,
    frame_label: decide(naming, prediction.scores),
    frame_score: Math.max(...prediction.scores),
    top: rank(naming.labels, prediction.scores, TOP),
    captured_s: shown.captured_ms / 1000,
    preprocess_ms: prediction.preprocess_ms,
    invoke_ms: prediction.invoke_ms,
    age_ms: shown.age_ms,
    stale: false,
    low_information: shown.low_information,
    event: null,
  };
}
