import type { LabelScore } from "../classify/prediction";
import { rank } from "../classify/prediction";
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

  constructor(
    private readonly model: Model,
    private readonly camera: Camera,
    private readonly labels: string[],
    threshold: number,
    private readonly show: (shown: Shown) => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.#smoother = new Smoother(labels, threshold);
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

  async #run(): Promise<void> {
    this.#busy = true;
    try {
      while (!this.paused && !document.hidden && this.camera.running && this.#newest > this.#done) {
        await this.#answer(this.#newest);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.#busy = false;
    }
  }

  async #answer(captured_ms: number): Promise<void> {
    this.#done = captured_ms;
    const frame = await this.camera.grab();
    const { width, height } = sizeOf(frame);
    const prediction = await this.model.ask("classify", { frame }, [frame]);
    const now = performance.now();
    // It was frozen, or the camera was switched, meanwhile.
    if (this.paused || !this.camera.running) return;
    const smoothed = this.#smoother.update(prediction.scores, captured_ms / 1000);
    this.#answered = [...this.#answered.filter((one) => now - one < RATE_WINDOW_MS), now];
    this.show({
      label: smoothed.label,
      score: smoothed.score,
      top: rank(this.labels, smoothed.scores),
      low_information: prediction.low_information,
      prediction,
      frame: this.#frames++,
      size_px: [width, height],
      captured_ms,
      age_ms: now - captured_ms,
      fps: this.#answered.length * (1000 / RATE_WINDOW_MS),
    });
  }
}
