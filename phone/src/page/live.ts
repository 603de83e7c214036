import type { LabelScore, Naming } from "../classify/prediction";
import { best, decide, rankShown } from "../classify/prediction";
import { sizeOf } from "../classify/videoframes";
import type { Prediction } from "../worker/protocol";
import type { Camera } from "./camera";
import type { Model } from "./model";
import { Smoother } from "./smoothing";

const RATE_WINDOW_MS = 1000;

/** What is shown of a frame. */
export interface Shown {
  label: string | null;
  score: number;
  top: LabelScore[];
  low_information: boolean;
  /** Of this frame alone. */
  prediction: Prediction;
  /** Number of the frame that was classified, from 0. */
  frame: number;
  size_px: [number, number];
  captured_ms: number;
  age_ms: number;
  /** Answers a second. */
  fps: number;
}

/** Classifies the newest frame of the camera, one at a time; frames in between are dropped. */
export class Live {
  #smoother: Smoother;
  #busy = false;
  #newest = -1;
  #done = -1;
  #frames = 0;
  #answered: number[] = [];
  paused = false;
  /** Whether answers say where the evidence lies. */
  explaining = false;

  constructor(
    private readonly model: Model,
    private readonly camera: Camera,
    private naming: Naming,
    private readonly show: (shown: Shown) => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.#smoother = new Smoother(naming);
  }

  /** Answers have these names from now on. */
  rename(naming: Naming): void {
    this.naming = naming;
    this.#smoother = new Smoother(naming);
  }

  reset(): void {
    this.#smoother.reset();
    this.#answered = [];
  }

  /** A frame is there. */
  take(captured_ms: number): void {
    this.#newest = captured_ms;
    if (!this.#busy) void this.#run();
  }

  /** The answer to one picture alone, not smoothed. */
  async judge(still: HTMLCanvasElement): Promise<Shown> {
    const captured_ms = this.#newest;
    const frame = await createImageBitmap(still);
    const size_px: [number, number] = [frame.width, frame.height];
    const prediction = await this.#ask(frame);
    const { scores } = prediction;
    return this.#describe(decide(this.naming, scores), scores, prediction, {
      size_px,
      captured_ms,
    });
  }

  #ask(frame: ImageBitmap | VideoFrame): Promise<Prediction> {
    return this.model.ask("classify", { frame, explain: this.explaining }, [frame]);
  }

  async #run(): Promise<void> {
    this.#busy = true;
    try {
      while (!this.paused && !document.hidden && this.camera.running && this.#newest > this.#done) {
        await this.#answer(this.#newest);
      }
    } catch (error) {
      if (!this.paused) this.fail(error);
    } finally {
      this.#busy = false;
    }
  }

  async #answer(captured_ms: number): Promise<void> {
    this.#done = captured_ms;
    const frame = await this.camera.grab();
    const { width, height } = sizeOf(frame);
    const size_px: [number, number] = [width, height];
    const prediction = await this.#ask(frame);
    const now = performance.now();
    // It was frozen, or the camera was switched, meanwhile.
    if (this.paused || !this.camera.running) return;
    const smoothed = this.#smoother.update(prediction.scores, captured_ms / 1000);
    this.#answered = [...this.#answered.filter((one) => now - one < RATE_WINDOW_MS), now];
    this.show(
      this.#describe(smoothed.label, smoothed.scores, prediction, { size_px, captured_ms }),
    );
  }

  #describe(
    label: string | null,
    scores: Float32Array,
    prediction: Prediction,
    frame: { size_px: [number, number]; captured_ms: number },
  ): Shown {
    const index = label === null ? best(scores) : this.naming.labels.indexOf(label);
    return {
      ...frame,
      label,
      score: scores[index]!,
      top: rankShown(this.naming, scores),
      low_information: prediction.low_information,
      prediction,
      frame: this.#frames++,
      age_ms: performance.now() - frame.captured_ms,
      fps: this.#answered.length * (1000 / RATE_WINDOW_MS),
    };
  }
}
